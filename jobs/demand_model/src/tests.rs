//! Forecasts over synthetic loads, and over a real feeder.

use std::{f64::consts::TAU, io::Read as _};

use forebay_statistics::{Boosting, accuracy, boosting::SplitMix};
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    Answer, DemandModel, Inputs, Known, Method, SeasonalNaive, Step, Tuning,
    clock::{Clock, Place},
};

const HOUR: i64 = 3600;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

/// Steps of an hour in UTC, with few trees.
fn model() -> DemandModel {
    model_of(HOUR, TimeZone::UTC)
}

fn model_of(step_seconds: i64, zone: TimeZone) -> DemandModel {
    let day = 86_400 / step_seconds;
    DemandModel {
        step_seconds,
        zone,
        level: 0.9,
        trailing_days: 28,
        baseline: SeasonalNaive {
            seasons: vec![day, 7 * day],
            horizon: day,
            trailing: 28 * day,
            level: 0.9,
        },
        tuning: Tuning {
            boosting: Boosting {
                trees: 40,
                ..Tuning::default().boosting
            },
            ..Tuning::default()
        },
    }
}

fn steps(count: i64, mut value: impl FnMut(i64) -> f64) -> Vec<Step> {
    let step = |index| Step {
        index,
        mean: value(index),
    };
    (0..count).map(step).collect()
}

fn only_load(load: Vec<Step>) -> Inputs {
    Inputs {
        load,
        ..Inputs::default()
    }
}

/// Degrees at an hour: a day, slow weather, and chance.
fn temperatures(count: i64, seed: u64) -> Vec<Step> {
    let mut draw = SplitMix(seed);
    let mut weather = 0.0;
    steps(count, |hour| {
        weather = 0.99 * weather + 0.7 * draw.normal();
        12.0 + weather + 5.0 * (TAU * (hour % 24 - 9) as f64 / 24.0).sin()
    })
}

/// A load that is heated by electricity below 15 degrees, with a working day's shape and errors that grow by day.
fn heated(temperatures: &[Step], seed: u64) -> Vec<Step> {
    let mut draw = SplitMix(seed);
    let load = |step: &Step| {
        let hour = step.index % 24;
        let works = (step.index / 24) % 7 < 5 && (8..18).contains(&hour);
        let spread = if works { 6.0 } else { 2.0 };
        let shape = 100.0 + if works { 40.0 } else { 0.0 };
        Step {
            index: step.index,
            mean: shape + 4.0 * (15.0 - step.mean).max(0.0) + spread * draw.normal(),
        }
    };
    temperatures.iter().map(load).collect()
}

fn mean_error(answer: &Answer, truth: &[Step]) -> f64 {
    let sizes = answer.targets.iter().map(|target| {
        let at = truth
            .binary_search_by_key(&target.index, |step| step.index)
            .unwrap();
        (truth[at].mean - target.value).abs()
    });
    accuracy::mean(sizes).unwrap()
}

/// On the nights when clocks change a day has two half-hours less or more, and every slot keeps its clock time.
#[test]
fn days_of_46_and_50_half_hours() {
    let model = model_of(1800, zone("Australia/Melbourne"));
    for (midnight, steps, doubled) in [
        ("2013-10-05T14:00:00Z", 46, 0),
        ("2013-04-06T13:00:00Z", 50, 2),
        ("2013-06-30T14:00:00Z", 48, 0),
    ] {
        let at: Timestamp = midnight.parse().unwrap();
        let now = at.as_second() / 1800;
        let end = model.end(now, 86_400);
        assert_eq!(end - now, steps, "{midnight}");
        let clock = Clock::new(1800, model.zone.clone(), now).unwrap();
        let places: Vec<Place> = (now..end).map(|index| clock.place(index)).collect();
        let day = places[0].day;
        assert!(places.iter().all(|place| place.day == day), "{midnight}");
        assert_eq!((places[0].slot, places[places.len() - 1].slot), (0, 47));
        let mut slots: Vec<usize> = places.iter().map(|place| place.slot).collect();
        slots.sort_unstable();
        let twice = slots.windows(2).filter(|two| two[0] == two[1]).count();
        assert_eq!(twice, doubled, "{midnight}");
        assert_eq!(clock.first_step(day), now);
        assert_eq!(clock.first_step(day + 1), end);
        // From the evening before the clock is followed too.
        assert_eq!(model.end(now - 4, 86_400) - (now - 4), steps, "{midnight}");
        assert_eq!(model.end(now, 6 * HOUR) - now, 12);
    }
}

