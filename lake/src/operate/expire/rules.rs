//! Which rows leave: the rules of a table and site, and what they say of a row. Pure, and it knows files by name only.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use forebay_schemas::{SiteId, table::Table};

use crate::{LakeError, file::stats::times_of, operate::leaving::Leaves};

/// Whether a rule is for a series: device and tag.
pub type FitsSeries = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// One rule.
#[derive(Clone)]
pub struct ExpiryRule {
    /// As the configuration has it, for people.
    pub rule: String,
    /// Which series it is for.
    pub fits: FitsSeries,
    /// Rows before this time leave, µs since 1970 UTC; `None`: they stay for ever.
    pub before: Option<i64>,
}

/// Which rows of a site leave a table.
#[derive(Clone)]
pub struct ExpireSpec {
    /// `readings` or a roll-up.
    pub table: &'static Table,
    /// The site.
    pub site: SiteId,
    /// Of these the first that fits a series counts; a series that none fits stays.
    pub rules: Vec<ExpiryRule>,
    /// From a time to just before another, µs since 1970 UTC, in order and apart: what lies there stays.
    pub protected: Vec<(i64, i64)>,
}

/// Files that were read and hold nothing that leaves, so that they are not read again until another rule reaches them. For one
/// table and site, and one list of rules.
#[derive(Debug, Default)]
pub struct Swept(
    /// By path, the times before which each rule asked rows to leave.
    HashMap<String, Vec<Option<i64>>>,
);

impl Swept {
    /// Forgets files that a table has no more.
    pub(super) fn keep(&mut self, active: &HashSet<String>) {
        self.0.retain(|path, _| active.contains(path));
    }

    /// Whether a file with these times can hold nothing that leaves.
    pub(super) fn is_clean(
        &self,
        path: &str,
        (first, last): (i64, i64),
        spec: &ExpireSpec,
    ) -> bool {
        let Some(swept) = self
            .0
            .get(path)
            .filter(|swept| swept.len() == spec.rules.len())
        else {
            return false;
        };
        let reaches = |rule: &ExpiryRule| rule.before.is_some_and(|before| before > first);
        let has_swept = |before: &Option<i64>| before.is_some_and(|before| before > last);
        spec.rules
            .iter()
            .zip(swept)
            .all(|(rule, swept)| !reaches(rule) || has_swept(swept))
    }

    pub(super) fn note(&mut self, path: &str, spec: &ExpireSpec) {
        let before = spec.rules.iter().map(|rule| rule.before).collect();
        self.0.insert(path.to_owned(), before);
    }
}

/// Marks the rows that leave.
pub(super) fn leaves(spec: &ExpireSpec) -> Leaves {
    let spec = spec.clone();
    Arc::new(move |rows| {
        let mut marks = Vec::with_capacity(rows.num_rows());
        each(rows, &spec, |_, rule| marks.push(Some(rule.is_some())))?;
        Ok(BooleanArray::from(marks))
    })
}

/// For each row its time and the place of the rule by which it leaves; `None` for one that stays.
pub(super) fn each(
    rows: &RecordBatch,
    spec: &ExpireSpec,
    mut note: impl FnMut(i64, Option<usize>),
) -> Result<(), LakeError> {
    let missing = || LakeError::Foreign {
        table: spec.table.name,
        why: "a file has no device, tag or time".into(),
    };
    let text = |name: &str| rows.column_by_name(name)?.as_string_opt::<i32>();
    let names = text("device").zip(text("tag"));
    let (device, tag) = names.ok_or_else(missing)?;
    let times = times_of(rows).ok_or_else(missing)?;
    /// Device, tag, and the rule that they have.
    type Known<'a> = (&'a str, &'a str, Option<(usize, i64)>);
    let mut known: Option<Known<'_>> = None;
    for row in 0..rows.num_rows() {
        let series = (device.value(row), tag.value(row));
        // The rows of a series mostly stand together.
        let rule = match known {
            Some((device, tag, rule)) if (device, tag) == series => rule,
            _ => spec.rule_of(series.0, series.1),
        };
        known = Some((series.0, series.1, rule));
        let time = times.value(row);
        let leaving = rule.filter(|(_, before)| time < *before && !spec.is_protected(time));
        note(time, leaving.map(|(at, _)| at));
    }
    Ok(())
}

impl ExpireSpec {
    /// The place of a series' rule, and before which time its rows leave; `None` if they stay.
    fn rule_of(&self, device: &str, tag: &str) -> Option<(usize, i64)> {
        let at = self
            .rules
            .iter()
            .position(|rule| (rule.fits)(device, tag))?;
        Some((at, self.rules.get(at)?.before?))
    }

    /// Whether a stretch of times, both included, holds one that is protected.
    pub(super) fn protects_some(&self, (first, last): (i64, i64)) -> bool {
        let at = self.protected.partition_point(|(_, to)| *to <= first);
        self.protected
            .get(at)
            .is_some_and(|(from, _)| *from <= last)
    }

    fn is_protected(&self, time: i64) -> bool {
        let at = self.protected.partition_point(|(_, to)| *to <= time);
        self.protected
            .get(at)
            .is_some_and(|(from, _)| *from <= time)
    }
}
