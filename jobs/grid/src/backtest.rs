//! The default settings replayed over a real feeder, a forecast at each midnight (UTC) that sees only what came before it.
//!
//! Nothing was tuned on this record but the window of near residuals, which was fixed before the first run.

use std::{collections::BTreeMap, io::Read as _, path::Path};

use forebay_jobs::SeriesPattern;

use crate::{GridDemand, SeasonalNaive, Step};

const STEP_SECONDS: i64 = 900;
const DAY: i64 = 96;

fn load() -> Vec<Step> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/feeder_287.csv.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let rows = text
        .lines()
        .skip(1)
        .map(|line| line.split_once(',').unwrap());
    let of_row = |(at, load): (&str, &str)| {
        let at: jiff::Timestamp = at.replace("+00:00", "Z").parse().unwrap();
        // An empty cell is a hole.
        Some(Step {
            index: at.as_second() / STEP_SECONDS,
            mean: load.parse().ok()?,
        })
    };
    rows.filter_map(of_row).collect()
}

#[derive(Debug)]
struct Measured {
    forecasts: usize,
    mae: f64,
    covered: f64,
    width: f64,
}

/// A forecast at the start of each day from the 35th on, over the same days whatever the method.
fn replay(method: &SeasonalNaive, steps: &[Step]) -> Measured {
    let truth: BTreeMap<i64, f64> = steps.iter().map(|step| (step.index, step.mean)).collect();
    let (first, last) = (steps[0].index, steps[steps.len() - 1].index);
    let (mut error, mut inside, mut width, mut count) = (0.0, 0, 0.0, 0);
    let mut now = first + 35 * DAY;
    while now + DAY <= last + 1 {
        for forecast in method.forecast(steps, now).unwrap() {
            let Some(truth) = truth.get(&forecast.index) else {
                continue;
            };
            error += (forecast.value - truth).abs();
            inside += usize::from((forecast.lo..=forecast.hi).contains(truth));
            width += forecast.hi - forecast.lo;
            count += 1;
        }
        now += DAY;
    }
    let n = count as f64;
    Measured {
        forecasts: count,
        mae: error / n,
        covered: inside as f64 / n,
        width: width / n,
    }
}

#[test]
fn the_feeder_is_forecast_no_worse_than_by_either_season_and_the_bounds_hold() {
    let steps = load();
    let pattern = SeriesPattern {
        devices: vec!["*".into()],
        tags: vec!["load".into()],
    };
    let chosen = GridDemand::new(pattern).method();
    let of_season = |season: i64| {
        replay(
            &SeasonalNaive {
                seasons: vec![season],
                ..chosen.clone()
            },
            &steps,
        )
    };
    let (day, week, both) = (of_season(DAY), of_season(7 * DAY), replay(&chosen, &steps));
    println!("day {day:?}\nweek {week:?}\nchosen {both:?}");
    assert!(
        both.forecasts >= 7_000 && both.forecasts == day.forecasts,
        "{both:?} {day:?}"
    );
    assert!(
        both.mae <= 1.02 * day.mae.min(week.mae),
        "chosen {both:?}, day {day:?}, week {week:?}"
    );
    assert!(
        (0.85..=0.95).contains(&both.covered),
        "the 90 % bounds held {both:?}"
    );
    assert!(
        both.width < week.width,
        "bounds are no wider than those of the week: {both:?}, {week:?}"
    );
}
