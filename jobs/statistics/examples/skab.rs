//! The multivariate chart on the rig of SKAB (files `valve1/*.csv`, not part of this repository).
//!
//! `FOREBAY_SKAB=…/skab/valve1 cargo run --release -p forebay-statistics --example skab`: the first 400 rows of each file
//! train, the rest is judged; F1, false alarms and what was missed over all files, and over every other file alone.
#![expect(clippy::unwrap_used, reason = "a measurement for the screen")]

use std::{collections::BTreeMap, path::Path};

use forebay_statistics::{
    Matrix,
    hotelling::{Chart, Settings},
};

const TRAIN: usize = 400;
const TAGS: usize = 8;

struct File {
    rows: Matrix,
    labels: Vec<bool>,
}

#[derive(Default)]
struct Counts {
    hits: f64,
    false_alarms: f64,
    missed: f64,
    quiet: f64,
}

impl Counts {
    fn line(&self) -> String {
        let f1 = 2.0 * self.hits / (2.0 * self.hits + self.false_alarms + self.missed);
        let false_rate = self.false_alarms / (self.false_alarms + self.quiet);
        let missed_rate = self.missed / (self.missed + self.hits);
        format!("F1 {f1:.3}, false-alarm rate {false_rate:.3}, missed {missed_rate:.3}")
    }
}

fn load(path: &Path) -> File {
    let text = std::fs::read_to_string(path).unwrap();
    let mut file = File {
        rows: Matrix::new(TAGS),
        labels: Vec::new(),
    };
    for line in text.lines().skip(1) {
        let cells: Vec<f64> = line
            .split(';')
            .skip(1)
            .map(|x| x.parse().unwrap())
            .collect();
        file.rows.push(&cells[..TAGS]);
        file.labels
            .push(cells.get(TAGS).is_some_and(|label| *label > 0.5));
    }
    file
}

fn judge(file: &File, settings: Settings, counts: &mut Counts) {
    let mut train = Matrix::new(TAGS);
    file.rows.iter().take(TRAIN).for_each(|row| train.push(row));
    let chart = Chart::fit(&train, settings).unwrap();
    let mut monitor = chart.monitor();
    for (i, row) in file.rows.iter().enumerate() {
        let anomalous = monitor.push(row).anomalous;
        if i < TRAIN {
            continue;
        }
        let count = match (anomalous, file.labels[i]) {
            (true, true) => &mut counts.hits,
            (true, false) => &mut counts.false_alarms,
            (false, true) => &mut counts.missed,
            (false, false) => &mut counts.quiet,
        };
        *count += 1.0;
    }
}

fn main() {
    let folder = std::env::var("FOREBAY_SKAB").unwrap();
    let mut files: BTreeMap<u32, File> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let number = path.file_stem().unwrap().to_str().unwrap().parse();
        files.insert(number.unwrap_or(0), load(&path));
    }
    for settings in settings() {
        println!("{settings:?}");
        for (name, of) in [("all", 2), ("even", 0), ("odd", 1)] {
            let mut counts = Counts::default();
            let chosen = files
                .iter()
                .filter(|(number, _)| of == 2 || *number % 2 == of);
            chosen.for_each(|(_, file)| judge(file, settings, &mut counts));
            println!("  {name:5} {}", counts.line());
        }
    }
}

/// The default, and its neighbours.
fn settings() -> Vec<Settings> {
    let default = Settings::default();
    vec![
        default,
        Settings {
            smoothing: 10,
            ..default
        },
        Settings {
            smoothing: 20,
            ..default
        },
        Settings {
            order: 3,
            ..default
        },
        Settings {
            rows_per_alarm: 1e6,
            ..default
        },
        Settings {
            rows_per_alarm: 1e8,
            ..default
        },
        Settings {
            variance_share: 0.9,
            ..default
        },
        Settings {
            release: 1.0,
            ..default
        },
    ]
}