/// A load that follows the clock on the wall is forecast right on the day of the change and on the day after.
#[test]
fn the_clock_change_moves_no_slot() {
    let zone = zone("Australia/Melbourne");
    let model = model_of(1800, zone.clone());
    let start: Timestamp = "2013-06-30T14:00:00Z".parse().unwrap();
    let first = start.as_second() / 1800;
    let mut draw = SplitMix(3);
    let load = |index: i64| {
        let at = Timestamp::from_second(index * 1800)
            .unwrap()
            .to_zoned(zone.clone());
        let peak = if (17..20).contains(&at.hour()) {
            50.0
        } else {
            0.0
        };
        100.0 + peak + draw.normal()
    };
    let truth: Vec<Step> = (first..first + 105 * 48)
        .zip((first..).map(load))
        .map(|(index, mean)| Step { index, mean })
        .collect();
    for (midnight, count) in [("2013-10-05T14:00:00Z", 46), ("2013-10-06T13:00:00Z", 48)] {
        let now = midnight.parse::<Timestamp>().unwrap().as_second() / 1800;
        let answer = model
            .forecast(&only_load(truth.clone()), now, model.end(now, 86_400))
            .unwrap();
        assert_eq!(answer.targets.len(), count);
        assert_ne!(answer.method, Method::SeasonalNaive);
        let error = mean_error(&answer, &truth);
        assert!(error < 2.0, "{midnight}: {error} with {:?}", answer.method);
    }
}

/// Net load is below zero at noon; and a load that is lower by any constant has forecasts lower by as much.
#[test]
fn feed_in_is_forecast_as_it_is() {
    let mut draw = SplitMix(5);
    let net = steps(24 * 110, |hour| {
        let sun = (TAU * (hour % 24 - 6) as f64 / 24.0).sin().max(0.0);
        10.0 - 40.0 * sun + 2.0 * draw.normal()
    });
    let now = 24 * 109;
    let answer = model()
        .forecast(&only_load(net.clone()), now, now + 24)
        .unwrap();
    let noon = answer
        .targets
        .iter()
        .find(|target| target.index == now + 12)
        .unwrap();
    assert!(
        (-35.0..-25.0).contains(&noon.value) && noon.hi < 0.0,
        "{noon:?}"
    );
    let lower = steps(24 * 110, |hour| net[hour as usize].mean - 1000.0);
    let moved = model().forecast(&only_load(lower), now, now + 24).unwrap();
    assert_eq!(moved.method, answer.method);
    for (a, b) in answer.targets.iter().zip(&moved.targets) {
        assert!((a.value - b.value - 1000.0).abs() < 0.5, "{a:?} {b:?}");
    }
}

#[test]
fn what_nothing_beats_is_the_baseline() {
    let weekly = steps(24 * 110, |hour| (hour * hour % 168) as f64);
    let now = 24 * 109;
    let answer = model()
        .forecast(&only_load(weekly.clone()), now, now + 24)
        .unwrap();
    assert_eq!(
        (answer.method, answer.season),
        (Method::SeasonalNaive, Some(168))
    );
    let mae = &answer.backtests[0].measures[0];
    assert_eq!(
        (mae.metric, mae.baseline),
        ("mae", Some(0.0)),
        "the trial says why"
    );
    // A month of history is no trial, and steps that cut no day into slots have no models.
    let short = model()
        .forecast(&only_load(weekly[..24 * 30].to_vec()), 24 * 30, 24 * 31)
        .unwrap();
    assert_eq!(
        (short.method, short.backtests.len()),
        (Method::SeasonalNaive, 0)
    );
    assert!(!model_of(7 * 60, TimeZone::UTC).has_models());
    assert!(!model_of(1, TimeZone::UTC).has_models());
}

#[test]
fn temperature_ahead_helps_and_without_it_nothing_after_the_fire_is_seen() {
    let temperature = temperatures(24 * 160, 1);
    let load = heated(&temperature, 2);
    let now = 24 * 150;
    let forecast = |temperature: &[Step], load: &[Step], ahead: bool| {
        let inputs = Inputs {
            load: load.to_vec(),
            temperature: Some(Known {
                steps: temperature.to_vec(),
                ahead,
            }),
            ..Inputs::default()
        };
        model().forecast(&inputs, now, now + 48).unwrap()
    };
    let (blind, seeing) = (
        forecast(&temperature, &load, false),
        forecast(&temperature, &load, true),
    );
    assert_eq!(
        (blind.targets.len(), blind.backtests.len()),
        (48, 2),
        "two days, a trial each"
    );
    let trial = |answer: &Answer| answer.backtests[0].measures[0].value;
    assert!(
        trial(&seeing) < 0.8 * trial(&blind),
        "{} {}",
        trial(&seeing),
        trial(&blind)
    );
    let moved = |steps: &[Step]| -> Vec<Step> {
        let by = |step: &Step| if step.index < now { 0.0 } else { 30.0 };
        let moved = |step: &Step| Step {
            mean: step.mean + by(step),
            ..*step
        };
        steps.iter().map(moved).collect()
    };
    assert_eq!(forecast(&moved(&temperature), &moved(&load), false), blind);
    assert_eq!(forecast(&temperature, &moved(&load), true), seeing);
    assert_ne!(forecast(&moved(&temperature), &load, true), seeing);
}

