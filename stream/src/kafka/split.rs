//! Making records fit: a batch or a record of outages that is too large is halved until its parts are not; a reading that is
//! too large alone becomes a gap.

use forebay_schemas::{
    Seq,
    wire::{Gap, GapWhy, Outages, ReadingBatch},
};
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
            Outgoing::Outages(outages) if bytes.len() as u64 > budget && outages.outages.len() > 1 => {
                let [first, second] = halves_of_outages(outages);
                rest.extend([Outgoing::Outages(second), Outgoing::Outages(first)]);
            }
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
            Err(Gap { lane, epoch, nonce, first_seq: batch.first_seq, last_seq, why: GapWhy::Refused })
        }
    }
}

/// A single outage is smaller than every limit: names are.
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
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(ranges, [(11, 12, None), (13, 13, Some(GapWhy::Refused)), (14, 15, None)]);
    }

    #[test]
    fn many_outages_go_in_parts() {
        let ReadingBatch { lane, epoch, nonce, first_seq, .. } = batch(1);
        let (from, to) = (Timestamp::from_nanos(1), Timestamp::from_nanos(2));
        let outage = Outage { site: SiteId::new("s").unwrap(), device: None, from, to, why: OutageWhy::Stopped };
        let whole = Outages { lane, epoch, nonce, first_seq, outages: vec![outage; 1000] };
        let mut next = first_seq;
        for part in fit(Outgoing::Outages(whole), 2000) {
            assert!(part.bytes.len() < 2000);
            let Outgoing::Outages(part) = part.outgoing else { panic!("no outages") };
            assert_eq!((part.first_seq, part.nonce), (next, nonce));
            next = part.last_seq().unwrap().checked_add(1).unwrap();
        }
        assert_eq!(next, Seq(1011));
    }

    #[test]
    fn what_fits_stays_whole() {
        assert_eq!(fit(Outgoing::Readings(batch(3)), 1 << 20).len(), 1);
    }
}
