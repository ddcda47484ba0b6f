//! Readings to measure with: recorded signals at length, as four gateways would send them.
//!
//! A recorded series is stretched to a value a second: between two recorded values a straight line, and on it noise of a few
//! steps of the sensor's resolution, so that no stretch repeats another. The same call gives the same readings.

use forebay_schemas::{
    DeviceId, Epoch, EpochNonce, GatewayId, Lane, LaneId, Quality, Reading, Seq, Series, SiteId,
    Status, TagName, Timestamp, Value, wire::ReadingBatch,
};
use forebay_simulated::{Signal, signals};

/// Readings of one record.
pub(crate) const RECORD_READINGS: u64 = 100;
/// Gateways, each with one lane. Their names spread over the partitions of a topic that has as many.
pub(crate) const GATEWAYS: u64 = 4;
const DEVICES: u64 = 4;
/// 2026-03-02T00:00:00Z; all readings lie in this day.
const BEGIN_NANOS: i64 = 1_772_409_600_000_000_000;
const SECOND: i64 = 1_000_000_000;
/// Seconds from one recorded value to the next.
const STRETCH: u64 = 60;
/// Steps of a sensor's resolution in one unit.
const STEPS: f64 = 100.0;
/// One reading of so many is uncertain.
const UNCERTAIN_EVERY: u64 = 1_000;

/// The readings of one gateway, without end.
pub(crate) struct Plant {
    lane: LaneId,
    series: Vec<(Series, Point)>,
}

enum Point {
    Measured(Signal),
    Counter,
}

impl Plant {
    /// The gateway with this number.
    pub(crate) fn new(gateway: u64) -> anyhow::Result<Self> {
        let (site, lane) = (SiteId::new("plant")?, Lane(0));
        let mut series = Vec::new();
        for device in 0..DEVICES {
            let device = DeviceId::new(&format!("press-{}", gateway * DEVICES + device))?;
            let named = |tag| {
                anyhow::Ok(Series {
                    site: site.clone(),
                    device: device.clone(),
                    tag: TagName::new(tag)?,
                })
            };
            for signal in signals()? {
                series.push((named(signal.name)?, Point::Measured(signal)));
            }
            series.push((named("strokes")?, Point::Counter));
        }
        Ok(Self {
            lane: LaneId {
                gateway: GatewayId::new(&format!("gateway-{gateway}"))?,
                lane,
            },
            series,
        })
    }

    pub(crate) fn lane(&self) -> &LaneId {
        &self.lane
    }

    /// How many records so many readings make.
    pub(crate) fn records(&self, readings: u64) -> u64 {
        readings.div_ceil(RECORD_READINGS)
    }

    /// The record with this number, from 0, of the first so many readings; none behind the last.
    pub(crate) fn record(&self, number: u64, readings: u64) -> Option<ReadingBatch> {
        let first = number * RECORD_READINGS;
        let places = first..readings.min(first + RECORD_READINGS);
        (!places.is_empty()).then(|| ReadingBatch {
            lane: self.lane.clone(),
            epoch: Epoch(1),
            nonce: EpochNonce::UNKNOWN,
            first_seq: Seq(first + 1),
            readings: places.map(|place| self.reading(place)).collect(),
        })
    }

    /// The reading at a place: every second each series gives one.
    fn reading(&self, place: u64) -> Reading {
        let count = self.series.len() as u64;
        let (second, number) = (place / count, place % count);
        let (series, point) = &self.series[number as usize];
        let polled =
            BEGIN_NANOS + second as i64 * SECOND + (number / (count / DEVICES)) as i64 * SECOND / 8;
        let chance = mixed(place ^ mixed(number));
        let (value, unit) = match point {
            Point::Measured(signal) => {
                let noise = (chance % 9) as f64 - 4.0;
                let exact = stretched(&signal.values, second + number * 7_919);
                (
                    Value::F64((exact * STEPS + noise).round() / STEPS),
                    Some(signal.unit.into()),
                )
            }
            Point::Counter => (Value::U64(second * 2 + number), None),
        };
        let status = match place % UNCERTAIN_EVERY {
            0 => Status {
                quality: Quality::Uncertain,
                code: Some(0x4094_0000),
                reason: Some("sensor not accurate".to_owned()),
            },
            _ => Status::GOOD,
        };
        Reading {
            series: series.clone(),
            event_time: Timestamp::from_nanos(polled + (chance >> 8 & 0xfff) as i64 * 1_000),
            observed_time: Timestamp::from_nanos(
                polled + 20_000_000 + (mixed(second ^ number) & 0xf_ffff) as i64,
            ),
            value: Some(value),
            unit,
            status,
        }
    }
}

/// The signal at a second, which after its last value begins again.
fn stretched(values: &[f64], second: u64) -> f64 {
    let at = |place: u64| {
        values
            .get((place % values.len().max(1) as u64) as usize)
            .copied()
            .unwrap_or_default()
    };
    let (place, part) = (second / STRETCH, (second % STRETCH) as f64 / STRETCH as f64);
    at(place) + (at(place + 1) - at(place)) * part
}

/// A number that looks random (Steele, Lea, Flood: SplitMix64, 2014).
fn mixed(number: u64) -> u64 {
    let a = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ a >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let c = (b ^ b >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    c ^ c >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn readings_are_many_series_without_a_hole_and_the_same_each_time() {
        let plant = Plant::new(1).unwrap();
        let batches: Vec<ReadingBatch> = (0..)
            .map_while(|number| plant.record(number, 250))
            .collect();
        assert_eq!(
            batches
                .iter()
                .map(|batch| batch.readings.len())
                .collect::<Vec<_>>(),
            [100, 100, 50]
        );
        assert_eq!(
            batches
                .iter()
                .map(|batch| batch.first_seq.0)
                .collect::<Vec<_>>(),
            [1, 101, 201]
        );
        let readings = || batches.iter().flat_map(|batch| &batch.readings);
        let series: BTreeSet<&Series> = readings().map(|reading| &reading.series).collect();
        assert_eq!(series.len(), 20);
        assert_eq!((plant.records(250), plant.records(300)), (3, 3));
        assert_eq!(
            Some(&batches[2]),
            Plant::new(1).unwrap().record(2, 250).as_ref()
        );
        let values: BTreeSet<u64> = readings()
            .filter(|reading| reading.series == batches[0].readings[0].series)
            .filter_map(|reading| reading.value.as_ref()?.as_f64())
            .map(f64::to_bits)
            .collect();
        assert!(values.len() > 3, "a signal moves: {values:?}");
    }

    #[test]
    fn the_most_that_may_be_asked_for_lies_in_one_day() {
        let plant = Plant::new(0).unwrap();
        let last = 6_000_000 / GATEWAYS;
        assert_eq!(
            plant.reading(0).event_time.day(),
            plant.reading(last).event_time.day()
        );
    }
}
