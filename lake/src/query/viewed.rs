//! One table of a view, for a session that shows its user less than the whole lake.

use std::{collections::HashSet, sync::Arc};

use datafusion::{catalog::TableProvider, execution::runtime_env::RuntimeEnv};
use deltalake_core::kernel::{Add, Version};
use forebay_schemas::table::Table;

use super::{DeltaScan, store_url};
use crate::file::stats::event_times;

/// One table as of one version.
#[derive(Debug, Clone)]
pub struct ViewedTable(pub(super) Arc<DeltaScan>);

impl ViewedTable {
    /// Its columns.
    pub fn table(&self) -> &'static Table {
        self.0.table
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// Its rows, for a session whose runtime knows its store.
    pub fn provider(&self) -> Arc<dyn TableProvider> {
        self.0.clone()
    }

    /// Lets the scans of a runtime read the table's files.
    pub fn register_store(&self, runtime: &RuntimeEnv) {
        let url = store_url(self.0.table);
        runtime.register_object_store(url.as_ref(), self.0.store.clone());
    }

    /// The same table without the files that lie in other partitions: those whose value of the partition column
    /// `column` `keep` refuses, or that have none. No scan opens them.
    #[must_use]
    pub fn only_partitions(&self, column: &str, keep: &dyn Fn(&str) -> bool) -> Self {
        let lies_in = |add: &Add| {
            let value = add.partition_values.get(column).cloned().flatten();
            value.is_some_and(|value| keep(&value))
        };
        self.keeping(lies_in)
    }

    /// The same table without the files of these paths.
    #[must_use]
    pub fn without(&self, paths: &HashSet<String>) -> Self {
        self.keeping(|add| !paths.contains(&add.path))
    }

    /// The same table with the files of these paths alone.
    #[must_use]
    pub fn only(&self, paths: &HashSet<String>) -> Self {
        self.keeping(|add| paths.contains(&add.path))
    }

    /// The paths of its files.
    pub fn paths(&self) -> HashSet<String> {
        self.0.files.iter().map(|add| add.path.clone()).collect()
    }

    /// The last event time in its files, in µs since 1970, as far as their sealed tags name it.
    pub fn last_event_time(&self) -> Option<i64> {
        let scan = &self.0;
        let times = |add| event_times(scan.table, add, &scan.tag_seal);
        let last = scan.files.iter().filter_map(times).map(|(_, last)| last);
        last.max()
    }

    fn keeping(&self, keep: impl Fn(&Add) -> bool) -> Self {
        let mut scan = self.0.as_ref().clone();
        scan.files.retain(|add| keep(add));
        Self(Arc::new(scan))
    }
}
