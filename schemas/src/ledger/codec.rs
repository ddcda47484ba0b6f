//! Ledger to bytes and back: Protobuf, whose numbers are distances to the one before.
//!
//! A stored format: a spool keeps it, sealed. The golden file beside the tests holds it.

use prost::Message;

use super::{Ledger, Resolution, SeqRanges, Span, Tally};

#[derive(Clone, PartialEq, Message)]
struct StoredLedger {
    #[prost(sint32, tag = "1")]
    days_from: i32,
    #[prost(sint32, tag = "2")]
    hours_from: i32,
    #[prost(message, repeated, tag = "3")]
    received: Vec<StoredDevice>,
    #[prost(message, repeated, tag = "4")]
    expired: Vec<StoredDevice>,
    #[prost(message, repeated, tag = "5")]
    covered: Vec<StoredEpoch>,
    #[prost(message, repeated, tag = "6")]
    dropped: Vec<StoredEpoch>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredDevice {
    #[prost(string, tag = "1")]
    device: String,
    #[prost(uint64, optional, tag = "2")]
    older: Option<u64>,
    /// The first from 1970-01-01, each other one from the one before.
    #[prost(sint32, repeated, tag = "3")]
    day_deltas: Vec<i32>,
    #[prost(uint64, repeated, tag = "4")]
    day_counts: Vec<u64>,
    #[prost(sint32, repeated, tag = "5")]
    hour_deltas: Vec<i32>,
    #[prost(uint64, repeated, tag = "6")]
    hour_counts: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredEpoch {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    /// For each range its first seq, from the last one of the range before, and how many follow it.
    #[prost(uint64, repeated, tag = "2")]
    ranges: Vec<u64>,
}

pub(super) fn encode(ledger: &Ledger) -> Vec<u8> {
    let Ledger {
        resolution,
        received,
        expired,
        covered,
        dropped,
    } = ledger;
    StoredLedger {
        days_from: resolution.days_from,
        hours_from: resolution.hours_from,
        received: devices(received),
        expired: devices(expired),
        covered: epochs(covered),
        dropped: epochs(dropped),
    }
    .encode_to_vec()
}

pub(super) fn decode(bytes: &[u8]) -> Option<Ledger> {
    let stored = StoredLedger::decode(bytes).ok()?;
    Some(Ledger {
        resolution: Resolution {
            days_from: stored.days_from,
            hours_from: stored.hours_from,
        },
        received: tally(stored.received)?,
        expired: tally(stored.expired)?,
        covered: ranges(stored.covered)?,
        dropped: ranges(stored.dropped)?,
    })
}

fn devices(tally: &Tally) -> Vec<StoredDevice> {
    let stored = |(device, spans): (&str, &[(Span, u64)])| {
        let mut stored = StoredDevice {
            device: device.to_owned(),
            ..StoredDevice::default()
        };
        let (mut day_before, mut hour_before) = (0, 0);
        for (span, count) in spans {
            match *span {
                Span::Older => stored.older = Some(*count),
                Span::Day(day) => {
                    stored.day_deltas.push(day - day_before);
                    stored.day_counts.push(*count);
                    day_before = day;
                }
                Span::Hour(hour) => {
                    stored.hour_deltas.push(hour - hour_before);
                    stored.hour_counts.push(*count);
                    hour_before = hour;
                }
            }
        }
        stored
    };
    tally.iter().map(stored).collect()
}

fn tally(devices: Vec<StoredDevice>) -> Option<Tally> {
    let mut tally = Tally::default();
    for StoredDevice {
        device,
        older,
        day_deltas,
        day_counts,
        hour_deltas,
        hour_counts,
    } in devices
    {
        let mut spans: Vec<(Span, u64)> = older
            .map(|count| (Span::Older, count))
            .into_iter()
            .collect();
        spans.extend(counts(day_deltas, day_counts, Span::Day)?);
        spans.extend(counts(hour_deltas, hour_counts, Span::Hour)?);
        tally.insert(device, spans);
    }
    Some(tally)
}

/// `None` unless each place has one count, and the places ascend.
fn counts(deltas: Vec<i32>, counts: Vec<u64>, span: fn(i32) -> Span) -> Option<Vec<(Span, u64)>> {
    if deltas.len() != counts.len() {
        return None;
    }
    let mut at = 0_i32;
    let mut spans = Vec::with_capacity(counts.len());
    for (place, (delta, count)) in deltas.into_iter().zip(counts).enumerate() {
        if place > 0 && delta <= 0 {
            return None;
        }
        at = at.checked_add(delta)?;
        spans.push((span(at), count));
    }
    Some(spans)
}

fn epochs(ranges: &SeqRanges) -> Vec<StoredEpoch> {
    let stored = |(epoch, ranges): (u64, &[(u64, u64)])| {
        let mut before = 0;
        let mut stored = StoredEpoch {
            epoch,
            ranges: Vec::with_capacity(ranges.len() * 2),
        };
        for (first, last) in ranges {
            stored.ranges.extend([first - before, last - first]);
            before = *last;
        }
        stored
    };
    ranges.iter().map(stored).collect()
}

fn ranges(epochs: Vec<StoredEpoch>) -> Option<SeqRanges> {
    let mut found = SeqRanges::default();
    for StoredEpoch { epoch, ranges } in epochs {
        let (pairs, rest) = ranges.as_chunks::<2>();
        if !rest.is_empty() {
            return None;
        }
        let mut before = 0_u64;
        for [distance, follow] in pairs {
            let first = before.checked_add(*distance)?;
            before = first.checked_add(*follow)?;
            found.add(epoch, first, before);
        }
    }
    Some(found)
}
