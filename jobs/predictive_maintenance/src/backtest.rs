//! The default settings replayed over NAB's labelled machines, hour by hour, each hour seeing only what came before it.
//!
//! The settings are the ones that NAB's machine temperature was used to choose (its figure is therefore no forecast of
//! how the job does elsewhere); ambient temperature was not used, and stands for elsewhere.

use std::{collections::BTreeMap, io::Read as _, path::Path, time::Duration};

use forebay_jobs::{AlertRow, Condition, Lifecycle, Severity, Verdict};
use forebay_schemas::{DeviceId, SiteId, Timestamp};

use crate::{ChangeModel, PredictiveMaintenance, Spread, Step};

const STEP_SECONDS: i64 = 900;
const HOUR_SECONDS: i64 = 3600;
const LIMIT: f64 = 3.5;

/// What a replay gave.
#[derive(Debug)]
struct Measured {
    /// Labelled windows in which a warning began or went on.
    found: usize,
    /// Labelled windows.
    labelled: usize,
    /// Warnings that began outside all labelled windows.
    false_warnings: usize,
    /// Length of the record.
    weeks: f64,
}

fn seconds(text: &str) -> i64 {
    let at: jiff::civil::DateTime = text.parse().unwrap();
    at.to_zoned(jiff::tz::TimeZone::UTC)
        .unwrap()
        .timestamp()
        .as_second()
}

fn load(name: &str) -> Vec<(i64, f64)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let rows = text
        .lines()
        .skip(1)
        .map(|line| line.split_once(',').unwrap());
    rows.map(|(at, value)| (seconds(at), value.parse().unwrap()))
        .collect()
}

fn steps(readings: &[(i64, f64)]) -> Vec<Step> {
    let mut sums: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for (at, value) in readings {
        let sum = sums.entry(at.div_euclid(STEP_SECONDS)).or_default();
        *sum = (sum.0 + value, sum.1 + 1.0);
    }
    sums.into_iter()
        .map(|(index, (sum, count))| Step {
            index,
            mean: sum / count,
        })
        .collect()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

fn verdict(model: &ChangeModel, steps: &[Step], end: i64) -> Option<Verdict> {
    let change = model.judge(steps, end / STEP_SECONDS)?;
    if change.score.abs() <= LIMIT {
        return Some(Verdict::Healthy);
    }
    Some(Verdict::Wrong(Condition {
        site: SiteId::new("nab").unwrap(),
        device: DeviceId::new("machine").unwrap(),
        tag: None,
        severity: Severity::Warning,
        score: change.score,
        contributions: None,
        reason: "moved".into(),
    }))
}

/// The default settings with this spread.
fn model(spread: Spread) -> ChangeModel {
    let default = PredictiveMaintenance::default().model();
    match spread {
        Spread::Steps => default,
        // As the how-to has it for records of a reading an hour.
        Spread::Levels => ChangeModel {
            steps_min: 96,
            spread,
            ..default
        },
    }
}

fn replay(name: &str, labels: &[(&str, &str)], spread: Spread) -> Measured {
    let readings = load(name);
    let steps = steps(&readings);
    let model = model(spread);
    let labels: Vec<(i64, i64)> = labels
        .iter()
        .map(|(from, to)| (seconds(from), seconds(to)))
        .collect();
    let lifecycle = Lifecycle {
        refractory: Duration::from_secs(86_400),
        resolve_after: Duration::from_secs(3 * 3600),
    };
    let (first, last) = (readings[0].0, readings[readings.len() - 1].0);
    let mut latest: BTreeMap<String, AlertRow> = BTreeMap::new();
    let (mut seen, mut begun): (Vec<i64>, Vec<i64>) = (Vec::new(), Vec::new());
    let mut end = first.div_euclid(HOUR_SECONDS) * HOUR_SECONDS;
    while end <= last {
        let verdicts = verdict(&model, &steps, end)
            .map(|v| ("machine".to_owned(), v))
            .into_iter()
            .collect();
        let history: Vec<AlertRow> = latest.values().cloned().collect();
        for row in lifecycle.advance(&history, verdicts, at(end), at(end), |_, first| {
            first.nanos().to_string()
        }) {
            if row.last_seen == at(end) {
                seen.push(end);
            }
            if !latest.contains_key(&row.alert_id) {
                begun.push(end);
            }
            latest.insert(row.alert_id.clone(), row);
        }
        end += HOUR_SECONDS;
    }
    let within = |at: &i64| labels.iter().any(|(from, to)| (from..=to).contains(&at));
    Measured {
        found: labels
            .iter()
            .filter(|(from, to)| seen.iter().any(|at| (from..=to).contains(&at)))
            .count(),
        labelled: labels.len(),
        false_warnings: begun.iter().filter(|at| !within(at)).count(),
        weeks: (last - first) as f64 / 604_800.0,
    }
}

fn card() -> String {
    let card =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/models/predictive-maintenance.md");
    std::fs::read_to_string(card).unwrap()
}

/// The model card's row of a record.
fn check_card(record: &str, measured: &Measured) {
    let Measured {
        found,
        labelled,
        false_warnings,
        weeks,
    } = measured;
    let row = format!("| {record} | {weeks:.1} weeks | {found} of {labelled} | {false_warnings} |");
    let card = card();
    assert!(
        card.contains(&row),
        "the model card says something else than {row:?}"
    );
}

#[test]
fn the_model_card_is_filled_in() {
    let card = card();
    assert!(!card.contains("@@"), "a placeholder is left");
    assert!(
        card.contains("Stuck values"),
        "what the score cannot see is said"
    );
}

#[test]
fn machine_temperature_four_of_four_failures_with_few_false_warnings() {
    let labels = [
        ("2013-12-10T06:25", "2013-12-12T05:35"),
        ("2013-12-15T17:50", "2013-12-17T17:00"),
        ("2014-01-27T14:20", "2014-01-29T13:30"),
        ("2014-02-07T14:55", "2014-02-09T14:05"),
    ];
    for (spread, record) in [
        (Spread::Steps, "machine temperature (settings chosen on it)"),
        (
            Spread::Levels,
            "machine temperature, `spread = \"levels\"` (chosen on both)",
        ),
    ] {
        let measured = replay("machine_temperature_system_failure.csv.gz", &labels, spread);
        println!("machine temperature by {spread:?}: {measured:?}");
        check_card(record, &measured);
        assert_eq!((measured.found, measured.labelled), (4, 4), "{measured:?}");
        assert!(measured.false_warnings <= 5, "{measured:?}");
        assert!((11.0..11.5).contains(&measured.weeks), "{measured:?}");
    }
}

#[test]
fn ambient_temperature_failures_with_few_false_warnings() {
    let labels = [
        ("2013-12-15T07:00", "2013-12-30T09:00"),
        ("2014-03-29T15:00", "2014-04-20T22:00"),
    ];
    for (spread, record, found) in [
        (
            Spread::Steps,
            "ambient temperature (not looked at before)",
            1,
        ),
        (
            Spread::Levels,
            "ambient temperature, `spread = \"levels\"` (chosen on both)",
            2,
        ),
    ] {
        let measured = replay("ambient_temperature_system_failure.csv.gz", &labels, spread);
        println!("ambient temperature by {spread:?}: {measured:?}");
        check_card(record, &measured);
        assert_eq!(
            (measured.found, measured.labelled),
            (found, 2),
            "{measured:?}"
        );
        assert!(measured.false_warnings <= 4, "{measured:?}");
        assert!((46.0..48.0).contains(&measured.weeks), "{measured:?}");
    }
}
