//! The records that say what the batches cannot: where an epoch ended, and which readings will never come.

use prost::Message as _;

use super::{DecodeError, WIRE_VERSION, decode::check_version, proto};
use crate::{Epoch, EpochNonce, GatewayId, Lane, LaneId, Seq};

/// No more readings of this epoch follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochEnd {
    /// Whose epoch.
    pub lane: LaneId,
    /// The epoch.
    pub epoch: Epoch,
    /// Which opening of the spool began it, among copies of one spool.
    pub nonce: EpochNonce,
    /// Where it ended.
    pub last: LastSeq,
}

/// Where an epoch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LastSeq {
    /// At this number; `None` for an epoch without readings.
    Known(Option<Seq>),
    /// Damage hides the end: at this number or later.
    Unknown {
        /// The last number that is known.
        at_least: Option<Seq>,
    },
}

/// Readings that will never be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Whose readings.
    pub lane: LaneId,
    /// Their epoch.
    pub epoch: Epoch,
    /// Which opening of the spool numbered them, among copies of one spool.
    pub nonce: EpochNonce,
    /// The first that is missing.
    pub first_seq: Seq,
    /// The last that is missing; not below the first.
    pub last_seq: Seq,
    /// Why.
    pub why: GapWhy,
}

/// Why readings will never be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GapWhy {
    /// Older than the gateway keeps.
    Expired,
    /// The gateway's disk gave back other bytes than were written.
    Damaged,
    /// Larger than the stream takes.
    Refused,
    /// Given up for want of room.
    Dropped,
}

impl GapWhy {
    /// The word for it in headers, tables and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Damaged => "damaged",
            Self::Refused => "refused",
            Self::Dropped => "dropped",
        }
    }
}

impl EpochEnd {
    /// The record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (last, known) = match self.last {
            LastSeq::Known(last) => (last, true),
            LastSeq::Unknown { at_least } => (at_least, false),
        };
        proto::EpochEnd {
            version: WIRE_VERSION,
            gateway: self.lane.gateway.as_str().to_owned(),
            lane: self.lane.lane.0,
            epoch: self.epoch.0,
            last_seq: last.map_or(0, |seq| seq.0),
            known,
            nonce: self.nonce.0,
        }
        .encode_to_vec()
    }

    /// The end in a record's bytes.
    ///
    /// # Errors
    /// As [`ReadingBatch::decode`](super::ReadingBatch::decode).
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wire = proto::EpochEnd::decode(bytes)?;
        check_version(wire.version)?;
        let last = Some(Seq(wire.last_seq)).filter(|seq| *seq >= Seq::FIRST);
        let last = if wire.known {
            LastSeq::Known(last)
        } else {
            LastSeq::Unknown { at_least: last }
        };
        let (lane, nonce) = (lane(&wire.gateway, wire.lane)?, EpochNonce(wire.nonce));
        Ok(Self {
            lane,
            epoch: Epoch(wire.epoch),
            nonce,
            last,
        })
    }
}

impl Gap {
    /// The record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let why = match self.why {
            GapWhy::Expired => proto::GapWhy::Expired,
            GapWhy::Damaged => proto::GapWhy::Damaged,
            GapWhy::Refused => proto::GapWhy::Refused,
            GapWhy::Dropped => proto::GapWhy::Dropped,
        };
        proto::Gap {
            version: WIRE_VERSION,
            gateway: self.lane.gateway.as_str().to_owned(),
            lane: self.lane.lane.0,
            epoch: self.epoch.0,
            first_seq: self.first_seq.0,
            last_seq: self.last_seq.0,
            why: why.into(),
            nonce: self.nonce.0,
        }
        .encode_to_vec()
    }

    /// The gap in a record's bytes.
    ///
    /// # Errors
    /// As [`ReadingBatch::decode`](super::ReadingBatch::decode).
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wire = proto::Gap::decode(bytes)?;
        check_version(wire.version)?;
        let (first_seq, last_seq) = (Seq(wire.first_seq), Seq(wire.last_seq));
        if first_seq < Seq::FIRST || last_seq < first_seq {
            return Err(DecodeError::GapRange {
                first_seq: wire.first_seq,
                last_seq: wire.last_seq,
            });
        }
        let why = match proto::GapWhy::try_from(wire.why) {
            Ok(proto::GapWhy::Expired) => GapWhy::Expired,
            Ok(proto::GapWhy::Damaged) => GapWhy::Damaged,
            Ok(proto::GapWhy::Refused) => GapWhy::Refused,
            Ok(proto::GapWhy::Dropped) => GapWhy::Dropped,
            Ok(proto::GapWhy::Unspecified) | Err(_) => return Err(DecodeError::GapWhy(wire.why)),
        };
        let (lane, nonce) = (lane(&wire.gateway, wire.lane)?, EpochNonce(wire.nonce));
        Ok(Self {
            lane,
            epoch: Epoch(wire.epoch),
            nonce,
            first_seq,
            last_seq,
            why,
        })
    }
}

