//! The forecast of power replayed over a CSV file: a forecast at each midnight (UTC) that sees only what came before it.
//!
//! `renewable_backtest FILE POWER DRIVER solar|wind LATITUDE LONGITUDE`, where POWER and DRIVER name columns (`-` for no
//! driver) and the column `datetime` holds "2021-07-31 00:15:00+00:00" in quarters of an hour.

use std::collections::BTreeMap;

use forebay_signals::{
    renewable::{Method, Plant, PowerModel, Source},
    sun::Place,
};

const STEP_MICROS: i64 = 900_000_000;
const DAY: i64 = 96;

/// Days since 1970 of a date (Howard Hinnant's algorithm).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn step(at: &str) -> Option<i64> {
    let number = |from: usize, to: usize| at.get(from..to)?.parse::<i64>().ok();
    let day = days(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    Some(day * DAY + number(11, 13)? * 4 + number(14, 16)? / 15)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, power, driver, source, latitude, longitude] = arguments.as_slice() else {
        return Err("FILE POWER DRIVER solar|wind LATITUDE LONGITUDE".into());
    };
    let text = std::fs::read_to_string(file)?;
    let header: Vec<&str> = text.lines().next().unwrap_or_default().split(',').collect();
    let column = |name: &str| header.iter().position(|of| *of == name);
    let (time, power) = (column("datetime").ok_or("no datetime")?, column(power));
    let (mut powers, mut drivers) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let Some(index) = step(cells[time]) else {
            continue;
        };
        let number = |at: Option<usize>| cells.get(at?)?.parse::<f64>().ok();
        powers.extend(number(power).map(|value| (index, value)));
        drivers.extend(number(column(driver)).map(|value| (index, value)));
    }
    let model = PowerModel {
        source: match source.as_str() {
            "wind" => Source::Wind,
            _ => Source::Solar(Place {
                latitude: latitude.parse()?,
                longitude: longitude.parse()?,
            }),
        },
        step_micros: STEP_MICROS,
        horizon: DAY,
        trailing_days: 28,
        level: 0.9,
    };
    let first = powers.keys().next().ok_or("no rows")? + 36 * DAY;
    let last = powers.keys().last().ok_or("no rows")?;
    let mut now = first.div_euclid(DAY) * DAY;
    let (mut error, mut naive, mut inside, mut width, mut count) = (0.0, 0.0, 0, 0.0, 0);
    let mut methods: BTreeMap<Method, usize> = BTreeMap::new();
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    while now + DAY <= last + 1 {
        // What is not known when it is issued is not there.
        let past: BTreeMap<i64, f64> = powers.range(..now).map(|(i, v)| (*i, *v)).collect();
        let plant = Plant {
            power: &past,
            driver: &drivers,
        };
        if let Some(found) = model.forecast(plant, now) {
            *methods.entry(found.method).or_default() += 1;
            for of in found.forecasts {
                let (Some(truth), Some(before)) =
                    (powers.get(&of.index), powers.get(&(of.index - DAY)))
                else {
                    continue;
                };
                error += (truth - of.value).abs();
                naive += (truth - before).abs();
                inside += usize::from((of.lo..=of.hi).contains(truth));
                width += of.hi - of.lo;
                count += 1;
                least = truth.min(least);
                most = truth.max(most);
            }
        }
        now += DAY;
    }
    let n = f64::from(count);
    println!(
        "{count} steps: error {:.3}, naive day {:.3}, skill {:.3}, 90 % bounds hold {:.1} %, width {:.2}, range {:.2}; {methods:?}",
        error / n,
        naive / n,
        1.0 - error / naive,
        100.0 * inside as f64 / n,
        width / n,
        most - least
    );
    Ok(())
}
