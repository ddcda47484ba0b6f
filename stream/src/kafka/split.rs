//! Making records fit: a batch or a record of outages that is too large is halved until its parts are not; a reading that is
//! too large alone becomes a gap. What fits is neither decoded nor encoded again.

use bytes::Bytes;
use forebay_schemas::{
    Seq,
    wire::{Gap, GapWhy, Outages, ReadingBatch, RecordHead},
};
use tracing::error;

use super::record::{Outgoing, overhead};
use crate::raw::RawBatch;

/// A record and its bytes.
#[derive(Debug, PartialEq)]
pub(super) struct Fitted {
    pub(super) outgoing: Outgoing,
    pub(super) bytes: Bytes,
}

impl Fitted {
    /// A record as it is, whether it fits or not.
    pub(super) fn whole(outgoing: Outgoing) -> Self {
        let bytes = outgoing.bytes();
        Self { outgoing, bytes }
    }

    /// Whether it has at most `limit` bytes with all that belongs to it.
    pub(super) fn is_within(&self, limit: u64) -> bool {
        self.bytes.len() as u64 <= limit.saturating_sub(overhead(self.outgoing.lane()))
    }
}

/// The records that say the same as `outgoing` in its order, each of at most `limit` bytes with all that belongs to it.
pub(super) fn fit(outgoing: Outgoing, limit: u64) -> Vec<Fitted> {
    let whole = Fitted::whole(outgoing);
    if whole.is_within(limit) {
        return vec![whole];
    }
    match &whole.outgoing {
        Outgoing::Readings(batch) => match ReadingBatch::decode(&batch.bytes) {
            Ok(decoded) => parts_of_readings(decoded, limit),
            Err(why) => vec![refused(
                &batch.head,
                &why.to_string(),
                whole.bytes.len(),
                limit,
            )],
        },
        Outgoing::Outages(batch) => match Outages::decode(&batch.bytes) {
            Ok(decoded) => parts_of_outages(decoded, limit),
            Err(why) => vec![refused(
                &batch.head,
                &why.to_string(),
                whole.bytes.len(),
                limit,
            )],
        },
        Outgoing::End(_) | Outgoing::Gap(_) | Outgoing::Loss(_) => vec![whole],
    }
}

fn parts_of_readings(batch: ReadingBatch, limit: u64) -> Vec<Fitted> {
    let mut fitted = Vec::new();
    let mut rest = vec![batch];
    while let Some(batch) = rest.pop() {
        let part = Fitted::whole(Outgoing::Readings(RawBatch::from(&batch)));
        if part.is_within(limit) {
            fitted.push(part);
            continue;
        }
        match halves(batch) {
            Ok((first, second)) => rest.extend([second, first]),
            Err(gap) => {
                error!(gateway = %gap.lane.gateway, lane = %gap.lane.lane, epoch = %gap.epoch, seq = %gap.first_seq,
                    bytes = part.bytes.len(), limit, "a reading is larger than kafka takes, sent a gap in its place");
                fitted.push(Fitted::whole(Outgoing::Gap(gap)));
            }
        }
    }
    fitted
}

/// A single outage is smaller than every limit: names are.
fn parts_of_outages(outages: Outages, limit: u64) -> Vec<Fitted> {
    let mut fitted = Vec::new();
    let mut rest = vec![outages];
    while let Some(outages) = rest.pop() {
        let part = Fitted::whole(Outgoing::Outages(RawBatch::from(&outages)));
        if part.is_within(limit) || outages.outages.len() < 2 {
            fitted.push(part);
        } else {
            let [first, second] = halves_of_outages(outages);
            rest.extend([second, first]);
        }
    }
    fitted
}

/// The gap in the place of a record that is too large and cannot be cut, since its body cannot be decoded.
fn refused(head: &RecordHead, why: &str, bytes: usize, limit: u64) -> Fitted {
    let RecordHead {
        lane,
        epoch,
        nonce,
        first_seq,
        ..
    } = head.clone();
    error!(gateway = %lane.gateway, lane = %lane.lane, %epoch, seq = %first_seq, bytes, limit, why,
        "a record is larger than kafka takes and cannot be split, sent a gap in its place");
    let last_seq = head.last_seq().unwrap_or(first_seq);
    Fitted::whole(Outgoing::Gap(Gap {
        lane,
        epoch,
        nonce,
        first_seq,
        last_seq,
        why: GapWhy::Refused,
    }))
}

fn halves(mut batch: ReadingBatch) -> Result<(ReadingBatch, ReadingBatch), Gap> {
    let middle = batch.readings.len() / 2;
    let (lane, epoch, nonce) = (batch.lane.clone(), batch.epoch, batch.nonce);
    match batch.first_seq.checked_add(middle as u64) {
        Some(first_seq) if middle > 0 => {
            let readings = batch.readings.split_off(middle);
            Ok((
                batch,
                ReadingBatch {
                    lane,
                    epoch,
                    nonce,
                    first_seq,
                    readings,
                },
            ))
        }
        _ => {
            let last_seq = batch.last_seq().unwrap_or(batch.first_seq);
            Err(Gap {
                lane,
                epoch,
                nonce,
                first_seq: batch.first_seq,
                last_seq,
                why: GapWhy::Refused,
            })
        }
    }
}

