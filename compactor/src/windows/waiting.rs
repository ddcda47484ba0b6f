//! Which windows are over by the clock and still open, and what they wait for. Pure.

use std::{collections::BTreeMap, fmt};

use forebay_schemas::Timestamp;

use super::{WindowSettings, watermark::Bound};

/// What holds a site's watermark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldBy {
    /// The device that is furthest behind, of those that are heard.
    Device(String),
    /// Readings behind a jump in a stream, whose missing ones may still come.
    Jump,
    /// No device is heard: the clock, less the lateness.
    Clock,
}

impl fmt::Display for HeldBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(device) => write!(f, "device {device}"),
            Self::Jump => f.write_str("missing readings of a stream"),
            Self::Clock => f.write_str("the clock"),
        }
    }
}

/// The first window of a site that is over by the clock and still open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingWindow {
    /// The site.
    pub site: String,
    /// When it begins.
    pub window_start: Timestamp,
    /// When it ended.
    pub window_end: Timestamp,
    /// What it waits for.
    pub held_by: HeldBy,
    /// Since when it has waited for that.
    pub since: Timestamp,
}

/// What windows waited for at the last look.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeMap<String, Known>);

#[derive(Debug)]
struct Known {
    window: WaitingWindow,
    /// Whether the log says so.
    is_told: bool,
}

impl Waiting {
    /// Takes in the watermarks of a look at `now`; answers the windows that have waited for longer than the lateness, once for
    /// each cause.
    pub(super) fn look(
        &mut self,
        bounds: &BTreeMap<String, Bound>,
        settings: &WindowSettings,
        now: Timestamp,
    ) -> Vec<WaitingWindow> {
        let time = |micros: i64| Timestamp::from_nanos(micros.saturating_mul(1_000));
        let before = std::mem::take(&mut self.0);
        let mut to_tell = Vec::new();
        let late = super::micros(settings.lateness);
        for (site, bound) in bounds {
            let start = settings.over(bound.micros);
            let end = start.saturating_add(settings.window_micros());
            if end > now.micros() {
                continue;
            }
            let known = before
                .get(site)
                .filter(|known| known.window.held_by == bound.held_by);
            let window = WaitingWindow {
                site: site.clone(),
                window_start: time(start),
                window_end: time(end),
                held_by: bound.held_by.clone(),
                since: known.map_or(now, |known| known.window.since),
            };
            let was_told = known.is_some_and(|known| known.is_told);
            let is_late = end.saturating_add(late) <= now.micros();
            if is_late && !was_told {
                to_tell.push(window.clone());
            }
            let is_told = is_late || was_told;
            self.0.insert(site.clone(), Known { window, is_told });
        }
        to_tell
    }

    pub(super) fn windows(&self) -> Vec<WaitingWindow> {
        self.0.values().map(|known| known.window.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: i64 = 1_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * SECOND).unwrap()
    }

    #[test]
    fn a_window_waits_from_its_end_on_and_is_told_once_for_each_cause() {
        let settings = WindowSettings {
            window: Duration::from_secs(60),
            lateness: Duration::from_secs(5),
            ..WindowSettings::default()
        };
        let mut waiting = Waiting::default();
        let mut check =
            |held_by: HeldBy, bound: i64, now: i64, told: usize, left: &[(i64, i64)]| {
                let bound = Bound {
                    micros: bound * SECOND,
                    held_by,
                };
                let bounds = BTreeMap::from([("plant".to_owned(), bound)]);
                assert_eq!(
                    waiting.look(&bounds, &settings, at(now)).len(),
                    told,
                    "at {now}"
                );
                let seconds = |time: Timestamp| time.micros() / SECOND;
                let found: Vec<(i64, i64)> = waiting
                    .windows()
                    .iter()
                    .map(|window| (seconds(window.window_start), seconds(window.since)))
                    .collect();
                assert_eq!(found, left, "at {now}");
            };
        let slow = || HeldBy::Device("slow".into());
        check(slow(), 50, 55, 0, &[]);
        check(slow(), 59, 60, 0, &[(0, 60)]);
        check(slow(), 59, 64, 0, &[(0, 60)]);
        check(slow(), 59, 65, 1, &[(0, 60)]);
        check(slow(), 59, 70, 0, &[(0, 60)]);
        check(HeldBy::Jump, 40, 80, 1, &[(0, 80)]);
        check(slow(), 61, 130, 1, &[(60, 130)]);
        check(slow(), 129, 131, 0, &[]);
        check(HeldBy::Clock, 100, 180, 1, &[(60, 180)]);
    }
}
