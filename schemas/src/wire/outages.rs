//! Times in which devices were not read although they should have been: nobody can send those readings later.
//!
//! Each outage takes a seq in the place of a reading. So it travels in order like readings, and is told exactly once: a
//! seq is taken once, and what stands at it is an outage or a reading, never both.

use prost::Message as _;

use super::{DecodeError, WIRE_VERSION, control::lane, decode::check_version, proto};
use crate::{DeviceId, Epoch, EpochNonce, LaneId, Seq, SiteId, Timestamp};

/// Most outages in one record.
pub const OUTAGES_MAX: usize = 1024;

/// A time in which a device was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// The device's site.
    pub site: SiteId,
    /// The device; none for every device of the lane that nobody asks to send again.
    pub device: Option<DeviceId>,
    /// Since when.
    pub from: Timestamp,
    /// Until when; not before `from`.
    pub to: Timestamp,
    /// Why.
    pub why: OutageWhy,
}

/// Why a device was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutageWhy {
    /// The gateway was not running.
    Stopped,
    /// The gateway's spool had no room, or its disk.
    SpoolFull,
}

impl OutageWhy {
    /// The word for it in tables and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::SpoolFull => "spool full",
        }
    }
}

/// Outages of one lane's epoch, numbered like readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outages {
    /// Where they were numbered.
    pub lane: LaneId,
    /// In which opening of the spool.
    pub epoch: Epoch,
    /// Which opening that was, among copies of one spool.
    pub nonce: EpochNonce,
    /// Number of the first; the others follow without a hole.
    pub first_seq: Seq,
    /// The outages, in the order of their seqs: one at least.
    pub outages: Vec<Outage>,
}

impl Outages {
    /// Number of the last outage; `None` if there is none.
    pub fn last_seq(&self) -> Option<Seq> {
        let distance = (self.outages.len() as u64).checked_sub(1)?;
        self.first_seq.checked_add(distance)
    }

    /// The record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        proto::Outages {
            version: WIRE_VERSION,
            gateway: self.lane.gateway.as_str().to_owned(),
            lane: self.lane.lane.0,
            epoch: self.epoch.0,
            first_seq: self.first_seq.0,
            nonce: self.nonce.0,
            outages: self.outages.iter().map(encode).collect(),
        }
        .encode_to_vec()
    }

    /// The outages in a record's bytes.
    ///
    /// # Errors
    /// As [`ReadingBatch::decode`](super::ReadingBatch::decode).
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wire = proto::Outages::decode(bytes)?;
        check_version(wire.version)?;
        let count = u32::try_from(wire.outages.len()).unwrap_or(u32::MAX);
        if wire.outages.len() > OUTAGES_MAX {
            return Err(DecodeError::TooManyOutages(count));
        }
        let outages = Self {
            lane: lane(&wire.gateway, wire.lane)?,
            epoch: Epoch(wire.epoch),
            nonce: EpochNonce(wire.nonce),
            first_seq: Seq(wire.first_seq),
            outages: wire
                .outages
                .into_iter()
                .map(decode)
                .collect::<Result<_, _>>()?,
        };
        if outages.first_seq < Seq::FIRST || outages.last_seq().is_none() {
            return Err(DecodeError::SeqRange {
                first_seq: wire.first_seq,
                count,
            });
        }
        Ok(outages)
    }
}

fn encode(outage: &Outage) -> proto::Outage {
    let why = match outage.why {
        OutageWhy::Stopped => proto::OutageWhy::Stopped,
        OutageWhy::SpoolFull => proto::OutageWhy::SpoolFull,
    };
    proto::Outage {
        site: outage.site.as_str().to_owned(),
        device: outage
            .device
            .as_ref()
            .map_or_else(String::new, |device| device.as_str().to_owned()),
        from: outage.from.nanos(),
        to: outage.to.nanos(),
        why: why.into(),
    }
}

fn decode(wire: proto::Outage) -> Result<Outage, DecodeError> {
    let why = match proto::OutageWhy::try_from(wire.why) {
        Ok(proto::OutageWhy::Stopped) => OutageWhy::Stopped,
        Ok(proto::OutageWhy::SpoolFull) => OutageWhy::SpoolFull,
        Ok(proto::OutageWhy::Unspecified) | Err(_) => return Err(DecodeError::OutageWhy(wire.why)),
    };
    if wire.to < wire.from {
        return Err(DecodeError::OutageRange {
            from: wire.from,
            to: wire.to,
        });
    }
    Ok(Outage {
        site: SiteId::new(&wire.site)?,
        device: Some(wire.device)
            .filter(|device| !device.is_empty())
            .map(|device| DeviceId::new(&device))
            .transpose()?,
        from: Timestamp::from_nanos(wire.from),
        to: Timestamp::from_nanos(wire.to),
        why,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ErrorKind::{self, Corrupt, Fatal};

    fn outages() -> Outages {
        let outage = |device: Option<&str>, why| Outage {
            site: SiteId::new("plant").unwrap(),
            device: device.map(|device| DeviceId::new(device).unwrap()),
            from: Timestamp::from_nanos(1_763_900_000_000_000_000),
            to: Timestamp::from_nanos(1_763_900_120_000_000_000),
            why,
        };
        Outages {
            lane: lane("gw-1", 3).unwrap(),
            epoch: Epoch(1_763_900_000),
            nonce: EpochNonce(0x0123_4567_89ab_cdef),
            first_seq: Seq(41),
            outages: vec![
                outage(Some("boiler-1"), OutageWhy::SpoolFull),
                outage(None, OutageWhy::Stopped),
            ],
        }
    }

    /// A change of these bytes is a change of a stored format: it takes an ADR.
    #[test]
    fn version_1_keeps_its_bytes() {
        let bytes = outages().encode();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, include_str!("../../golden/outages.v1.hex").trim());
        assert_eq!(Outages::decode(&bytes), Ok(outages()));
        assert_eq!(outages().last_seq(), Some(Seq(42)));
    }

    #[test]
    fn what_is_no_outage_is_refused() {
        let check = |change: fn(&mut proto::Outages), expected: &str, kind: ErrorKind| {
            let mut wire = proto::Outages::decode(&*outages().encode()).unwrap();
            change(&mut wire);
            let error = Outages::decode(&wire.encode_to_vec()).unwrap_err();
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
            |wire| wire.outages[0].site.clear(),
            "a site name must not be empty",
            Corrupt,
        );
        check(
            |wire| wire.first_seq = 0,
            "2 readings from seq 0 are outside the numbers of an epoch",
            Corrupt,
        );
        check(
            |wire| wire.first_seq = u64::MAX,
            "2 readings from seq 18446744073709551615 are outside the numbers of an epoch",
            Corrupt,
        );
        check(
            |wire| wire.outages.clear(),
            "0 readings from seq 41 are outside the numbers of an epoch",
            Corrupt,
        );
        check(
            |wire| wire.outages = vec![wire.outages[0].clone(); 1025],
            "1025 outages in one record, more than 1024",
            Corrupt,
        );
        check(
            |wire| wire.outages[1].why = 3,
            "reason 3 for an outage is unknown",
            Corrupt,
        );
        check(
            |wire| (wire.outages[1].from, wire.outages[1].to) = (5, 4),
            "an outage from 5 to 4 ns is none",
            Corrupt,
        );
    }

    proptest! {
        #[test]
        fn rubbish_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(outages) = Outages::decode(&bytes) {
                prop_assert_eq!(Outages::decode(&outages.encode()), Ok(outages));
            }
        }
    }
}
