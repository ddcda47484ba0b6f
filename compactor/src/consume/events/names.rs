//! The names of the events that the table has, kept in memory by the data file that holds them.
//!
//! A data file never changes: it is read once, and what it held is forgotten when a merge or a deletion takes the file out of the
//! table. So a look costs what came since the last one, and answers for the whole table as of one version all the same. It is
//! deliberately not narrowed by time: a server may tell of an event again under another (ADR 0042).

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::DataType,
};
use datafusion::{
    error::DataFusionError,
    logical_expr::cast,
    prelude::{Expr, SessionContext, col, lit},
};
use forebay_lake::{LakeError, LakeView, LakeWriter, ViewedTable};
use forebay_schemas::table::EVENTS;
use futures::StreamExt as _;
use tokio::sync::{Mutex, MutexGuard};

/// Names that are kept: 16 MiB of them. A file that holds more than there is room for is asked at each look.
const NAMES_MAX: usize = 1 << 20;
/// Names that are looked up at once in such files.
const LOOKED_UP_MAX: usize = 5_000;
/// Digits of a name: 128 bits.
const DIGITS: usize = 32;

/// What the table has, shared by the partitions of the process.
#[derive(Debug, Clone, Default)]
pub(in crate::consume) struct EventNames(Arc<Mutex<KnownNames>>);

impl EventNames {
    /// For one look and the commit that follows from it: partitions of one process would only make each other's commits fail.
    pub(super) async fn lock(&self) -> MutexGuard<'_, KnownNames> {
        self.0.lock().await
    }
}

/// The names in each file.
#[derive(Debug)]
pub(in crate::consume) struct KnownNames {
    /// The table as it was looked at last.
    view: Option<LakeView>,
    /// By the file's path, in order; `None` of a file for which there is no room.
    files: HashMap<String, Option<Vec<u128>>>,
    names_max: usize,
}

/// What a look has found.
#[derive(Debug, Default)]
pub(in crate::consume) struct Look {
    /// Those of the names looked for that the table has.
    pub(in crate::consume) written: BTreeSet<String>,
    /// Why there may be more.
    pub(in crate::consume) failed: Option<LakeError>,
    /// Files that were opened.
    pub(in crate::consume) opened: usize,
}

impl Default for KnownNames {
    fn default() -> Self {
        Self::with_room(NAMES_MAX)
    }
}

impl KnownNames {
    /// Nothing yet, and room for so many.
    pub(in crate::consume) fn with_room(names_max: usize) -> Self {
        Self {
            view: None,
            files: HashMap::new(),
            names_max,
        }
    }

    /// Which of these names the table has now.
    pub(in crate::consume) async fn look(&mut self, lake: &LakeWriter, names: &[&str]) -> Look {
        let mut look = Look::default();
        if let Err(error) = self.look_into_files(lake, names, &mut look).await {
            // With it go the keys that were not there.
            self.view = None;
            look.failed = Some(error);
        }
        let known = names.iter().filter(|name| self.has(name));
        look.written.extend(known.map(|name| (*name).to_owned()));
        look
    }

    async fn look_into_files(
        &mut self,
        lake: &LakeWriter,
        names: &[&str],
        look: &mut Look,
    ) -> Result<(), LakeError> {
        let Some(table) = self.refresh(lake).await? else {
            return Ok(());
        };
        let paths = table.paths();
        self.files.retain(|path, _| paths.contains(path));
        let context = SessionContext::new();
        table.register_store(&context.runtime_env());
        let mut outcome = Ok(());
        for path in paths {
            if self.files.contains_key(&path) {
                continue;
            }
            look.opened += 1;
            let file = table.only(&HashSet::from([path.clone()]));
            match names_of(&context, &file, self.room()).await {
                Ok(names) => drop(self.files.insert(path, names)),
                // The others are read all the same.
                Err(error) => outcome = Err(failed(error)),
            }
        }
        let large = self.files.iter().filter(|(_, names)| names.is_none());
        // One at a time: one that is damaged hides what others hold no more than a small one does.
        for (path, _) in large {
            look.opened += 1;
            let file = table.only(&HashSet::from([path.clone()]));
            match those_in(&context, &file, names).await {
                Ok(found) => look.written.extend(found),
                Err(error) => outcome = Err(failed(error)),
            }
        }
        outcome
    }

