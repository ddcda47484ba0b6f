//! Whose readings or outages a record holds and which seqs they have, read without decoding the body.
//!
//! Invariant: where the whole record decodes, its head says the same. Of the body only the outages are counted; readings are
//! passed over, so that a head may be sound while the body is not.

use prost::Message;

use super::{
    BATCH_READINGS_MAX, DecodeError, OUTAGES_MAX, Outages, ReadingBatch, control::lane,
    decode::check_version,
};
use crate::{Epoch, EpochNonce, LaneId, Seq};

/// What a record of readings or of outages says before its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHead {
    /// Where they were numbered.
    pub lane: LaneId,
    /// In which opening of the spool.
    pub epoch: Epoch,
    /// Which opening that was, among copies of one spool.
    pub nonce: EpochNonce,
    /// Number of the first; the others follow without a hole.
    pub first_seq: Seq,
    /// How many there are.
    pub count: u32,
}

/// The part of a `ReadingBatch` (proto/forebay/v1/reading.proto) that is needed here; the rest is skipped.
#[derive(Clone, PartialEq, Message)]
struct ReadingsHead {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(string, tag = "2")]
    gateway: String,
    #[prost(uint32, tag = "3")]
    lane: u32,
    #[prost(uint64, tag = "4")]
    epoch: u64,
    #[prost(uint64, tag = "5")]
    first_seq: u64,
    #[prost(uint32, tag = "6")]
    count: u32,
    #[prost(fixed64, tag = "9")]
    nonce: u64,
}

/// The part of an `Outages` that is needed here.
#[derive(Clone, PartialEq, Message)]
struct OutagesHead {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(string, tag = "2")]
    gateway: String,
    #[prost(uint32, tag = "3")]
    lane: u32,
    #[prost(uint64, tag = "4")]
    epoch: u64,
    #[prost(uint64, tag = "5")]
    first_seq: u64,
    #[prost(fixed64, tag = "6")]
    nonce: u64,
    #[prost(message, repeated, tag = "7")]
    outages: Vec<Counted>,
}

/// An outage of which only its being there matters.
#[derive(Clone, PartialEq, Message)]
struct Counted {}

impl RecordHead {
    /// Of an encoded [`ReadingBatch`].
    ///
    /// # Errors
    /// As [`ReadingBatch::decode`], but for what is wrong with the body alone.
    pub fn of_readings(bytes: &[u8]) -> Result<Self, DecodeError> {
        let head = ReadingsHead::decode(bytes)?;
        check_version(head.version)?;
        if head.count as usize > BATCH_READINGS_MAX {
            return Err(DecodeError::TooMany(head.count));
        }
        let found = Self {
            lane: lane(&head.gateway, head.lane)?,
            epoch: Epoch(head.epoch),
            nonce: EpochNonce(head.nonce),
            first_seq: Seq(head.first_seq),
            count: head.count,
        };
        found.check_seqs()
    }

    /// Of encoded [`Outages`].
    ///
    /// # Errors
    /// As [`Outages::decode`], but for what is wrong with a single outage.
    pub fn of_outages(bytes: &[u8]) -> Result<Self, DecodeError> {
        let head = OutagesHead::decode(bytes)?;
        check_version(head.version)?;
        let count = u32::try_from(head.outages.len()).unwrap_or(u32::MAX);
        if count as usize > OUTAGES_MAX {
            return Err(DecodeError::TooManyOutages(count));
        }
        let found = Self {
            lane: lane(&head.gateway, head.lane)?,
            epoch: Epoch(head.epoch),
            nonce: EpochNonce(head.nonce),
            first_seq: Seq(head.first_seq),
            count,
        };
        match found.last_seq() {
            Some(_) => found.check_seqs(),
            None => Err(DecodeError::SeqRange {
                first_seq: head.first_seq,
                count,
            }),
        }
    }

    /// Number of the last; `None` where there is none.
    pub fn last_seq(&self) -> Option<Seq> {
        let distance = u64::from(self.count).checked_sub(1)?;
        self.first_seq.checked_add(distance)
    }

    fn check_seqs(self) -> Result<Self, DecodeError> {
        if self.first_seq < Seq::FIRST || self.first_seq.checked_add(self.count.into()).is_none() {
            return Err(DecodeError::SeqRange {
                first_seq: self.first_seq.0,
                count: self.count,
            });
        }
        Ok(self)
    }
}

impl From<&ReadingBatch> for RecordHead {
    fn from(batch: &ReadingBatch) -> Self {
        let ReadingBatch {
            lane,
            epoch,
            nonce,
            first_seq,
            readings,
        } = batch;
        let count = u32::try_from(readings.len()).unwrap_or(u32::MAX);
        Self {
            lane: lane.clone(),
            epoch: *epoch,
            nonce: *nonce,
            first_seq: *first_seq,
            count,
        }
    }
}

