//! Remaining life on C-MAPSS FD001 (NASA, not part of this repository), by cross-validation over engines.
//!
//! `FOREBAY_CMAPSS=…/train_FD001.txt cargo run --release -p forebay-statistics --example cmapss`: the text file, unpacked.
#![expect(clippy::unwrap_used, reason = "a measurement for the screen")]

use std::collections::BTreeMap;

use forebay_statistics::{
    Matrix,
    remaining_life::{Age, LifeModel, Measured, Settings},
};

fn line(name: &str, measured: Measured) {
    let Measured {
        rmse,
        baseline_rmse,
        coverage,
        count,
    } = measured;
    let coverage = 100.0 * coverage.unwrap_or(f64::NAN);
    println!(
        "  {name:26} RMSE {rmse:6.2}  mean life {baseline_rmse:6.2}  90 % interval {coverage:5.1} %  n {count}"
    );
}

fn main() {
    let text = std::fs::read_to_string(std::env::var("FOREBAY_CMAPSS").unwrap()).unwrap();
    let mut engines: BTreeMap<u32, Matrix> = BTreeMap::new();
    for row in text.lines() {
        let numbers: Vec<f64> = row.split_whitespace().map(|x| x.parse().unwrap()).collect();
        let rows = engines
            .entry(numbers[0] as u32)
            .or_insert_with(|| Matrix::new(24));
        rows.push(&numbers[2..26]);
    }
    let units: Vec<Matrix> = engines.into_values().collect();
    for age in [Age::Known, Age::LeftOut] {
        let mut one_row = Vec::new();
        for seed in 1..=3 {
            let mut settings = Settings {
                age,
                ..Settings::default()
            };
            settings.boosting.seed = seed;
            let (_, validation) = LifeModel::fit(&units, settings).unwrap();
            println!("age {age:?}, seed {seed}");
            line("every third row", validation.all_rows);
            line("one drawn row of each", validation.one_row);
            line("less than 125 left", validation.worn);
            one_row.push(validation.one_row.rmse);
        }
        println!("one drawn row, by seed: {one_row:.2?}");
    }
}
