//! Seeded machines of five tags: what is even is not anomalous, what moves is, and the tag that moves is named.

use super::*;
use crate::boosting::SplitMix;

pub(super) const TRAIN: usize = 400;
const TAGS: usize = 5;

/// Tags 0 to 2 share a load, tag 3 drifts as a random walk, tag 4 never changes; `shift` is added from row 600 to 800.
pub(super) fn machine(seed: u64, rows: usize, shift: [f64; TAGS]) -> Matrix {
    let mut draw = SplitMix(seed);
    let mut load = 0.0;
    let mut drift = 0.0;
    let mut matrix = Matrix::new(TAGS);
    for i in 0..rows {
        load = 0.9 * load + draw.normal();
        drift += draw.normal();
        let own = |draw: &mut SplitMix| 0.3 * draw.normal();
        let mut row = [
            50.0 + load + own(&mut draw),
            10.0 + 2.0 * load + own(&mut draw),
            5.0 - load + own(&mut draw),
            20.0 + drift,
            7.0,
        ];
        if (600..800).contains(&i) {
            row.iter_mut()
                .zip(shift)
                .for_each(|(value, by)| *value += by);
        }
        matrix.push(&row);
    }
    matrix
}

fn judge(rows: &Matrix) -> Vec<Judgement> {
    let mut train = Matrix::new(rows.columns());
    rows.iter().take(TRAIN).for_each(|row| train.push(row));
    let chart = Chart::fit(&train, Settings::default()).unwrap();
    let mut monitor = chart.monitor();
    rows.iter().map(|row| monitor.push(row)).collect()
}

fn anomalous(judged: &[Judgement], from: usize, to: usize) -> usize {
    judged[from..to].iter().filter(|row| row.anomalous).count()
}

#[test]
fn an_even_machine_is_not_anomalous_though_a_tag_drifts() {
    for seed in 1..=5 {
        let judged = judge(&machine(seed, 3000, [0.0; TAGS]));
        assert!(anomalous(&judged, TRAIN, 3000) <= 10, "seed {seed}");
        let largest = judged.iter().map(|row| row.score).fold(0.0, f64::max);
        assert!(largest > 0.3, "a limit that is never near: {largest}");
    }
}

#[test]
fn what_moves_is_anomalous_while_it_is_away_and_is_named() {
    for (case, shift, tag) in [
        (
            "one tag leaves its common course",
            [0.0, 0.0, 6.0, 0.0, 0.0],
            2,
        ),
        ("another one falls", [-6.0, 0.0, 0.0, 0.0, 0.0], 0),
    ] {
        let judged = judge(&machine(3, 1200, shift));
        assert_eq!(anomalous(&judged, TRAIN, 600), 0, "{case}");
        assert!(anomalous(&judged, 605, 800) >= 180, "{case}");
        assert!(anomalous(&judged, 860, 1200) <= 10, "{case}");
        let shares = &judged[620].shares;
        let largest = (0..TAGS).max_by(|a, b| shares[*a].total_cmp(&shares[*b]));
        assert_eq!(largest, Some(tag), "{case}: {shares:?}");
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9 && shares[4] == 0.0);
    }
}

#[test]
fn what_is_missing_is_nothing_new() {
    let whole = machine(4, 1000, [0.0; TAGS]);
    let mut holed = whole.clone();
    for i in 500..700 {
        holed.row_mut(i)[1] = f64::NAN;
    }
    let judged = judge(&holed);
    assert_eq!(anomalous(&judged, TRAIN, 1000), 0);
    assert!(judged.iter().all(|row| row.score.is_finite()));
    let warm = judge(&whole);
    assert_eq!(judged[499], warm[499]);
}

#[test]
fn a_later_start_ends_in_the_same_judgement() {
    let rows = machine(5, 1000, [4.0, 0.0, 0.0, 0.0, 0.0]);
    let mut train = Matrix::new(TAGS);
    rows.iter().take(TRAIN).for_each(|row| train.push(row));
    let chart = Chart::fit(&train, Settings::default()).unwrap();
    let from = 990 - chart.settings.memory();
    let whole = judge(&rows);
    let mut monitor = chart.monitor();
    for (i, expected) in whole.iter().enumerate().skip(from) {
        let judged = monitor.push(rows.row(i));
        if i >= 990 {
            assert!((judged.score - expected.score).abs() < 1e-6, "row {i}");
        }
    }
}

#[test]
fn what_cannot_be_trained_on_is_refused() {
    let rows_min = Settings::default().rows_min();
    let few = machine(1, rows_min - 1, [0.0; TAGS]);
    let fit = |rows: &Matrix| Chart::fit(rows, Settings::default()).map(drop);
    assert_eq!(
        fit(&few),
        Err(ChartError::TooFewRows {
            rows: rows_min - 1,
            rows_min
        })
    );
    assert_eq!(fit(&Matrix::zeros(500, 3)), Err(ChartError::Constant));
    let chart = Chart::fit(&machine(1, rows_min, [0.0; TAGS]), Settings::default()).unwrap();
    assert_eq!(
        chart.used().collect::<Vec<_>>(),
        [0, 1, 2, 3],
        "7.0 never varies"
    );
}

#[test]
fn the_tail_goes_on_beyond_what_was_seen() {
    let exponential = |i: usize| -(1.0 - (i as f64 + 0.5) / 1000.0).ln();
    let limit = tail_quantile((0..1000).map(exponential).collect(), 1e-6);
    assert!((limit - 1e6_f64.ln()).abs() < 0.3, "{limit}");
    assert_eq!(tail_quantile(vec![0.0; 100], 1e-6), f64::INFINITY);
    assert_eq!(tail_quantile(Vec::new(), 1e-6), f64::INFINITY);
}