impl From<&Outages> for RecordHead {
    fn from(outages: &Outages) -> Self {
        let Outages {
            lane,
            epoch,
            nonce,
            first_seq,
            outages,
        } = outages;
        let count = u32::try_from(outages.len()).unwrap_or(u32::MAX);
        Self {
            lane: lane.clone(),
            epoch: *epoch,
            nonce: *nonce,
            first_seq: *first_seq,
            count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        DeviceId, ErrorKind, GatewayId, Lane, Reading, Series, SiteId, Status, TagName, Timestamp,
        Value,
        wire::{Outage, OutageWhy},
    };

    fn lane_id() -> LaneId {
        LaneId {
            gateway: GatewayId::new("Werk 1/ü").unwrap(),
            lane: Lane(3),
        }
    }

    fn batch(count: u64) -> ReadingBatch {
        let series = |tag: u64| Series {
            site: SiteId::new("plant").unwrap(),
            device: DeviceId::new("pump").unwrap(),
            tag: TagName::new(&format!("tag-{tag}")).unwrap(),
        };
        let reading = |number: u64| Reading {
            series: series(number % 2),
            event_time: Timestamp::from_nanos(number as i64),
            observed_time: Timestamp::from_nanos(number as i64 + 1),
            value: Some(Value::U64(number)),
            unit: None,
            status: Status::GOOD,
        };
        let (lane, readings) = (lane_id(), (0..count).map(reading).collect());
        ReadingBatch {
            lane,
            epoch: Epoch(7),
            nonce: EpochNonce(0xA),
            first_seq: Seq(11),
            readings,
        }
    }

    fn outages(count: usize) -> Outages {
        let (from, to) = (Timestamp::from_nanos(1), Timestamp::from_nanos(2));
        let outage = Outage {
            site: SiteId::new("s").unwrap(),
            device: None,
            from,
            to,
            why: OutageWhy::Stopped,
        };
        let (lane, outages) = (lane_id(), vec![outage; count]);
        Outages {
            lane,
            epoch: Epoch(7),
            nonce: EpochNonce(0xA),
            first_seq: Seq(11),
            outages,
        }
    }

    #[test]
    fn a_head_says_what_the_whole_record_does() {
        for count in [0, 1, 2, 300] {
            let batch = batch(count);
            let head = RecordHead::of_readings(&batch.encode()).unwrap();
            assert_eq!(head, RecordHead::from(&batch));
            assert_eq!(
                (head.count, head.last_seq()),
                (count as u32, batch.last_seq())
            );
        }
        for count in [1, 2, OUTAGES_MAX] {
            let outages = outages(count);
            let head = RecordHead::of_outages(&outages.encode()).unwrap();
            assert_eq!(head, RecordHead::from(&outages));
            assert_eq!(
                (head.count as usize, head.last_seq()),
                (count, outages.last_seq())
            );
        }
    }

    /// A block whose bytes are no message, behind sound ones.
    #[test]
    fn a_body_that_cannot_be_decoded_does_not_hide_the_head() {
        let mut bytes = batch(5).encode();
        bytes.extend_from_slice(&[0x42, 3, 0xff, 0xff, 0xff]);
        assert_eq!(
            ReadingBatch::decode(&bytes).unwrap_err().kind(),
            ErrorKind::Corrupt
        );
        assert_eq!(
            RecordHead::of_readings(&bytes).unwrap(),
            RecordHead::from(&batch(5))
        );
    }

    #[test]
    fn a_head_is_refused_as_the_whole_record_is() {
        let refused = |head: &ReadingsHead| {
            let bytes = head.encode_to_vec();
            let (of_head, of_whole) = (
                RecordHead::of_readings(&bytes),
                ReadingBatch::decode(&bytes),
            );
            let (of_head, of_whole) = (of_head.unwrap_err(), of_whole.unwrap_err());
            assert_eq!(of_head, of_whole, "{head:?}");
            of_head
        };
        let gateway = lane_id().gateway.as_str().to_owned();
        let good = ReadingsHead {
            version: 1,
            gateway,
            lane: 3,
            epoch: 7,
            first_seq: 1,
            count: 0,
            nonce: 10,
        };
        assert!(RecordHead::of_readings(&good.encode_to_vec()).is_ok());
        let newer = refused(&ReadingsHead {
            version: 2,
            ..good.clone()
        });
        assert_eq!(
            (newer.kind(), newer),
            (ErrorKind::Fatal, DecodeError::NewerVersion { found: 2 })
        );
        assert_eq!(
            refused(&ReadingsHead {
                version: 0,
                ..good.clone()
            }),
            DecodeError::NoVersion
        );
        let many = BATCH_READINGS_MAX as u32 + 1;
        assert_eq!(
            refused(&ReadingsHead {
                count: many,
                ..good.clone()
            }),
            DecodeError::TooMany(many)
        );
        let range = DecodeError::SeqRange {
            first_seq: 0,
            count: 0,
        };
        assert_eq!(
            refused(&ReadingsHead {
                first_seq: 0,
                ..good.clone()
            }),
            range
        );
        assert!(matches!(
            refused(&ReadingsHead {
                gateway: String::new(),
                ..good
            }),
            DecodeError::Name(_)
        ));
        assert!(matches!(
            RecordHead::of_readings(&[0xff; 9]),
            Err(DecodeError::Protobuf(_))
        ));
        let none = OutagesHead {
            version: 1,
            gateway: "g".to_owned(),
            first_seq: 1,
            ..OutagesHead::default()
        };
        let range = DecodeError::SeqRange {
            first_seq: 1,
            count: 0,
        };
        assert_eq!(RecordHead::of_outages(&none.encode_to_vec()), Err(range));
        let many = OutagesHead {
            outages: vec![Counted {}; OUTAGES_MAX + 1],
            ..none
        };
        let count = OUTAGES_MAX as u32 + 1;
        assert_eq!(
            RecordHead::of_outages(&many.encode_to_vec()),
            Err(DecodeError::TooManyOutages(count))
        );
    }
}