pub(super) fn lane(gateway: &str, lane: u32) -> Result<LaneId, DecodeError> {
    Ok(LaneId {
        gateway: GatewayId::new(gateway)?,
        lane: Lane(lane),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ErrorKind::{self, Corrupt, Fatal};

    const NONCE: EpochNonce = EpochNonce(0x0123_4567_89ab_cdef);

    fn lane_id() -> LaneId {
        lane("gw-1", 3).unwrap()
    }

    fn end(last: LastSeq) -> EpochEnd {
        EpochEnd {
            lane: lane_id(),
            epoch: Epoch(1_763_900_000),
            nonce: NONCE,
            last,
        }
    }

    fn gap(why: GapWhy) -> Gap {
        let (first_seq, last_seq) = (Seq(41), Seq(300));
        Gap {
            lane: lane_id(),
            epoch: Epoch(1_763_900_000),
            nonce: NONCE,
            first_seq,
            last_seq,
            why,
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// A change of these bytes is a change of a stored format: it takes an ADR.
    #[test]
    fn version_1_keeps_its_bytes() {
        let ends = [
            LastSeq::Known(Some(Seq(300))),
            LastSeq::Known(None),
            LastSeq::Unknown {
                at_least: Some(Seq(300)),
            },
            LastSeq::Unknown { at_least: None },
        ]
        .map(end);
        let gaps = [
            GapWhy::Expired,
            GapWhy::Damaged,
            GapWhy::Refused,
            GapWhy::Dropped,
        ]
        .map(gap);
        let lines = |all: &[Vec<u8>]| {
            all.iter()
                .map(|bytes| hex(bytes))
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(
            lines(&ends.clone().map(|end| end.encode())),
            include_str!("../../golden/epoch_end.v1.hex").trim()
        );
        assert_eq!(
            lines(&gaps.clone().map(|gap| gap.encode())),
            include_str!("../../golden/gap.v1.hex").trim()
        );
        for end in ends {
            assert_eq!(EpochEnd::decode(&end.encode()), Ok(end));
        }
        for gap in gaps {
            assert_eq!(Gap::decode(&gap.encode()), Ok(gap));
        }
    }

    #[test]
    fn what_is_no_end_is_refused() {
        let check = |change: fn(&mut proto::EpochEnd), expected: &str, kind: ErrorKind| {
            let mut wire =
                proto::EpochEnd::decode(&*end(LastSeq::Known(Some(Seq(3)))).encode()).unwrap();
            change(&mut wire);
            let error = EpochEnd::decode(&wire.encode_to_vec()).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.kind()), (expected, kind));
        };
        let newer =
            "wire version 2 is newer than 1, the newest this release reads: update this program";
        check(|wire| wire.version = 2, newer, Fatal);
        check(
            |wire| wire.version = 0,
            "the record states no wire version",
            Corrupt,
        );
        check(
            |wire| wire.gateway.clear(),
            "a gateway name must not be empty",
            Corrupt,
        );
        assert_eq!(
            EpochEnd::decode(b"\xff\xff").unwrap_err().to_string(),
            "not a protobuf message"
        );
    }

    #[test]
    fn what_is_no_gap_is_refused() {
        let check = |change: fn(&mut proto::Gap), expected: &str, kind: ErrorKind| {
            let mut wire = proto::Gap::decode(&*gap(GapWhy::Damaged).encode()).unwrap();
            change(&mut wire);
            let error = Gap::decode(&wire.encode_to_vec()).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.kind()), (expected, kind));
        };
        let newer =
            "wire version 9 is newer than 1, the newest this release reads: update this program";
        check(|wire| wire.version = 9, newer, Fatal);
        check(
            |wire| wire.version = 0,
            "the record states no wire version",
            Corrupt,
        );
        check(
            |wire| wire.gateway.clear(),
            "a gateway name must not be empty",
            Corrupt,
        );
        check(
            |wire| wire.first_seq = 0,
            "a gap from seq 0 to 300 is none",
            Corrupt,
        );
        check(
            |wire| wire.last_seq = 40,
            "a gap from seq 41 to 40 is none",
            Corrupt,
        );
        check(
            |wire| wire.why = 0,
            "reason 0 for a gap is unknown",
            Corrupt,
        );
        check(
            |wire| wire.why = 5,
            "reason 5 for a gap is unknown",
            Corrupt,
        );
    }

    proptest! {
        #[test]
        fn rubbish_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(end) = EpochEnd::decode(&bytes) {
                prop_assert_eq!(EpochEnd::decode(&end.encode()), Ok(end));
            }
            if let Ok(gap) = Gap::decode(&bytes) {
                prop_assert!(gap.first_seq <= gap.last_seq);
            }
        }
    }
}
