//! Making records fit: a batch that is too large is halved until its parts are not; a reading that is too large alone
//! becomes a gap.

use forebay_schemas::wire::{Gap, GapWhy, ReadingBatch};
use tracing::error;

use super::record::{Outgoing, overhead};

/// A record and its bytes.
#[derive(Debug, PartialEq)]
pub(super) struct Fitted {
    pub(super) outgoing: Outgoing,
    pub(super) bytes: Vec<u8>,
}

/// The records that say the same as `outgoing` in its order, each of at most `limit` bytes with all that belongs to it.
pub(super) fn fit(outgoing: Outgoing, limit: u64) -> Vec<Fitted> {
    let budget = limit.saturating_sub(overhead(outgoing.lane()));
    let mut fitted = Vec::new();
    let mut rest = vec![outgoing];
    while let Some(outgoing) = rest.pop() {
        let bytes = outgoing.encode();
        match outgoing {
            Outgoing::Readings(batch) if bytes.len() as u64 > budget => match halves(batch) {
                Ok((first, second)) => rest.extend([Outgoing::Readings(second), Outgoing::Readings(first)]),
                Err(gap) => {
                    error!(gateway = %gap.lane.gateway, lane = %gap.lane.lane, epoch = %gap.epoch, seq = %gap.first_seq,
                        bytes = bytes.len(), limit, "a reading is larger than kafka takes, sent a gap in its place");
                    rest.push(Outgoing::Gap(gap));
                }
            },
            outgoing => fitted.push(Fitted { outgoing, bytes }),
        }
    }
    fitted
}

fn halves(mut batch: ReadingBatch) -> Result<(ReadingBatch, ReadingBatch), Gap> {
    let middle = batch.readings.len() / 2;
    let (lane, epoch, nonce) = (batch.lane.clone(), batch.epoch, batch.nonce);
    match batch.first_seq.checked_add(middle as u64) {
        Some(first_seq) if middle > 0 => {
            let readings = batch.readings.split_off(middle);
            Ok((batch, ReadingBatch { lane, epoch, nonce, first_seq, readings }))
        }
        _ => {
            let last_seq = batch.last_seq().unwrap_or(batch.first_seq);
            Err(Gap { lane, epoch, first_seq: batch.first_seq, last_seq, why: GapWhy::Refused })
        }
    }
}

#[cfg(test)]
mod tests {
    use forebay_schemas::{Epoch, EpochNonce, GatewayId, Lane, LaneId, Seq, Value};

    use super::*;
    use crate::conformance::readings;

    fn batch(count: u64) -> ReadingBatch {
        let lane = LaneId { gateway: GatewayId::new("gw").unwrap(), lane: Lane(0) };
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
        let parts = fit(Outgoing::Readings(whole.clone()), 2000);
        assert!(parts.len() > 3, "{}", parts.len());
        let mut next = whole.first_seq;
        let mut readings = Vec::new();
        for part in parts {
            assert!(part.bytes.len() < 2000);
            let Outgoing::Readings(part) = part.outgoing else { panic!("no batch") };
            assert_eq!(part.first_seq, next);
            next = part.last_seq().unwrap().checked_add(1).unwrap();
            readings.extend(part.readings);
        }
        assert_eq!(readings, whole.readings);
    }

    #[test]
    fn a_reading_that_never_fits_is_a_gap_between_its_neighbours() {
        let mut whole = batch(5);
        whole.readings[2].value = Some(Value::Text("x".repeat(5000)));
        let parts: Vec<_> = fit(Outgoing::Readings(whole), 2000).into_iter().map(|part| part.outgoing).collect();
        let ranges: Vec<_> = parts
            .iter()
            .map(|part| match part {
                Outgoing::Readings(batch) => (batch.first_seq.0, batch.last_seq().unwrap().0, None),
                Outgoing::Gap(gap) => (gap.first_seq.0, gap.last_seq.0, Some(gap.why)),
                Outgoing::End(_) => panic!("no end"),
            })
            .collect();
        assert_eq!(ranges, [(11, 12, None), (13, 13, Some(GapWhy::Refused)), (14, 15, None)]);
    }

    #[test]
    fn what_fits_stays_whole() {
        assert_eq!(fit(Outgoing::Readings(batch(3)), 1 << 20).len(), 1);
    }
}
