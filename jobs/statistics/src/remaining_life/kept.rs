//! A fitted model as bytes, and how it does on units that failed after it was fitted.

use super::{Age, LifeModel, Part, Settings, UnitErrors, blend, features, life_at};
use crate::{
    Matrix, Regressor,
    remaining_life::features::Course,
    stored::{Stored, stored_fields},
};

impl Stored for Age {
    fn write(&self, out: &mut Vec<u8>) {
        u8::from(*self == Self::Known).write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        match u8::read(from)? {
            0 => Some(Self::LeftOut),
            1 => Some(Self::Known),
            _ => None,
        }
    }
}

stored_fields!(Settings {
    cap,
    age,
    level,
    folds,
    rows_max,
    boosting,
});

stored_fields!(Part {
    index,
    trees,
    ridge
});

impl Stored for LifeModel {
    fn write(&self, out: &mut Vec<u8>) {
        self.settings.write(out);
        self.ridge_share.write(out);
        self.bounds.write(out);
        self.part.write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let model = Self {
            settings: Stored::read(from)?,
            ridge_share: Stored::read(from)?,
            bounds: Stored::read(from)?,
            part: Stored::read(from)?,
        };
        let features = features::count(model.columns(), model.settings.age);
        let fits = model.part.ridge.coefficients.len() == features
            && model.part.trees.columns_min() <= features;
        fits.then_some(model)
    }
}

impl UnitErrors {
    pub(super) fn add(&mut self, error: f64) {
        self.squares += error * error;
        self.count += 1;
    }
}

impl LifeModel {
    /// What it was fitted with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many tags the rows of a unit must have.
    pub fn columns(&self) -> usize {
        self.part.index.coefficients.len()
    }

    /// Its errors at every `stride`th row of a unit that ran to failure and that it was not fitted on.
    pub fn errors(&self, unit: &Matrix, stride: usize) -> UnitErrors {
        let cap = self.settings.cap;
        let mut course = Course::new(unit.columns(), self.settings.age);
        let mut errors = UnitErrors::default();
        for (row, values) in unit.iter().enumerate() {
            let features = course.push(values, self.part.index.predict(values));
            if !row.is_multiple_of(stride.max(1)) {
                continue;
            }
            let trees = self.part.trees.predict(&features);
            let ridge = self.part.ridge.predict(&features);
            let value = blend(trees, ridge, self.ridge_share, cap);
            errors.add(life_at(unit, row, cap) - value);
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        RidgeModel,
        remaining_life::{Bounds, tests::fleet},
        stored::{
            from_bytes,
            testing::{comes_back, hex},
            to_bytes,
        },
    };

    fn small() -> (LifeModel, super::super::Validation, Vec<Matrix>) {
        let units = fleet(3, 12);
        let settings = super::super::tests::settings(Age::Known);
        let (model, validation) = LifeModel::fit(&units, settings).unwrap();
        (model, validation, units)
    }

    #[test]
    fn a_model_comes_back_and_says_the_same() {
        let (model, _, units) = small();
        comes_back(&model);
        let again: LifeModel = from_bytes(&to_bytes(&model)).unwrap();
        assert_eq!(again.predict(&units[0]), model.predict(&units[0]));
        assert_eq!(again.columns(), 3);
    }

    #[test]
    fn bytes_of_another_shape_are_no_model() {
        let (model, ..) = small();
        let mut narrow = model.clone();
        narrow.part.index.coefficients.pop();
        assert_eq!(from_bytes::<LifeModel>(&to_bytes(&narrow)), None);
    }

    #[test]
    fn errors_of_units_that_were_left_out_are_those_of_a_model_without_them() {
        let (model, validation, units) = small();
        assert_eq!(validation.by_unit.len(), units.len());
        let squares: f64 = validation.by_unit.iter().map(|unit| unit.squares).sum();
        let count: usize = validation.by_unit.iter().map(|unit| unit.count).sum();
        assert_eq!(count, validation.all_rows.count);
        let rmse = (squares / count as f64).sqrt();
        assert!((rmse - validation.all_rows.rmse).abs() < 1e-9);
        // Of units that neither has seen: a like model makes like errors, and less than the mean life would.
        let unseen = fleet(9, 6);
        let mut errors = UnitErrors::default();
        for unit in &unseen {
            let of_unit = model.errors(unit, validation.stride);
            errors.squares += of_unit.squares;
            errors.count += of_unit.count;
        }
        let unseen = (errors.squares / errors.count as f64).sqrt();
        assert!(unseen < validation.all_rows.baseline_rmse, "{unseen}");
    }

    /// Held by a golden text: a model that was kept by one release is read by the next.
    #[test]
    fn the_bytes_of_a_model_are_those_of_the_first_release_that_kept_one() {
        let ridge = |columns: usize| RidgeModel {
            intercept: 1.0,
            coefficients: vec![0.5; columns],
            lambda: 0.25,
            gcv: 2.0,
        };
        let trees: crate::BoostedTrees = {
            let x = Matrix::from_rows(&[[0.0], [1.0]]);
            let one = crate::Boosting {
                trees: 1,
                leaf_rows_min: 1,
                l2: 0.0,
                ..crate::Boosting::default()
            };
            one.fit(&x, &[0.0, 2.0], &[]).unwrap()
        };
        assert_eq!(trees.trees(), 1);
        let model = LifeModel {
            part: Part {
                index: ridge(1),
                trees,
                ridge: ridge(features::count(1, Age::Known)),
            },
            ridge_share: 0.5,
            bounds: Bounds::new(&[]),
            settings: Settings::default(),
        };
        comes_back(&model);
        let golden = include_str!("kept.golden");
        assert_eq!(hex(&to_bytes(&model)), golden.trim_end());
    }
}