fn halves_of_outages(mut outages: Outages) -> [Outages; 2] {
    let middle = outages.outages.len() / 2;
    let second = Outages {
        lane: outages.lane.clone(),
        first_seq: Seq(outages.first_seq.0.saturating_add(middle as u64)),
        outages: outages.outages.split_off(middle),
        ..outages
    };
    [outages, second]
}

#[cfg(test)]
mod tests {
    use forebay_schemas::{
        Epoch, EpochNonce, GatewayId, Lane, LaneId, SiteId, Timestamp, Value,
        wire::{Outage, OutageWhy},
    };

    use super::*;
    use crate::conformance::readings;

    fn batch(count: u64) -> ReadingBatch {
        let lane = LaneId {
            gateway: GatewayId::new("gw").unwrap(),
            lane: Lane(0),
        };
        ReadingBatch {
            lane,
            epoch: Epoch(1),
            nonce: EpochNonce(5),
            first_seq: Seq(11),
            readings: readings(1, count).unwrap(),
        }
    }

    #[test]
    fn parts_are_small_and_make_the_whole() {
        let whole = batch(1000);
        let parts = fit(Outgoing::Readings(RawBatch::from(&whole)), 2000);
        assert!(parts.len() > 3, "{}", parts.len());
        let mut next = whole.first_seq;
        let mut readings = Vec::new();
        for part in parts {
            assert!(part.bytes.len() < 2000);
            let Outgoing::Readings(RawBatch { head, bytes }) = part.outgoing else {
                panic!("no batch")
            };
            assert_eq!(bytes, part.bytes);
            let part = ReadingBatch::decode(&bytes).unwrap();
            assert_eq!((RecordHead::from(&part), part.first_seq), (head, next));
            next = part.last_seq().unwrap().checked_add(1).unwrap();
            readings.extend(part.readings);
        }
        assert_eq!(readings, whole.readings);
    }

    #[test]
    fn a_reading_that_never_fits_is_a_gap_between_its_neighbours() {
        let mut whole = batch(5);
        whole.readings[2].value = Some(Value::Text("x".repeat(5000)));
        let parts = fit(Outgoing::Readings(RawBatch::from(&whole)), 2000);
        let parts: Vec<_> = parts.into_iter().map(|part| part.outgoing).collect();
        let ranges: Vec<_> = parts
            .iter()
            .map(|part| match part {
                Outgoing::Readings(batch) => (
                    batch.head.first_seq.0,
                    batch.head.last_seq().unwrap().0,
                    None,
                ),
                Outgoing::Gap(gap) => (gap.first_seq.0, gap.last_seq.0, Some(gap.why)),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            ranges,
            [
                (11, 12, None),
                (13, 13, Some(GapWhy::Refused)),
                (14, 15, None)
            ]
        );
    }

    #[test]
    fn many_outages_go_in_parts() {
        let ReadingBatch {
            lane,
            epoch,
            nonce,
            first_seq,
            ..
        } = batch(1);
        let (from, to) = (Timestamp::from_nanos(1), Timestamp::from_nanos(2));
        let outage = Outage {
            site: SiteId::new("s").unwrap(),
            device: None,
            from,
            to,
            why: OutageWhy::Stopped,
        };
        let whole = Outages {
            lane,
            epoch,
            nonce,
            first_seq,
            outages: vec![outage; 1000],
        };
        let mut next = first_seq;
        for part in fit(Outgoing::Outages(RawBatch::from(&whole)), 2000) {
            assert!(part.bytes.len() < 2000);
            let Outgoing::Outages(RawBatch { bytes, .. }) = part.outgoing else {
                panic!("no outages")
            };
            let part = Outages::decode(&bytes).unwrap();
            assert_eq!((part.first_seq, part.nonce), (next, nonce));
            next = part.last_seq().unwrap().checked_add(1).unwrap();
        }
        assert_eq!(next, Seq(1011));
    }

    #[test]
    fn what_fits_stays_whole() {
        let whole = Outgoing::Readings(RawBatch::from(&batch(3)));
        let parts = fit(whole.clone(), 1 << 20);
        assert_eq!(
            parts,
            [Fitted {
                bytes: whole.bytes(),
                outgoing: whole
            }]
        );
    }

    /// Its seqs are not lost in silence: they go out as a gap, once it is too large to go as it is.
    #[test]
    fn a_record_that_can_be_neither_sent_nor_cut_is_a_gap() {
        let mut bytes = batch(1000).encode();
        bytes.extend_from_slice(&[0x42, 3, 0xff, 0xff, 0xff]);
        let head = RecordHead::of_readings(&bytes).unwrap();
        let whole = Outgoing::Readings(RawBatch {
            head: head.clone(),
            bytes: bytes.into(),
        });
        assert_eq!(
            fit(whole.clone(), 1 << 20),
            [Fitted::whole(whole.clone())],
            "as it lies"
        );
        let RecordHead {
            lane,
            epoch,
            nonce,
            first_seq,
            ..
        } = head;
        let gap = Gap {
            lane,
            epoch,
            nonce,
            first_seq,
            last_seq: Seq(1010),
            why: GapWhy::Refused,
        };
        assert_eq!(fit(whole, 2000), [Fitted::whole(Outgoing::Gap(gap))]);
    }
}
