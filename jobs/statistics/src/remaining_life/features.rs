//! What a unit's course up to a row says of its wear: smoothed tags, how far they have come from the unit's own start, and
//! the course of a health index.
//!
//! Causal: a row's features hang on it and the rows before it. A mean is of the rows that there are, so that a young unit is
//! not drawn to zero.

/// Rows that are a unit's own start.
const START_ROWS: usize = 20;

/// Over so many rows the tags are smoothed.
const TAG_SPANS: [f64; 2] = [10.0, 30.0];

/// Over so many rows the deviation from the start is smoothed.
const DEVIATION_SPAN: f64 = 15.0;

/// Over so many rows the health index is smoothed.
const INDEX_SPANS: [f64; 5] = [3.0, 7.0, 15.0, 30.0, 60.0];

/// Of the index smoothed over so many rows the lowest and the deviation from the start are taken.
const INDEX_LEVEL: f64 = 10.0;

/// Over so many rows the slope of the health index is fitted.
const SLOPE_ROWS: [usize; 4] = [15, 30, 60, 100];

/// A slope takes so many rows.
const SLOPE_ROWS_MIN: usize = 5;

/// Whether the model may know how long a unit has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// The rows since the unit's first are a feature.
    Known,
    /// They are left out.
    LeftOut,
}

/// How many features a unit of so many tags has.
pub(super) fn count(tags: usize, age: Age) -> usize {
    let of_tags = tags * (TAG_SPANS.len() + 1);
    let of_index = INDEX_SPANS.len() + SLOPE_ROWS.len() + 4;
    of_tags + of_index + usize::from(age == Age::Known)
}

/// An exponentially weighted mean whose weights sum to 1 from the first value on.
#[derive(Debug, Clone, Copy)]
struct Smoothed {
    keep: f64,
    sum: f64,
    weight: f64,
}

impl Smoothed {
    fn new(span: f64) -> Self {
        Self {
            keep: 1.0 - 2.0 / (span + 1.0),
            sum: 0.0,
            weight: 0.0,
        }
    }

    fn push(&mut self, value: f64) -> f64 {
        self.sum = self.keep * self.sum + value;
        self.weight = self.keep * self.weight + 1.0;
        self.sum / self.weight
    }
}

/// The mean of a unit's first rows.
#[derive(Debug, Clone, Copy, Default)]
struct Start {
    mean: f64,
    rows: usize,
}

impl Start {
    fn push(&mut self, value: f64) -> f64 {
        if self.rows < START_ROWS {
            self.rows += 1;
            self.mean += (value - self.mean) / self.rows as f64;
        }
        self.mean
    }
}

struct TagState {
    levels: [Smoothed; TAG_SPANS.len()],
    level: Smoothed,
    start: Start,
}

/// One unit on its way.
pub(super) struct Course {
    tags: Vec<TagState>,
    index: Vec<f64>,
    index_levels: [Smoothed; INDEX_SPANS.len()],
    index_level: Smoothed,
    index_start: Start,
    lowest: f64,
    fallen: f64,
    age: Age,
}

impl Course {
    pub(super) fn new(tags: usize, age: Age) -> Self {
        let tag = || TagState {
            levels: TAG_SPANS.map(Smoothed::new),
            level: Smoothed::new(DEVIATION_SPAN),
            start: Start::default(),
        };
        Self {
            tags: (0..tags).map(|_| tag()).collect(),
            index: Vec::new(),
            index_levels: INDEX_SPANS.map(Smoothed::new),
            index_level: Smoothed::new(INDEX_LEVEL),
            index_start: Start::default(),
            lowest: f64::INFINITY,
            fallen: 0.0,
            age,
        }
    }

    /// Takes the next row, with its health index, and answers its features.
    pub(super) fn push(&mut self, row: &[f64], index: f64) -> Vec<f64> {
        let mut features = Vec::with_capacity(count(self.tags.len(), self.age));
        self.push_index(index, &mut features);
        for (tag, value) in self.tags.iter_mut().zip(row) {
            let levels = tag.levels.iter_mut().map(|level| level.push(*value));
            features.extend(levels);
            features.push(tag.level.push(*value) - tag.start.push(*value));
        }
        if self.age == Age::Known {
            features.push(self.index.len() as f64);
        }
        features
    }

    fn push_index(&mut self, index: f64, features: &mut Vec<f64>) {
        self.index.push(index);
        let levels = self.index_levels.iter_mut().map(|level| level.push(index));
        features.extend(levels);
        features.extend(SLOPE_ROWS.map(|rows| slope(&self.index, rows)));
        let level = self.index_level.push(index);
        let start = self.index_start.push(index);
        self.lowest = self.lowest.min(level);
        self.fallen += (start - level).max(0.0);
        features.extend([level - start, start, self.lowest, self.fallen.ln_1p()]);
    }
}

/// The least-squares slope over the last rows, per row; 0 while there are too few.
fn slope(values: &[f64], rows: usize) -> f64 {
    let last = &values[values.len().saturating_sub(rows)..];
    if last.len() < SLOPE_ROWS_MIN {
        return 0.0;
    }
    let middle = (last.len() - 1) as f64 / 2.0;
    let mut products = 0.0;
    let mut squares = 0.0;
    for (i, value) in last.iter().enumerate() {
        let at = i as f64 - middle;
        products += at * value;
        squares += at * at;
    }
    products / squares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_and_levels_of_a_line() {
        let line: Vec<f64> = (0..50).map(|i| 3.0 - 0.5 * f64::from(i)).collect();
        assert!((slope(&line, 15) + 0.5).abs() < 1e-12 && slope(&line[..4], 15) == 0.0);
        let mut level = Smoothed::new(10.0);
        assert_eq!(level.push(4.0), 4.0, "the first value alone");
        assert!((4.0..5.0).contains(&level.push(5.0)));
    }

    #[test]
    fn there_are_as_many_features_as_said_and_none_hangs_on_what_comes() {
        for age in [Age::Known, Age::LeftOut] {
            let mut course = Course::new(3, age);
            let mut other = Course::new(3, age);
            for i in 0..60 {
                let row = [f64::from(i), 1.0, -f64::from(i)];
                let features = course.push(&row, f64::from(60 - i));
                assert_eq!(features.len(), count(3, age));
                assert_eq!(features, other.push(&row, f64::from(60 - i)));
                assert!(features.iter().all(|x| x.is_finite()));
            }
            let differ = course.push(&[0.0; 3], 1.0) != other.push(&[9.0; 3], 1.0);
            assert!(differ, "the newest row is seen");
        }
    }
}
