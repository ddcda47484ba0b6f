//! When the newest reading of each device passed the places on its way into the table, as far as this process brought it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Devices that are followed; of those beyond them it is not known.
const DEVICES_MAX: usize = 100_000;

/// Devices that brought nothing for so long before the last one that did are followed no more.
const KEPT_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// The way of a device's newest reading up to here, µs since 1970 UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) site: String,
    pub(super) device: String,
    pub(super) passed: Passed,
}

/// When a reading passed the places on its way; all in µs since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Its event time.
    pub(crate) event: i64,
    /// When its gateway accepted it.
    pub(crate) observed: i64,
    /// When its gateway published it.
    pub(crate) published: i64,
    /// When it was consumed.
    pub(crate) consumed: i64,
}

/// A reading that is in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) passed: Passed,
    /// When it was committed, µs since 1970 UTC.
    pub(crate) committed: i64,
}

/// The newest arrival of each device, by site and device.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(Mutex<BTreeMap<(String, String), Arrival>>);

impl Arrivals {
    /// Takes in what a commit at `committed`, µs since 1970 UTC, has brought.
    pub(super) fn note(&self, ways: Vec<Way>, committed: i64) {
        let mut arrivals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for Way {
            site,
            device,
            passed,
        } in ways
        {
            let key = (site, device);
            let is_known = arrivals.contains_key(&key);
            if !is_known && arrivals.len() >= DEVICES_MAX {
                continue;
            }
            let new = Arrival { passed, committed };
            let arrival = arrivals.entry(key).or_insert(new);
            // Several lanes may bring one device.
            if arrival.passed.event <= passed.event {
                *arrival = new;
            }
        }
        let since = committed.saturating_sub(KEPT_MICROS);
        arrivals.retain(|_, arrival| arrival.committed >= since);
    }

    pub(crate) fn all(&self) -> BTreeMap<(String, String), Arrival> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_reading_counts_and_a_device_that_is_gone_is_forgotten() {
        let way = |device: &str, event: i64| Way {
            site: "s".into(),
            device: device.into(),
            passed: Passed {
                event,
                observed: event + 1,
                published: event + 2,
                consumed: event + 3,
            },
        };
        let arrivals = Arrivals::default();
        arrivals.note(vec![way("a", 10), way("b", 20)], 30);
        // A late one, of another lane.
        arrivals.note(vec![way("a", 5)], 31);
        let shown = || -> Vec<(String, i64, i64)> {
            let all = arrivals.all().into_iter();
            all.map(|((_, device), of)| (device, of.passed.event, of.committed))
                .collect()
        };
        assert_eq!(shown(), [("a".into(), 10, 30), ("b".into(), 20, 30)]);
        arrivals.note(vec![way("b", 40)], 30 + KEPT_MICROS + 1);
        assert_eq!(shown(), [("b".into(), 40, 31 + KEPT_MICROS)]);
    }
}
