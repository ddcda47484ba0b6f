//! Times that name no zone, where clocks are changed: which of two instants is meant, and which is none.
//!
//! In the hour that clocks repeat, the order of a device's rows tells: within it the times turn back once, and what stands
//! behind the turn is the second pass. Where each time stands there twice in a row, the second is of the second pass. Where
//! the order tells neither, the first pass is taken, and counted. In the hour that clocks skip there is no such time.
//! Files may run forwards or backwards. The order is learnt in a first reading of the file, told in a second.

use std::collections::{BTreeMap, HashMap};

use forebay_schemas::Timestamp;
use jiff::{
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

use super::{quarantine::Why, time::nanos};

/// What a file's order says.
#[derive(Debug)]
pub(super) struct Clocks {
    zone: TimeZone,
    /// Clocks are never changed there.
    is_fixed: bool,
    devices: HashMap<String, Order>,
}

/// The order of a device's rows.
#[derive(Debug, Default)]
struct Order {
    /// The last time, and whether it lies in a repeated hour.
    last: Option<(DateTime, bool)>,
    /// Steps within a repeated hour tell nothing of the file's direction.
    forwards: u64,
    backwards: u64,
    /// By the instant at which clocks are put back, in seconds since 1970 UTC.
    folds: BTreeMap<i64, Fold>,
}

/// A device's rows within an hour that is repeated.
#[derive(Debug)]
struct Fold {
    last: DateTime,
    forwards: u64,
    backwards: u64,
    /// Rows with the last time, one behind the other.
    alike: u64,
    /// All times before the last stand there twice.
    all_twice: bool,
}

/// How a fold's rows tell the two passes apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// Times turn back once.
    Turn,
    /// Each time stands there twice.
    Twice,
    /// They do not.
    None,
}

/// A time within a fold: the instants of both passes.
struct Passes {
    put_back: i64,
    first: jiff::Timestamp,
    second: jiff::Timestamp,
}

impl Clocks {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self {
            is_fixed: zone.to_fixed_offset().is_ok(),
            zone,
            devices: HashMap::new(),
        }
    }

    /// Whether there is anything to learn: else the times of the first reading are of no use.
    pub(super) fn are_changed(&self) -> bool {
        !self.is_fixed
    }

    /// Learns from a row of the first reading.
    pub(super) fn learn(&mut self, device: &str, local: DateTime) {
        if self.is_fixed {
            return;
        }
        let passes = passes(&self.zone, local);
        if !self.devices.contains_key(device) {
            self.devices.insert(device.to_owned(), Order::default());
        }
        let Some(order) = self.devices.get_mut(device) else {
            return;
        };
        let last = order.last.replace((local, passes.is_some()));
        if let Some((last, in_fold)) = last
            && !(in_fold && passes.is_some())
        {
            order.forwards += u64::from(local > last);
            order.backwards += u64::from(local < last);
        }
        if let Some(Passes { put_back, .. }) = passes {
            match order.folds.get_mut(&put_back) {
                Some(fold) => fold.add(local),
                None => drop(order.folds.insert(put_back, Fold::new(local))),
            }
        }
    }

    /// The second reading, from its beginning.
    pub(super) fn told(self) -> Resolver {
        Resolver {
            clocks: self,
            passing: HashMap::new(),
            by_order: 0,
            undecided: 0,
        }
    }

    fn sign(&self, device: &str, put_back: i64) -> (Sign, bool) {
        let Some(order) = self.devices.get(device) else {
            return (Sign::None, false);
        };
        let is_backwards = order.backwards > order.forwards;
        let sign = order
            .folds
            .get(&put_back)
            .map_or(Sign::None, |fold| fold.sign(is_backwards));
        (sign, is_backwards)
    }
}

impl Fold {
    fn new(local: DateTime) -> Self {
        Self {
            last: local,
            forwards: 0,
            backwards: 0,
            alike: 1,
            all_twice: true,
        }
    }

    fn add(&mut self, local: DateTime) {
        if local == self.last {
            self.alike += 1;
            return;
        }
        self.forwards += u64::from(local > self.last);
        self.backwards += u64::from(local < self.last);
        self.all_twice &= self.alike == 2;
        (self.last, self.alike) = (local, 1);
    }

