//! Seeded units that wear and fail: what is left of their life is predicted, with bounds, for units that were not seen.

use super::*;

/// Units of three tags: wear, which begins at a time of its own and grows until the failure, a noisy other side of it, and
/// noise.
pub(super) fn fleet(seed: u64, units: usize) -> Vec<Matrix> {
    let mut draw = SplitMix(seed);
    let mut unit = || {
        let life = 60 + (draw.unit() * 80.0) as usize;
        let offset = draw.normal();
        let mut rows = Matrix::new(3);
        for i in 0..life {
            let left = (life - 1 - i) as f64;
            let wear = 8.0 * (-left / 20.0).exp();
            rows.push(&[
                10.0 + offset + wear + 0.2 * draw.normal(),
                50.0 - 2.0 * wear + draw.normal(),
                draw.normal(),
            ]);
        }
        rows
    };
    (0..units).map(|_| unit()).collect()
}

pub(super) fn settings(age: Age) -> Settings {
    let default = Settings::default();
    Settings {
        cap: 40.0,
        age,
        rows_max: 1000,
        boosting: Boosting {
            trees: 60,
            learning_rate: 0.1,
            ..default.boosting.clone()
        },
        ..default
    }
}

fn cut(unit: &Matrix, rows: usize) -> Matrix {
    let mut begun = Matrix::new(unit.columns());
    unit.iter().take(rows).for_each(|row| begun.push(row));
    begun
}

#[test]
fn lives_of_units_that_were_not_seen_are_predicted() {
    for age in [Age::Known, Age::LeftOut] {
        let (model, validation) = LifeModel::fit(&fleet(1, 40), settings(age)).unwrap();
        let Validation {
            all_rows,
            one_row,
            worn,
            ..
        } = validation;
        assert!(
            all_rows.rmse < 0.5 * all_rows.baseline_rmse,
            "{age:?}: {all_rows:?}"
        );
        assert!(worn.rmse < 0.6 * worn.baseline_rmse && worn.count < all_rows.count);
        assert_eq!(one_row.count, 40);
        let coverage = all_rows.coverage.unwrap();
        assert!((0.85..0.95).contains(&coverage), "{age:?}: {coverage}");

        let mut inside = 0;
        let mut errors = Vec::new();
        for unit in fleet(2, 30) {
            for left in [5.0, 15.0, 30.0] {
                let life = model
                    .predict(&cut(&unit, unit.rows() - left as usize))
                    .unwrap();
                let (lo, hi) = life.bounds.unwrap();
                assert!(0.0 <= lo && lo <= life.value && life.value <= hi && hi <= 40.0);
                inside += usize::from((lo..=hi).contains(&left));
                errors.push(life.value - left);
            }
        }
        let squares: f64 = errors.iter().map(|error| error * error).sum();
        let rmse = (squares / errors.len() as f64).sqrt();
        assert!(rmse < 8.0, "{age:?}: {rmse}");
        assert!(inside >= 72, "{age:?}: {inside} of 90");
    }
}

#[test]
fn the_same_units_give_the_same_model() {
    let units = fleet(3, 12);
    let life = || {
        let (model, validation) = LifeModel::fit(&units, settings(Age::Known)).unwrap();
        (model.predict(&cut(&units[0], 30)), validation)
    };
    assert_eq!(life(), life());
}

#[test]
fn what_comes_after_a_unit_was_cut_changes_nothing_and_few_units_have_no_bounds() {
    let (model, validation) = LifeModel::fit(&fleet(4, 6), settings(Age::LeftOut)).unwrap();
    assert_eq!(validation.all_rows.coverage, None, "six units give no 90 %");
    let unit = &fleet(5, 1)[0];
    let life = model.predict(&cut(unit, 50)).unwrap();
    assert_eq!(life.bounds, None);
    assert!((0.0..=40.0).contains(&life.value));
    assert_eq!(model.predict(&Matrix::new(3)), None);
    let one = LifeModel::fit(&fleet(4, 1), settings(Age::Known));
    assert_eq!(one.map(drop), Err(FitError::Empty));
}
