//! Times of devices that the gateway's clock contradicts: they are stored as they came, and never trusted in silence.
//!
//! A time ahead of the gateway's is wrong in any case. A time behind it may be that of a reading that had to wait, so it is
//! judged only where a limit says how long readings may wait; an answer to what holds now may be as old as it likes.

use std::time::Duration;

use forebay_connectors::SampleKind;
use forebay_schemas::{Quality, Reading, Timestamp};

use crate::series::elapsed;

/// How far a device's time may be from the gateway's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockSkew {
    /// Ahead; none: any time passes.
    pub ahead_max: Option<Duration>,
    /// Behind; none: any time passes.
    pub behind_max: Option<Duration>,
}

impl ClockSkew {
    /// Whether a reading's time is further ahead than it may be.
    pub(crate) fn is_ahead(self, reading: &Reading) -> bool {
        let latest = self.latest(reading.observed_time);
        latest.is_some_and(|latest| reading.event_time > latest)
    }

    /// The latest time that a reading may have; none: any.
    pub(crate) fn latest(self, observed: Timestamp) -> Option<Timestamp> {
        let ahead_max = i64::try_from(self.ahead_max?.as_nanos()).unwrap_or(i64::MAX);
        Some(Timestamp::from_nanos(
            observed.nanos().saturating_add(ahead_max),
        ))
    }

    /// Makes a reading uncertain whose time is too far away. The reason is the same for all, so that a series that keeps its
    /// skew keeps its status.
    pub(crate) fn judge(self, reading: &mut Reading, kind: SampleKind) {
        let ahead = reading.event_time > reading.observed_time;
        let (limit, which) = if ahead {
            (self.ahead_max, "ahead of")
        } else {
            let behind_max = self.behind_max.filter(|_| kind == SampleKind::Update);
            (behind_max, "behind")
        };
        let Some(limit) = limit else { return };
        let distance = if ahead {
            elapsed(reading.observed_time, reading.event_time)
        } else {
            elapsed(reading.event_time, reading.observed_time)
        };
        if distance <= limit {
            return;
        }
        let status = &mut reading.status;
        status.quality = status.quality.max(Quality::Uncertain);
        status.reason.get_or_insert_with(|| {
            format!("the device's time is more than {limit:?} {which} the gateway's clock")
        });
    }
}

#[cfg(test)]
mod tests {
    use forebay_schemas::{DeviceId, Series, SiteId, Status, TagName};

    use super::*;

    #[test]
    fn a_time_that_the_gateways_clock_contradicts_is_uncertain() {
        let skew = ClockSkew {
            ahead_max: Some(Duration::from_secs(300)),
            behind_max: Some(Duration::from_secs(3_600)),
        };
        let late = ClockSkew {
            behind_max: None,
            ..skew
        };
        let ahead = Some("the device's time is more than 300s ahead of the gateway's clock");
        let behind = Some("the device's time is more than 3600s behind the gateway's clock");
        // Seconds from the gateway's clock, and what is said of them.
        let table = [
            (skew, 0, SampleKind::Update, None),
            (skew, 300, SampleKind::Update, None),
            (skew, 301, SampleKind::Update, ahead),
            (skew, 301, SampleKind::Snapshot, ahead),
            (skew, -3_600, SampleKind::Update, None),
            (skew, -3_601, SampleKind::Update, behind),
            (skew, -3_601, SampleKind::Snapshot, None),
            (late, -1_000_000, SampleKind::Update, None),
            (ClockSkew::default(), 1_000_000, SampleKind::Update, None),
        ];
        for (skew, seconds, kind, expected) in table {
            let name = |name| TagName::new(name).unwrap();
            let mut reading = Reading {
                series: Series {
                    site: SiteId::new("s").unwrap(),
                    device: DeviceId::new("d").unwrap(),
                    tag: name("t"),
                },
                event_time: Timestamp::from_nanos((2_000_000_000 + seconds) * 1_000_000_000),
                observed_time: Timestamp::from_nanos(2_000_000_000 * 1_000_000_000),
                value: None,
                unit: None,
                status: Status::GOOD,
            };
            skew.judge(&mut reading, kind);
            assert_eq!(reading.status.reason.as_deref(), expected, "{seconds} s");
            let quality = if expected.is_some() {
                Quality::Uncertain
            } else {
                Quality::Good
            };
            assert_eq!(reading.status.quality, quality);
        }
    }
}
