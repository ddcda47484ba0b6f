//! The demand of the feeders: the past to be imported, and what is measured live after it.
//!
//! Kept here: recorded time is moved by whole weeks, so that a Monday's morning stays one, in UTC; the live values go on
//! where the past ends.

use forebay_schemas::Timestamp;

use crate::{
    PlantError, Scenario,
    recording::{FEEDER_287, HAL},
};

const QUARTER_NANOS: i64 = 15 * 60 * 1_000_000_000;
const WEEK: usize = 7 * 96;
const HISTORY: usize = 4 * WEEK;

/// Monday, 1970-01-05, in quarters of an hour since 1970-01-01.
const FIRST_MONDAY: i64 = 4 * 96;

/// The last 28 days of the feeder [`FEEDER`](crate::FEEDER), to be imported before the plant starts: event time and load in
/// MW, one a quarter of an hour, the last one at the latest quarter that is not after `now`.
///
/// # Errors
/// The shipped data is damaged.
pub fn demand_history(
    scenario: Scenario,
    now: Timestamp,
) -> Result<Vec<(Timestamp, f64)>, PlantError> {
    let values = FEEDER_287.values()?;
    let last = last_of_history(now);
    let past = slice(&values, last + 1 - HISTORY, last + 1);
    let end = quarter(now);
    let rows = past.iter().enumerate().map(|(place, load)| {
        let before_end = HISTORY - 1 - place;
        let nanos = (end - before_end as i64).saturating_mul(QUARTER_NANOS);
        let factor = if before_end < WEEK {
            scenario.demand_factor()
        } else {
            1.0
        };
        (Timestamp::from_nanos(nanos), load * factor)
    });
    Ok(rows.collect())
}

/// A feeder's next values, a week of them.
pub(crate) struct Live {
    /// Its name in the topic.
    pub(crate) feeder: &'static str,
    /// Load in MW.
    pub(crate) loads: Vec<f64>,
}

/// The week after [`demand_history`], and a week of a feeder that feeds in by day.
pub(crate) fn live(scenario: Scenario, now: Timestamp) -> Result<Vec<Live>, PlantError> {
    let next = last_of_history(now) + 1;
    let values = FEEDER_287.values()?;
    let factor = scenario.demand_factor();
    let demand = slice(&values, next, next + WEEK)
        .iter()
        .map(|load| load * factor)
        .collect();
    let mut substation = HAL.values()?;
    let begin = (place_in_week(now) + 1) % substation.len();
    substation.rotate_left(begin);
    Ok(vec![
        Live {
            feeder: crate::FEEDER,
            loads: demand,
        },
        Live {
            feeder: "substation-hal",
            loads: substation,
        },
    ])
}

/// The row of the recorded six weeks that stands for `now`, in their fifth week.
fn last_of_history(now: Timestamp) -> usize {
    HISTORY + place_in_week(now)
}

fn place_in_week(now: Timestamp) -> usize {
    (quarter(now) - FIRST_MONDAY).rem_euclid(WEEK as i64) as usize
}

fn quarter(now: Timestamp) -> i64 {
    now.nanos().div_euclid(QUARTER_NANOS)
}

/// Shorter where the data is: a test holds its length.
fn slice(values: &[f64], from: usize, to: usize) -> &[f64] {
    values.get(from..to.min(values.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23 15:13:45, a Monday.
    const NOW: i64 = 1_795_446_825_000_000_000;

    fn recorded() -> Vec<(String, f64)> {
        let text = FEEDER_287.text().unwrap();
        let rows = text.lines().skip(1).map(|row| row.split_once(',').unwrap());
        rows.map(|(time, load)| (time.to_owned(), load.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_past_ends_at_the_latest_quarter_and_keeps_its_weekdays() {
        let rows = demand_history(Scenario::Recorded, Timestamp::from_nanos(NOW)).unwrap();
        assert_eq!(rows.len(), 28 * 96);
        let (last, load) = rows[rows.len() - 1];
        assert_eq!(
            jiff::Timestamp::from_nanosecond(last.nanos().into())
                .unwrap()
                .to_string(),
            "2026-11-23T15:00:00Z"
        );
        assert!(
            rows.windows(2)
                .all(|pair| pair[1].0.nanos() - pair[0].0.nanos() == QUARTER_NANOS)
        );
        // The Monday of the fifth recorded week.
        assert!(recorded().contains(&("2020-11-23 15:00:00+00:00".to_owned(), load)));
    }

    #[test]
    fn every_quarter_of_a_week_has_a_past_and_a_future_in_one_piece() {
        let recorded: Vec<f64> = recorded().into_iter().map(|(_, load)| load).collect();
        for place in 0..WEEK as i64 {
            let now = Timestamp::from_nanos(NOW + place * QUARTER_NANOS);
            let mut whole: Vec<f64> = demand_history(Scenario::Healthy, now)
                .unwrap()
                .into_iter()
                .map(|(_, load)| load)
                .collect();
            let live = live(Scenario::Healthy, now).unwrap();
            assert_eq!(
                live.iter().map(|live| live.loads.len()).collect::<Vec<_>>(),
                [WEEK, WEEK]
            );
            whole.extend(&live[0].loads);
            assert!(
                recorded.windows(whole.len()).any(|piece| piece == whole),
                "{place}"
            );
        }
    }

    #[test]
    fn a_perturbed_demand_is_higher_in_the_last_week_and_live() {
        let now = Timestamp::from_nanos(NOW);
        let history = |scenario| demand_history(scenario, now).unwrap();
        let (recorded, perturbed) = (history(Scenario::Recorded), history(Scenario::Perturbed));
        let changed = recorded
            .iter()
            .zip(&perturbed)
            .filter(|(before, after)| before.1 * 1.3 == after.1 && before.1 != 0.0);
        assert_eq!(changed.count(), WEEK);
        assert_eq!(recorded[..3 * WEEK], perturbed[..3 * WEEK]);
        let loads = |scenario| live(scenario, now).unwrap().swap_remove(0).loads;
        let higher = loads(Scenario::Recorded)
            .iter()
            .map(|load| load * 1.3)
            .collect::<Vec<_>>();
        assert_eq!(loads(Scenario::Perturbed), higher);
    }

    #[test]
    fn the_ends_of_time_do_no_harm() {
        for nanos in [i64::MIN, -1, 0, i64::MAX] {
            assert_eq!(
                demand_history(Scenario::Recorded, Timestamp::from_nanos(nanos))
                    .unwrap()
                    .len(),
                HISTORY
            );
        }
    }
}
