//! Places of a gateway's spool that could not be read, and so were not sent.
//!
//! Such a place has no seqs of its own, and whole epochs may have lain in it of which nothing else ever comes. So it is
//! told as it is: by its places in the spool.

use prost::Message as _;

use super::{DecodeError, WIRE_VERSION, control::lane, decode::check_version, proto};
use crate::{Epoch, LaneId};

/// Why a place of a log cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Damage {
    /// Records that fail their checksum, their seal or their order.
    Record,
    /// A segment's header fails its checksum or seal, or belongs to another segment or spool.
    Header,
    /// Records that should be there are not.
    Missing,
    /// The mark file is lost, so that it is not known whether these were forgotten or dropped.
    MarkLost,
}

/// Places of a lane's spool that are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolLoss {
    /// Whose spool.
    pub lane: LaneId,
    /// The epoch that goes on behind them: it names the partition, not what was lost.
    pub epoch: Epoch,
    /// The first place.
    pub from: u64,
    /// The one behind the last; above `from`.
    pub to: u64,
    /// Why.
    pub why: Damage,
}

impl SpoolLoss {
    /// The record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let why = match self.why {
            Damage::Record => proto::SpoolLossWhy::Record,
            Damage::Header => proto::SpoolLossWhy::Header,
            Damage::Missing => proto::SpoolLossWhy::Missing,
            Damage::MarkLost => proto::SpoolLossWhy::MarkLost,
        };
        proto::SpoolLoss {
            version: WIRE_VERSION,
            gateway: self.lane.gateway.as_str().to_owned(),
            lane: self.lane.lane.0,
            epoch: self.epoch.0,
            from: self.from,
            to: self.to,
            why: why.into(),
        }
        .encode_to_vec()
    }

    /// The loss in a record's bytes.
    ///
    /// # Errors
    /// As [`ReadingBatch::decode`](super::ReadingBatch::decode).
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wire = proto::SpoolLoss::decode(bytes)?;
        check_version(wire.version)?;
        let why = match proto::SpoolLossWhy::try_from(wire.why) {
            Ok(proto::SpoolLossWhy::Record) => Damage::Record,
            Ok(proto::SpoolLossWhy::Header) => Damage::Header,
            Ok(proto::SpoolLossWhy::Missing) => Damage::Missing,
            Ok(proto::SpoolLossWhy::MarkLost) => Damage::MarkLost,
            Ok(proto::SpoolLossWhy::Unspecified) | Err(_) => {
                return Err(DecodeError::LossWhy(wire.why));
            }
        };
        if wire.from >= wire.to {
            return Err(DecodeError::LossRange {
                from: wire.from,
                to: wire.to,
            });
        }
        Ok(Self {
            lane: lane(&wire.gateway, wire.lane)?,
            epoch: Epoch(wire.epoch),
            from: wire.from,
            to: wire.to,
            why,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind::{self, Corrupt, Fatal};

    fn loss(why: Damage) -> SpoolLoss {
        SpoolLoss {
            lane: lane("gw-1", 3).unwrap(),
            epoch: Epoch(1_763_900_000),
            from: 41,
            to: 300,
            why,
        }
    }

    /// A change of these bytes is a change of a stored format: it takes an ADR.
    #[test]
    fn version_1_keeps_its_bytes() {
        let all = [
            Damage::Record,
            Damage::Header,
            Damage::Missing,
            Damage::MarkLost,
        ]
        .map(loss);
        let hex = |loss: &SpoolLoss| {
            loss.encode()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        let lines = all.iter().map(hex).collect::<Vec<_>>().join("\n");
        assert_eq!(lines, include_str!("../../golden/spool_loss.v1.hex").trim());
        for loss in all {
            assert_eq!(SpoolLoss::decode(&loss.encode()), Ok(loss));
        }
    }

    #[test]
    fn what_is_no_loss_is_refused() {
        let check = |change: fn(&mut proto::SpoolLoss), expected: &str, kind: ErrorKind| {
            let mut wire = proto::SpoolLoss::decode(&*loss(Damage::Record).encode()).unwrap();
            change(&mut wire);
            let error = SpoolLoss::decode(&wire.encode_to_vec()).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.kind()), (expected, kind));
        };
        let newer =
            "wire version 9 is newer than 1, the newest this release reads: update this program";
        check(|wire| wire.version = 9, newer, Fatal);
        check(
            |wire| wire.gateway.clear(),
            "a gateway name must not be empty",
            Corrupt,
        );
        check(
            |wire| wire.to = 41,
            "lost places from 41 to 41 are none",
            Corrupt,
        );
        check(
            |wire| wire.why = 5,
            "reason 5 for lost places is unknown",
            Corrupt,
        );
    }
}
