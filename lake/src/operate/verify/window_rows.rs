//! Whether each window's revisions are there once: they count up by one from 1.

use std::collections::BTreeMap;

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::{Int32Type, TimestampMicrosecondType},
};

use super::{Fault, Report};

/// What the rows of a window say.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    rows: u32,
    /// The highest revision.
    revision: u32,
}

/// By site and by the window's start, µs since 1970 UTC.
#[derive(Debug, Default)]
pub(super) struct WindowRows(BTreeMap<String, BTreeMap<i64, Window>>);

impl WindowRows {
    pub(super) fn collect(&mut self, rows: &RecordBatch) {
        let site = rows
            .column_by_name("site")
            .and_then(|column| column.as_string_opt::<i32>());
        let start = rows.column_by_name("window_start");
        let start = start.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        let revision = rows
            .column_by_name("revision")
            .and_then(|column| column.as_primitive_opt::<Int32Type>());
        let (Some(site), Some(start), Some(revision)) = (site, start, revision) else {
            return;
        };
        for row in 0..rows.num_rows() {
            let windows = match self.0.get_mut(site.value(row)) {
                Some(windows) => windows,
                None => self.0.entry(site.value(row).to_owned()).or_default(),
            };
            let window = windows.entry(start.value(row)).or_default();
            window.rows += 1;
            window.revision = window.revision.max(revision.value(row).unsigned_abs());
        }
    }

    /// Reports, for each site, windows with rows too many and with rows that are not there.
    pub(super) fn check(&self, report: &mut Report) {
        for (site, windows) in &self.0 {
            let wrong = |is_wrong: fn(&Window) -> bool| {
                let mut wrong = windows
                    .iter()
                    .filter(|(_, window)| is_wrong(window))
                    .map(|(start, _)| *start);
                wrong.next().map(|first| (first, 1 + wrong.count() as u64))
            };
            if let Some((first, count)) = wrong(|window| window.rows > window.revision) {
                report.faults.insert(Fault::WindowsDoubled {
                    site: site.clone(),
                    first,
                    count,
                });
            }
            if let Some((first, count)) = wrong(|window| window.rows < window.revision) {
                report.faults.insert(Fault::WindowsMissing {
                    site: site.clone(),
                    first,
                    count,
                });
            }
        }
    }
}