/// A regressor that hardly moved in training and leaps later says nothing of the load.
#[test]
fn a_regressor_that_leaps_does_not_carry_the_line_away() {
    let mut draw = SplitMix(6);
    let load = steps(24 * 110, |hour| 50.0 + (hour % 24) as f64 + draw.normal());
    let mut draw = SplitMix(7);
    let dawn = steps(24 * 112, |hour| {
        let leap = if hour < 24 * 109 { 1e-11 } else { 5.0 };
        leap * draw.unit()
    });
    let now = 24 * 109;
    let inputs = Inputs {
        regressors: vec![Known {
            steps: dawn,
            ahead: true,
        }],
        ..only_load(load.clone())
    };
    let answer = model().forecast(&inputs, now, now + 24).unwrap();
    assert_ne!(answer.method, Method::SeasonalNaive);
    let error = mean_error(&answer, &load);
    assert!(error < 3.0, "{error} with {:?}", answer.method);
}

/// Errors are three times as wide at work as at night; the bounds hold both.
#[test]
fn bounds_hold_by_hour_of_day() {
    let temperature = temperatures(24 * 170, 4);
    let load = heated(&temperature, 5);
    let inputs = Inputs {
        load: load.clone(),
        temperature: Some(Known {
            steps: temperature,
            ahead: true,
        }),
        ..Inputs::default()
    };
    let mut found = [(0, 0, 0.0); 2];
    for day in 150..170 {
        let now = 24 * day;
        for target in model().forecast(&inputs, now, now + 24).unwrap().targets {
            let truth = load[target.index as usize].mean;
            let works = (9..17).contains(&(target.index % 24)) && day % 7 < 5;
            let night = !(7..19).contains(&(target.index % 24));
            if works || night {
                let of = &mut found[usize::from(works)];
                of.0 += 1;
                of.1 += i32::from((target.lo..=target.hi).contains(&truth));
                of.2 += target.hi - target.lo;
            }
        }
    }
    let [night, work] = found.map(|(count, inside, width)| {
        (
            f64::from(inside) / f64::from(count),
            width / f64::from(count),
        )
    });
    assert!((0.84..=0.97).contains(&night.0), "{night:?} {work:?}");
    assert!((0.80..=0.97).contains(&work.0), "{night:?} {work:?}");
    assert!(work.1 > 1.8 * night.1, "{night:?} {work:?}");
}

/// A Dutch feeder with much feed-in, 15 min, from its own past alone. See ../grid/tests/data/SOURCE.txt.
#[test]
fn a_real_feeder_is_forecast_better_than_by_the_baseline() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../grid/tests/data/feeder_287.csv.gz"
    );
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let of_row = |line: &str| {
        let (at, load) = line.split_once(',')?;
        let at: Timestamp = at.replace("+00:00", "Z").parse().ok()?;
        Some(Step {
            index: at.as_second() / 900,
            mean: load.parse().ok()?,
        })
    };
    let load: Vec<Step> = text.lines().skip(1).filter_map(of_row).collect();
    let model = model_of(900, zone("Europe/Amsterdam"));
    let midnight: Timestamp = "2021-01-22T23:00:00Z".parse().unwrap();
    let now = midnight.as_second() / 900;
    let answer = model
        .forecast(&only_load(load), now, model.end(now, 86_400))
        .unwrap();
    assert_eq!(answer.targets.len(), 96);
    let [mae, .., coverage] = &answer.backtests[0].measures[..] else {
        panic!("{:?}", answer.backtests);
    };
    println!("{:?} {mae:?} {coverage:?}", answer.method);
    let skill = 1.0 - mae.value / mae.baseline.unwrap();
    assert!(mae.count > 2500 && skill > 0.0, "{skill} with {mae:?}");
    assert!((0.84..=0.96).contains(&coverage.value), "{coverage:?}");
}