    /// The table as it is now.
    async fn refresh(&mut self, lake: &LakeWriter) -> Result<Option<ViewedTable>, LakeError> {
        let table = [lake.table(&EVENTS)?.clone()];
        let view = match &self.view {
            Some(view) => view.refreshed(&table).await?,
            None => LakeView::open(&table, &lake.decrypter()).await?,
        };
        let viewed = view.tables().pop();
        self.view = Some(view);
        Ok(viewed)
    }

    fn room(&self) -> usize {
        let kept: usize = self.files.values().flatten().map(Vec::len).sum();
        self.names_max.saturating_sub(kept)
    }

    fn has(&self, name: &str) -> bool {
        let Some(number) = number(name) else {
            return false;
        };
        let mut files = self.files.values().flatten();
        files.any(|names| names.binary_search(&number).is_ok())
    }
}

/// The names in a file, in order; `None` of more than there is room for.
async fn names_of(
    context: &SessionContext,
    file: &ViewedTable,
    room: usize,
) -> Result<Option<Vec<u128>>, DataFusionError> {
    let rows = context.read_table(file.provider())?;
    let mut rows = rows.select(vec![event_id()])?.execute_stream().await?;
    let mut names = Vec::new();
    while let Some(rows) = rows.next().await {
        names.extend(ids(&rows?)?.filter_map(number));
        if names.len() > room {
            return Ok(None);
        }
    }
    names.sort_unstable();
    names.shrink_to_fit();
    Ok(Some(names))
}

/// Those of the names that a file has.
async fn those_in(
    context: &SessionContext,
    file: &ViewedTable,
    names: &[&str],
) -> Result<BTreeSet<String>, DataFusionError> {
    let mut found = BTreeSet::new();
    for names in names.chunks(LOOKED_UP_MAX) {
        let names: Vec<Expr> = names.iter().map(|name| lit(*name)).collect();
        let wanted = col("event_id").in_list(names, false);
        let rows = context.read_table(file.provider())?.filter(wanted)?;
        for rows in &rows.select(vec![event_id()])?.collect().await? {
            found.extend(ids(rows)?.map(str::to_owned));
        }
    }
    Ok(found)
}

fn event_id() -> Expr {
    cast(col("event_id"), DataType::Utf8)
}

fn ids(rows: &RecordBatch) -> Result<impl Iterator<Item = &str>, DataFusionError> {
    let ids = rows.column(0).as_string_opt::<i32>();
    // None at all would double every event.
    let ids = ids.ok_or_else(|| {
        let found = rows.column(0).data_type();
        DataFusionError::Execution(format!("event_id is not text but {found}"))
    })?;
    Ok(ids.iter().flatten())
}

/// The digits of a device's event as a number; jobs name theirs otherwise.
fn number(name: &str) -> Option<u128> {
    let digits = Some(name).filter(|name| name.len() == DIGITS)?;
    u128::from_str_radix(digits, 16).ok()
}

fn failed(source: DataFusionError) -> LakeError {
    LakeError::Query {
        table: EVENTS.name,
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn ids_that_are_no_text_are_an_error_and_not_none() {
        let rows = |ids: ArrayRef| RecordBatch::try_from_iter([("event_id", ids)]).unwrap();
        let texts = rows(Arc::new(StringArray::from(vec![
            Some("a"),
            None,
            Some("b"),
        ])));
        assert_eq!(ids(&texts).unwrap().collect::<Vec<_>>(), ["a", "b"]);
        let numbers = rows(Arc::new(Int64Array::from(vec![1])));
        let error = ids(&numbers).err().unwrap().to_string();
        assert!(error.contains("event_id is not text"), "{error}");
    }
}
