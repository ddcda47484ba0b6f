//! A trained chart as bytes.

use super::{Chart, Limits, Settings};
use crate::stored::{Stored, stored_fields};

stored_fields!(Settings {
    order,
    smoothing,
    variance_share,
    shrinkage,
    rows_per_alarm,
    release,
});

stored_fields!(Limits {
    common,
    residual,
    single,
});

impl Stored for Chart {
    fn write(&self, out: &mut Vec<u8>) {
        self.settings.write(out);
        self.columns.write(out);
        self.tags.write(out);
        self.level_means.write(out);
        self.level_deviations.write(out);
        self.components.write(out);
        self.leading.write(out);
        self.precision.write(out);
        self.limits.write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let chart = Self {
            settings: Stored::read(from)?,
            columns: Stored::read(from)?,
            tags: Stored::read(from)?,
            level_means: Stored::read(from)?,
            level_deviations: Stored::read(from)?,
            components: Stored::read(from)?,
            leading: Stored::read(from)?,
            precision: Stored::read(from)?,
            limits: Stored::read(from)?,
        };
        chart.fits().then_some(chart)
    }
}

impl Chart {
    /// What it was trained with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether its parts are of one size.
    fn fits(&self) -> bool {
        let tags = self.tags.len();
        let vectors = &self.components.vectors;
        let squares = [vectors, &self.precision];
        tags > 0
            && self.leading <= tags
            && self.tags.iter().all(|(column, _)| *column < self.columns)
            && self.level_means.len() == tags
            && self.level_deviations.len() == tags
            && self.components.values.len() == tags
            && squares
                .iter()
                .all(|m| m.rows() == tags && m.columns() == tags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        hotelling::tests::{TRAIN, machine},
        stored::{
            from_bytes,
            testing::{comes_back, hex},
            to_bytes,
        },
    };

    #[test]
    fn a_chart_comes_back_and_judges_the_same() {
        let rows = machine(1, TRAIN, [0.0; 5]);
        let chart = Chart::fit(&rows, Settings::default()).unwrap();
        comes_back(&chart);
        let again: Chart = from_bytes(&to_bytes(&chart)).unwrap();
        let judge = |chart: &Chart| {
            let mut monitor = chart.monitor();
            let judged: Vec<_> = rows.iter().map(|row| monitor.push(row)).collect();
            judged
        };
        assert_eq!(judge(&again), judge(&chart));
        let mut uneven = chart.clone();
        uneven.level_means.pop();
        assert_eq!(from_bytes::<Chart>(&to_bytes(&uneven)), None);
    }

    /// Held by a golden text: a chart that was kept by one release is read by the next.
    #[test]
    fn the_bytes_of_a_chart_are_those_of_the_first_release_that_kept_one() {
        let golden = include_str!("kept.golden").trim_end();
        let bytes: Option<Vec<u8>> = (0..golden.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(golden.get(i..i + 2)?, 16).ok())
            .collect();
        let chart: Chart = from_bytes(&bytes.unwrap()).unwrap();
        assert_eq!(chart.columns, 2);
        assert_eq!(hex(&to_bytes(&chart)), golden);
    }
}