    fn sign(&self, is_backwards: bool) -> Sign {
        match if is_backwards {
            self.forwards
        } else {
            self.backwards
        } {
            1 => Sign::Turn,
            0 if self.all_twice && self.alike == 2 => Sign::Twice,
            _ => Sign::None,
        }
    }
}

/// `None` where a local time has one instant, or none.
fn passes(zone: &TimeZone, local: DateTime) -> Option<Passes> {
    let AmbiguousOffset::Fold { before, after } = zone.to_ambiguous_timestamp(local).offset()
    else {
        return None;
    };
    let first = before.to_timestamp(local).ok()?;
    let second = after.to_timestamp(local).ok()?;
    let put_back = zone.following(first).next()?.timestamp().as_second();
    Some(Passes {
        put_back,
        first,
        second,
    })
}

/// The second reading: each row's instant, and what was decided on the way.
#[derive(Debug)]
pub(super) struct Resolver {
    clocks: Clocks,
    /// By device and change of clocks: the last time, and whether the second pass has begun.
    passing: HashMap<(String, i64), (DateTime, bool)>,
    /// Rows in a repeated hour whose pass their order told.
    pub(super) by_order: u64,
    /// Rows in a repeated hour for which the first pass was taken.
    pub(super) undecided: u64,
}

impl Resolver {
    /// The instant of a row's local time; rows come in the order of the first reading.
    pub(super) fn instant(&mut self, device: &str, local: DateTime) -> Result<Timestamp, Why> {
        let out_of_range = || {
            Why::new(
                "the time cannot be read",
                format!("{local} is outside the years 1677 to 2262"),
            )
        };
        let ambiguous = self.clocks.zone.to_ambiguous_timestamp(local);
        let instant = match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } => {
                offset.to_timestamp(local).map_err(|_| out_of_range())?
            }
            AmbiguousOffset::Gap { .. } => {
                let zone = self.clocks.zone.iana_name().unwrap_or("the zone");
                let detail = format!("{local} is within the hour that clocks skip in {zone}");
                return Err(Why::new(
                    "the time does not exist: clocks were put forward",
                    detail,
                ));
            }
            AmbiguousOffset::Fold { .. } => {
                let passes = passes(&self.clocks.zone, local).ok_or_else(out_of_range)?;
                self.of_fold(device, local, &passes)
            }
        };
        nanos(instant).ok_or_else(out_of_range)
    }

    fn of_fold(&mut self, device: &str, local: DateTime, passes: &Passes) -> jiff::Timestamp {
        let (sign, is_backwards) = self.clocks.sign(device, passes.put_back);
        let (last, is_behind) = *self
            .passing
            .entry((device.to_owned(), passes.put_back))
            .or_insert((local, false));
        let turns = if is_backwards {
            local > last
        } else {
            local < last
        };
        let is_behind = match sign {
            Sign::None => {
                self.undecided += 1;
                return passes.first;
            }
            Sign::Turn => is_behind || turns,
            Sign::Twice if local == last => self.seen(device, passes.put_back),
            Sign::Twice => false,
        };
        // Of a pair, what is noted is that its first has been seen.
        let noted = if sign == Sign::Twice { true } else { is_behind };
        self.passing
            .insert((device.to_owned(), passes.put_back), (local, noted));
        self.by_order += 1;
        if is_behind == is_backwards {
            passes.first
        } else {
            passes.second
        }
    }

    fn seen(&self, device: &str, put_back: i64) -> bool {
        self.passing
            .get(&(device.to_owned(), put_back))
            .is_some_and(|(_, seen)| *seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `hh:mm` rows of one device on a day in Amsterdam; answers UTC times, `-` for none, and how many were told by
    /// order and how many were not.
    #[track_caller]
    fn check(day: &str, times: &str, expected: &str, by_order: u64, undecided: u64) {
        let local = |time: &str| format!("{day}T{time}:00").parse::<DateTime>().unwrap();
        let mut clocks = Clocks::new(TimeZone::get("Europe/Amsterdam").unwrap());
        times
            .split(' ')
            .for_each(|time| clocks.learn("meter", local(time)));
        let mut resolver = clocks.told();
        let told = times
            .split(' ')
            .map(|time| match resolver.instant("meter", local(time)) {
                Ok(at) => {
                    let at = jiff::Timestamp::from_nanosecond(at.nanos().into()).unwrap();
                    at.strftime("%H:%M").to_string()
                }
                Err(_) => "-".to_owned(),
            });
        assert_eq!(told.collect::<Vec<_>>().join(" "), expected, "{times}");
        assert_eq!(
            (resolver.by_order, resolver.undecided),
            (by_order, undecided),
            "{times}"
        );
    }

    #[test]
    fn row_order_tells_the_two_passes_of_a_repeated_hour() {
        let back = "2025-10-26";
        check(
            back,
            "01:30 02:00 02:30 02:00 02:30 03:00",
            "23:30 00:00 00:30 01:00 01:30 02:00",
            4,
            0,
        );
        check(
            back,
            "03:00 02:30 02:00 02:30 02:00 01:30",
            "02:00 01:30 01:00 00:30 00:00 23:30",
            4,
            0,
        );
        // Once an hour.
        check(
            back,
            "01:00 02:00 02:00 03:00",
            "23:00 00:00 01:00 02:00",
            2,
            0,
        );
        check(
            back,
            "03:00 02:00 02:00 01:00",
            "02:00 01:00 00:00 23:00",
            2,
            0,
        );
        // Sorted by what the clock showed.
        check(
            back,
            "01:45 02:00 02:00 02:30 02:30 03:00",
            "23:45 00:00 01:00 00:30 01:30 02:00",
            4,
            0,
        );
        // Passes of different length.
        check(
            back,
            "02:10 02:50 02:05 03:00",
            "00:10 00:50 01:05 02:00",
            3,
            0,
        );
        check(back, "02:45 02:15", "00:45 01:15", 2, 0);
    }

    #[test]
    fn what_row_order_does_not_tell_is_the_first_pass_and_counted() {
        let back = "2025-10-26";
        check(
            back,
            "01:30 02:00 02:30 03:00",
            "23:30 00:00 00:30 02:00",
            0,
            2,
        );
        check(
            back,
            "02:00 02:30 02:00 02:30 02:00 02:30",
            "00:00 00:30 00:00 00:30 00:00 00:30",
            0,
            6,
        );
        check(
            back,
            "01:00 02:10 02:10 02:10 02:20 03:00",
            "23:00 00:10 00:10 00:10 00:20 02:00",
            0,
            4,
        );
    }

    #[test]
    fn a_time_in_the_skipped_hour_does_not_exist() {
        check(
            "2025-03-30",
            "01:59 02:00 02:30 03:00",
            "00:59 - - 01:00",
            0,
            0,
        );
    }

    #[test]
    fn devices_have_an_order_each() {
        let local = |time: &str| format!("2025-10-26T{time}:00").parse::<DateTime>().unwrap();
        let rows = [
            ("a", "02:00"),
            ("b", "02:00"),
            ("a", "02:30"),
            ("b", "02:30"),
            ("a", "02:00"),
            ("b", "02:00"),
        ];
        let mut clocks = Clocks::new(TimeZone::get("Europe/Amsterdam").unwrap());
        rows.iter()
            .for_each(|(device, time)| clocks.learn(device, local(time)));
        let mut resolver = clocks.told();
        let hours = rows.map(|(device, time)| {
            resolver.instant(device, local(time)).unwrap().nanos() / 3_600_000_000_000 % 24
        });
        assert_eq!(hours, [0, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn a_zone_without_changes_decides_nothing() {
        let mut clocks = Clocks::new(TimeZone::UTC);
        let local: DateTime = "2025-10-26T02:30:00".parse().unwrap();
        assert!(!clocks.are_changed());
        clocks.learn("d", local);
        let mut resolver = clocks.told();
        assert_eq!(
            resolver.instant("d", local).unwrap().nanos(),
            1_761_445_800_000_000_000
        );
        assert_eq!((resolver.by_order, resolver.undecided), (0, 0));
    }
}
