//! Values that stand still although the series does not.

use super::{Observation, Stretch};

/// A run is stuck when chance would give one so long less often than once in this many.
const CHANCE: f64 = 1e-6;

/// Fewer equal readings than this are no run.
const READINGS_MIN: usize = 6;

/// The runs of equal values that last at least `shortest_micros` and are unlikely for a series that changes as often as
/// this one does outside of the run; `value` is where they stand. A series that hardly ever changes (a set point, a
/// counter at rest) has none.
pub fn stuck_values(readings: &[Observation], shortest_micros: i64) -> Vec<Stretch> {
    let runs = runs(readings);
    let count = runs.len() as f64;
    let is_stuck = |run: &Stretch| {
        let held = (run.readings - 1) as f64;
        // Each reading after another either changes or holds; one of each is added, so that neither is impossible.
        let others_held = readings.len() as f64 - count - held;
        let holds = (others_held + 1.0) / (others_held + count + 1.0);
        run.readings >= READINGS_MIN
            && run.to_micros - run.from_micros >= shortest_micros
            && held * holds.ln() < CHANCE.ln()
    };
    runs.iter().filter(|run| is_stuck(run)).copied().collect()
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
