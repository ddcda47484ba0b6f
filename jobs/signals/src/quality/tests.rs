use std::{collections::BTreeMap, path::Path};

use super::*;

const HOUR: i64 = 3_600_000_000;

fn hourly(values: impl IntoIterator<Item = f64>) -> Vec<Observation> {
    values
        .into_iter()
        .enumerate()
        .map(|(hour, value)| observation(hour as i64 * HOUR, value))
        .collect()
}

fn observation(event_micros: i64, value: f64) -> Observation {
    Observation {
        event_micros,
        observed_micros: event_micros,
        value,
    }
}

fn times(readings: &[Observation]) -> Vec<i64> {
    readings
        .iter()
        .map(|reading| reading.event_micros)
        .collect()
}

fn hours(found: &[Stretch]) -> Vec<(i64, i64, usize)> {
    found
        .iter()
        .map(|of| (of.from_micros / HOUR, of.to_micros / HOUR, of.readings))
        .collect()
}

/// A column of a CSV file of this folder's tests as hourly readings, and the flags of each row.
fn soil() -> (Vec<Observation>, BTreeMap<i64, String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let text = std::fs::read_to_string(folder.join("soil_moisture.csv")).unwrap();
    let mut readings = Vec::new();
    let mut flags = BTreeMap::new();
    for (hour, line) in text.lines().skip(1).enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        let at = hour as i64 * HOUR;
        readings.push(observation(at, cells[1].parse().unwrap()));
        flags.insert(at, cells[2].to_owned());
    }
    (readings, flags)
}

fn hours_of(found: &[Stretch]) -> Vec<i64> {
    found
        .iter()
        .flat_map(|of| of.from_micros / HOUR..=of.to_micros / HOUR)
        .collect()
}

#[test]
fn soil_moisture_is_flagged_as_the_international_network_flags_it() {
    let (readings, flags) = soil();
    let flagged = |wanted: &[&str]| -> Vec<i64> {
        let fits = |flags: &str| flags.split('|').any(|flag| wanted.contains(&flag));
        let rows = flags.iter().filter(|(_, flags)| fits(flags));
        rows.map(|(at, _)| at / HOUR).collect()
    };
    // Below 0, above 60 %, above this soil's saturation.
    assert_eq!(
        hours_of(&out_of_range(&readings, 0.0, 42.7)),
        flagged(&["C01", "C02", "C03"])
    );
    // The low plateau and the constant part of the saturated one; and eighteen hours of frozen soil, of which the network
    // has no flag: what stands still and what is stuck look alike.
    let stuck = stuck_values(&readings, 6 * HOUR);
    let constant = (12..30).chain(flagged(&["D09"])).chain(80..100);
    assert_eq!(hours_of(&stuck), constant.collect::<Vec<_>>());
    // The network's spike, and one that its rule leaves out because rain fell in that hour: 70 % between 5.
    let spikes = spikes(&readings, 10.0);
    assert_eq!(hours_of(&spikes), [flagged(&["D06"])[0], 70]);
}

#[test]
fn a_water_main_is_quiet_but_for_its_jumps() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/water_flow.csv");
    let text = std::fs::read_to_string(path).unwrap();
    let readings: Vec<Observation> = text
        .lines()
        .skip(1)
        .map(|line| {
            let (hour, flow) = line.split_once(',').unwrap();
            observation(hour.parse::<i64>().unwrap() * HOUR, flow.parse().unwrap())
        })
        .collect();
    let longest = 5.0 * usual_interval_micros(&times(&readings)).unwrap();
    let end = readings[readings.len() - 1].event_micros + HOUR;
    let gaps = gaps(&times(&readings), readings[0].event_micros, end, longest);
    let lengths: Vec<f64> = gaps
        .stretches
        .iter()
        .map(|gap| gap.value / 3600.0)
        .collect();
    assert_eq!(lengths, [32.0, 11.0, 7.0, 23.0, 22.0, 16.0]);
    assert!(
        !gaps.goes_on && (0.90..0.96).contains(&gaps.completeness),
        "{gaps:?}"
    );
    assert_eq!(stuck_values(&readings, 6 * HOUR), []);
    assert!(
        spikes(&readings, 10.0).len() <= 4,
        "{:?}",
        spikes(&readings, 10.0)
    );
}

#[test]
fn gaps_reach_into_the_window_and_may_go_on() {
    let readings = hourly((0..10).map(f64::from));
    let of =
        |from: i64, to: i64| gaps(&times(&readings), from * HOUR, to * HOUR, 2.0 * HOUR as f64);
    assert_eq!(of(0, 10).stretches, []);
    assert_eq!(of(0, 10).completeness, 1.0);
    let later = of(12, 18);
    assert_eq!(hours(&later.stretches), [(9, 18, 0)]);
    assert_eq!((later.completeness, later.goes_on), (0.0, true));
    assert_eq!(gaps(&[], 0, 4 * HOUR, HOUR as f64).completeness, 0.0);
}

#[test]
fn set_points_and_steps_are_sound() {
    let set_point = hourly((0..400).map(|hour| f64::from(hour / 100)));
    assert_eq!(stuck_values(&set_point, 6 * HOUR), []);
    assert_eq!(spikes(&set_point, 10.0), []);
    let noisy = |hour: i64| ((hour * 7919) % 101) as f64 / 101.0;
    let step = hourly((0..400).map(|hour| noisy(hour) + if hour < 200 { 0.0 } else { 50.0 }));
    assert_eq!(spikes(&step, 10.0), []);
    let stands_still = hourly((0..400).map(|hour| noisy(hour.min(350))));
    assert_eq!(
        hours(&stuck_values(&stands_still, 6 * HOUR)),
        [(350, 399, 50)]
    );
}

#[test]
fn drift_is_neither_noise_nor_a_step() {
    let noisy = |day: i64| ((day * 7919) % 101) as f64 / 101.0;
    let of = |level: &dyn Fn(i64) -> f64| {
        drift(
            &(0..28)
                .map(|day| level(day) + noisy(day))
                .collect::<Vec<_>>(),
            6.0,
        )
    };
    assert_eq!(of(&|_| 20.0), None);
    assert_eq!(of(&|day| if day < 14 { 20.0 } else { 40.0 }), None);
    let found = of(&|day| 20.0 - 0.5 * day as f64).unwrap();
    assert!((found.change + 13.5).abs() < 1.5, "{found:?}");
    assert_eq!(drift(&[1.0; 28], 6.0), None);
    assert_eq!(drift(&[1.0, 2.0, 3.0], 6.0), None);
}

#[test]
fn clocks() {
    let of = |lag: &dyn Fn(i64) -> i64| {
        let readings: Vec<Observation> = (0..100)
            .map(|minute| Observation {
                event_micros: minute * 60_000_000,
                observed_micros: minute * 60_000_000 + lag(minute) * 1_000_000,
                value: 0.0,
            })
            .collect();
        clock_error(&readings, 300_000_000)
    };
    assert_eq!(of(&|_| 1), None);
    assert_eq!(of(&|_| 3_601), Some(ClockError::Behind(3_601.0)));
    assert_eq!(of(&|_| -3_600), Some(ClockError::Ahead(3_600.0)));
    // A buffer that was sent at once, and an import.
    assert_eq!(of(&|minute| 60 * (100 - minute)), None);
    assert_eq!(of(&|minute| 60 * (2_000_000 - minute)), None);
}
