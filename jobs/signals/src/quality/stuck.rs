//! Values that stand still although the series does not.

use super::{Observation, Stretch};

/// A run is stuck when chance would give one so long less often than once in this many.
const CHANCE: f64 = 1e-4;

/// Fewer equal readings than this are no run.
const READINGS_MIN: usize = 6;

/// The runs of equal values that last at least `shortest_micros` and are unlikely for a series that changes as often as
/// this one does outside of its long runs; `value` is where they stand. A series that hardly ever changes (a set point, a counter at
/// rest) has none.
pub fn stuck_values(readings: &[Observation], shortest_micros: i64) -> Vec<Stretch> {
    let runs = runs(readings);
    let is_long = |run: &Stretch| {
        run.readings >= READINGS_MIN && run.to_micros - run.from_micros >= shortest_micros
    };
    let (mut others, mut held) = (0_usize, 0_usize);
    for run in runs.iter().filter(|run| !is_long(run)) {
        others += 1;
        held += run.readings - 1;
    }
    // Each reading after another either changes or holds; one of each is added, so that neither is impossible.
    let holds = (held as f64 + 1.0) / ((others + held) as f64 + 2.0);
    let unlikely = |run: &Stretch| (run.readings as f64 - 1.0) * holds.ln() < CHANCE.ln();
    runs.into_iter()
        .filter(|run| is_long(run) && unlikely(run))
        .collect()
}

fn runs(readings: &[Observation]) -> Vec<Stretch> {
    let mut runs: Vec<Stretch> = Vec::new();
    for reading in readings {
        match runs.last_mut() {
            Some(run) if run.value == reading.value => {
                run.to_micros = reading.event_micros;
                run.readings += 1;
            }
            _ => runs.push(Stretch {
                from_micros: reading.event_micros,
                to_micros: reading.event_micros,
                readings: 1,
                value: reading.value,
            }),
        }
    }
    runs
}
