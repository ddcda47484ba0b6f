//! Units as the model wants them: one row a step, the same tags for all, no holes.

use std::{collections::BTreeMap, time::Duration};

use forebay_jobs::{DeviceRows, DeviceSpan};
use forebay_schemas::{TagName, Timestamp};
use forebay_statistics::{Matrix, stored::Stored};

/// The course of one unit, step by step from its first reading to its last; NaN until a tag was first read.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) device: DeviceSpan,
    tags: Vec<TagName>,
    steps: Matrix,
}

/// The tags of a model, and what stands for one that a unit does not know.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Columns {
    tags: Vec<TagName>,
    means: Vec<f64>,
}

impl Unit {
    /// Means by step; a step without a reading keeps the value of the one before.
    pub(crate) fn new(device: DeviceSpan, rows: &DeviceRows, step: Duration) -> Self {
        let step = i64::try_from(step.as_micros()).unwrap_or(i64::MAX).max(1);
        let step_of = |at: &Timestamp| at.micros().div_euclid(step);
        let mut sums: BTreeMap<i64, Vec<(f64, f64)>> = BTreeMap::new();
        for (at, values) in rows.times.iter().zip(&rows.values) {
            let sums = sums.entry(step_of(at));
            let sums = sums.or_insert_with(|| vec![(0.0, 0.0); rows.tags.len()]);
            for ((sum, count), value) in sums.iter_mut().zip(values) {
                if value.is_finite() {
                    *sum += value;
                    *count += 1.0;
                }
            }
        }
        let mut steps = Matrix::new(rows.tags.len());
        let mut last = vec![f64::NAN; rows.tags.len()];
        let mut before: Option<i64> = None;
        for (index, sums) in sums {
            for _ in before.map_or(index, |before| before + 1)..index {
                steps.push(&last);
            }
            for (last, (sum, count)) in last.iter_mut().zip(sums) {
                if count > 0.0 {
                    *last = sum / count;
                }
            }
            steps.push(&last);
            before = Some(index);
        }
        Self {
            device,
            tags: rows.tags.clone(),
            steps,
        }
    }

    /// How many steps.
    pub(crate) fn len(&self) -> usize {
        self.steps.rows()
    }

    /// How many numbers it holds.
    pub(crate) fn numbers(&self) -> usize {
        self.len() * self.tags.len()
    }

    fn place(&self, tag: &TagName) -> Option<usize> {
        self.tags.iter().position(|other| other == tag)
    }
}

impl Stored for Columns {
    fn write(&self, out: &mut Vec<u8>) {
        let tags: Vec<String> = self.tags.iter().map(TagName::to_string).collect();
        tags.write(out);
        self.means.write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let tags: Vec<String> = Stored::read(from)?;
        let tags: Option<Vec<TagName>> = tags.iter().map(|tag| TagName::new(tag).ok()).collect();
        let means: Vec<f64> = Stored::read(from)?;
        let tags = tags.filter(|tags| tags.len() == means.len())?;
        Some(Self { tags, means })
    }
}

impl Columns {
    /// The tags that half of the units have at least.
    pub(crate) fn new(units: &[Unit]) -> Self {
        let mut counts: BTreeMap<&TagName, usize> = BTreeMap::new();
        for tag in units.iter().flat_map(|unit| &unit.tags) {
            *counts.entry(tag).or_default() += 1;
        }
        counts.retain(|_, count| 2 * *count >= units.len());
        let tags: Vec<TagName> = counts.into_keys().cloned().collect();
        let mean = |tag: &TagName| {
            let mut sum = 0.0;
            let mut count = 0.0;
            for unit in units {
                let Some(place) = unit.place(tag) else {
                    continue;
                };
                for value in unit.steps.iter().map(|row| row[place]) {
                    if value.is_finite() {
                        sum += value;
                        count += 1.0;
                    }
                }
            }
            if count > 0.0 { sum / count } else { 0.0 }
        };
        Self {
            means: tags.iter().map(mean).collect(),
            tags,
        }
    }

    /// How many of the tags a unit has.
    pub(crate) fn known(&self, unit: &Unit) -> usize {
        let known = self.tags.iter().filter(|tag| unit.place(tag).is_some());
        known.count()
    }

    /// How many tags.
    pub(crate) fn len(&self) -> usize {
        self.tags.len()
    }

    /// A unit's steps in these columns.
    pub(crate) fn of(&self, unit: &Unit) -> Matrix {
        let places: Vec<Option<usize>> = self.tags.iter().map(|tag| unit.place(tag)).collect();
        let mut matrix = Matrix::new(self.tags.len());
        for row in unit.steps.iter() {
            let value = |(place, mean): (&Option<usize>, &f64)| {
                let value = place.map_or(f64::NAN, |place| row[place]);
                if value.is_finite() { value } else { *mean }
            };
            let values: Vec<f64> = places.iter().zip(&self.means).map(value).collect();
            matrix.push(&values);
        }
        matrix
    }
}

#[cfg(test)]
mod tests {
    use forebay_schemas::{DeviceId, SiteId};

    use super::*;

    fn unit(tags: &[&str], rows: &[(i64, &[f64])]) -> Unit {
        let at = |second: i64| Timestamp::from_nanos(second * 1_000_000_000);
        let device = DeviceSpan {
            site: SiteId::new("s").unwrap(),
            device: DeviceId::new("d").unwrap(),
            first: at(rows[0].0),
            last: at(rows[rows.len() - 1].0),
        };
        let rows = DeviceRows {
            tags: tags.iter().map(|tag| TagName::new(tag).unwrap()).collect(),
            times: rows.iter().map(|(second, _)| at(*second)).collect(),
            values: rows.iter().map(|(_, values)| values.to_vec()).collect(),
            cut: false,
        };
        Unit::new(device, &rows, Duration::from_secs(10))
    }

    #[test]
    fn steps_are_means_and_holes_keep_the_last_value() {
        let nan = f64::NAN;
        let both = unit(
            &["a", "b"],
            &[(0, &[1.0, nan]), (5, &[3.0, nan]), (31, &[7.0, 4.0])],
        );
        assert_eq!(both.len(), 4, "steps 0 to 3");
        let columns = Columns::new(std::slice::from_ref(&both));
        let rows = columns.of(&both);
        let rows: Vec<&[f64]> = rows.iter().collect();
        // b was first read in step 3; until then its mean over all units stands there.
        assert_eq!(rows, [[2.0, 4.0], [2.0, 4.0], [2.0, 4.0], [7.0, 4.0]]);
    }

    #[test]
    fn columns_are_what_half_of_the_units_have() {
        let of_a = || unit(&["a"], &[(0, &[2.0])]);
        let of_b = unit(&["b"], &[(0, &[5.0])]);
        let columns = Columns::new(&[of_a(), of_a(), of_b.clone()]);
        assert_eq!(
            (columns.len(), columns.known(&of_a()), columns.known(&of_b)),
            (1, 1, 0)
        );
        assert_eq!(columns.of(&of_b).row(0), [2.0], "the mean of the others");
    }
}
