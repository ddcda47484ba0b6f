//! How bad a waveform is, beside the machine's past, the zones, and the noise around the lines of its bearing.
//!
//! The score is the largest of three ratios, each of what was measured to what is allowed, so that 1 is the limit:
//! trend / `limit`, velocity / zone boundary B/C, prominence of a bearing's line / `prominence`.

use std::collections::BTreeMap;

use forebay_jobs::Severity;
use forebay_signals::{bearing::Part, envelope::Line, trend::trend};

use crate::{measure::Measured, settings::Vibration};

/// A machine that hardly varies has at least this deviation, as a share of the level.
const TREND_FLOOR: f64 = 0.1;

/// Beyond this score a warning is critical.
const CRITICAL: f64 = 2.0;

/// The values of each feature in the past windows of one tag.
pub(crate) type Past = BTreeMap<String, Vec<f64>>;

/// What made the score.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cause {
    /// A feature has risen this many robust deviations above the past.
    Trend {
        feature: &'static str,
        value: f64,
        deviations: f64,
    },
    /// The velocity, against the zone boundaries.
    Velocity { velocity_mm_s: f64, zones: [f64; 3] },
    /// The line of a part stands out of the noise.
    Line {
        part: Part,
        expected_hz: f64,
        line: Line,
    },
}

/// How bad a waveform is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judged {
    pub(crate) score: f64,
    /// `None` where nothing could be judged, which is a score of 0.
    pub(crate) cause: Option<Cause>,
    pub(crate) severity: Severity,
    /// The largest trend, in robust deviations; `None` without enough past.
    pub(crate) trend: Option<f64>,
}

pub(crate) fn judge(settings: &Vibration, measured: &Measured, past: &Past) -> Judged {
    let trend = largest_trend(settings, measured, past);
    let velocity = measured.velocity_mm_s.zip(settings.zones);
    let causes = [
        trend.clone().map(|cause| match cause {
            Cause::Trend { deviations, .. } => (deviations / settings.limit, cause),
            other => (0.0, other),
        }),
        velocity.map(|(velocity_mm_s, zones)| {
            let cause = Cause::Velocity {
                velocity_mm_s,
                zones,
            };
            (velocity_mm_s / zones[1], cause)
        }),
        most_prominent(measured).map(|(part, expected_hz, line)| {
            let cause = Cause::Line {
                part,
                expected_hz,
                line,
            };
            (line.prominence / settings.prominence, cause)
        }),
    ];
    let worst = causes
        .into_iter()
        .flatten()
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let score = worst.as_ref().map_or(0.0, |(score, _)| score.max(0.0));
    let in_zone_d = velocity.is_some_and(|(velocity, zones)| velocity > zones[2]);
    let deviations = match trend {
        Some(Cause::Trend { deviations, .. }) => Some(deviations),
        _ => None,
    };
    Judged {
        score,
        cause: worst.map(|(_, cause)| cause),
        severity: match score > CRITICAL || in_zone_d {
            true => Severity::Critical,
            false => Severity::Warning,
        },
        trend: deviations,
    }
}

fn largest_trend(settings: &Vibration, measured: &Measured, past: &Past) -> Option<Cause> {
    let of_feature = |(feature, value): (&'static str, f64)| {
        let past = past.get(feature)?;
        let deviations = trend(past, value, TREND_FLOOR, settings.windows_min)?;
        Some((feature, value, deviations))
    };
    let (feature, value, deviations) = measured
        .features()
        .into_iter()
        .filter_map(of_feature)
        .max_by(|a, b| a.2.total_cmp(&b.2))?;
    Some(Cause::Trend {
        feature,
        value,
        deviations,
    })
}

/// The line that stands furthest out of the noise around it.
fn most_prominent(measured: &Measured) -> Option<(Part, f64, Line)> {
    let lines = measured.bearing.iter().flat_map(|bearing| &bearing.lines);
    lines
        .filter_map(|of| Some((of.part, of.expected_hz, of.line?)))
        .max_by(|a, b| a.2.prominence.total_cmp(&b.2.prominence))
}

#[cfg(test)]
mod tests {
    use forebay_signals::waveform::Levels;

    use super::*;

    fn measured(rms: f64, velocity_mm_s: Option<f64>) -> Measured {
        Measured {
            levels: Levels {
                rms,
                kurtosis: 3.0,
                crest_factor: 4.0,
            },
            velocity_mm_s,
            bearing: None,
            unit: None,
            rate_hz: 1_000.0,
            samples: 1_000,
        }
    }

    #[test]
    fn the_worst_of_trend_and_zone_is_the_score() {
        let settings = Vibration::for_tests();
        let past: Past = [("rms".to_owned(), vec![1.0; 12])].into();
        let score = |rms, velocity| judge(&settings, &measured(rms, velocity), &past);
        assert!(score(1.1, None).score < 0.3);
        let risen = score(2.0, Some(2.0));
        assert!(risen.score > 1.0 && matches!(risen.cause, Some(Cause::Trend { .. })));
        assert_eq!(score(1.0, Some(5.0)).severity, Severity::Warning);
        assert_eq!(score(1.0, Some(8.0)).severity, Severity::Critical);
        let new = judge(&settings, &measured(9.0, None), &Past::new());
        assert_eq!((new.score, new.cause, new.trend), (0.0, None, None));
    }
}
