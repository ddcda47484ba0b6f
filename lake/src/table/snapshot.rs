//! One version of a table: its files, and the states of its streams.
//!
//! A snapshot is brought up to date from the one before it: compactors commit every few seconds, and reading the log
//! from its last checkpoint each time would cost a request for every entry since.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use deltalake_core::{
    DeltaTableError,
    kernel::{Add, Version},
    logstore::LogStoreRef,
    table::state::DeltaTableState,
};
use forebay_schemas::table::{TABLE_FORMAT_VERSION, Table};

use super::{FORMAT_PROPERTY, transactions::transactions};
use crate::{
    LakeError, file::schema::delta_fields, table::change::Transaction, table::log_entry::LogEntry,
};

/// Most log entries that are read onward for their transactions; beyond that they are looked up when asked for.
const ONWARD_MAX: u64 = 32;

/// States by application id.
#[derive(Debug, Clone, Default)]
struct States {
    /// `None` for one that has not committed yet.
    known: BTreeMap<String, Option<i64>>,
    /// Whoever is not known has not committed yet.
    are_all: bool,
}

/// One version of a table.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) state: DeltaTableState,
    log: LogStoreRef,
    table: &'static Table,
    /// Those that were looked up so far, as of this version.
    states: Arc<Mutex<States>>,
}

impl Snapshot {
    /// Reads the newest version from the last checkpoint on.
    pub(super) async fn load(table: &'static Table, log: LogStoreRef) -> Result<Self, LakeError> {
        let state = DeltaTableState::try_new(log.as_ref(), None)
            .await
            .map_err(|e| delta_error(table, e))?;
        Ok(Self {
            state,
            log,
            table,
            states: Arc::default(),
        })
    }

    /// The newest version, from this one on.
    pub(super) async fn onward(&self) -> Result<Self, LakeError> {
        let mut newest = self.clone();
        newest
            .state
            .update(self.log.as_ref(), None)
            .await
            .map_err(|e| delta_error(self.table, e))?;
        if newest.version() != self.version() {
            newest.states = Arc::new(Mutex::new(self.states_onward(newest.version()).await?));
        }
        Ok(newest)
    }

    /// The version that a commit of ours, built on this one, has made.
    pub(crate) fn after(&self, state: DeltaTableState, transactions: &[Transaction]) -> Self {
        let mut states = self.known();
        states.known.extend(
            transactions
                .iter()
                .map(|t| (t.app_id.clone(), Some(t.to_state))),
        );
        Self {
            state,
            states: Arc::new(Mutex::new(states)),
            ..self.clone()
        }
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.state.version()
    }

    /// The Add actions of all its active files.
    #[expect(
        deprecated,
        reason = "the arrays that the deprecation points to leave out tags"
    )]
    pub fn files(&self) -> Vec<Add> {
        self.state
            .log_data()
            .iter()
            .map(|file| file.add_action())
            .collect()
    }

    /// The paths of all its active files.
    pub fn paths(&self) -> Vec<String> {
        self.state
            .log_data()
            .iter()
            .map(|file| file.path().into_owned())
            .collect()
    }

    /// The state of a stream: the version of its application transaction; `None` before its first commit.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn state_of(&self, app_id: &str) -> Result<Option<i64>, LakeError> {
        if let Some(known) = self.known_state(app_id) {
            return Ok(known);
        }
        if self.know_all().await? {
            return Ok(self.known_state(app_id).flatten());
        }
        let found = self
            .state
            .snapshot()
            .transaction_version(self.log.as_ref(), app_id)
            .await
            .map_err(|e| delta_error(self.table, e))?;
        self.states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .known
            .insert(app_id.to_owned(), found);
        Ok(found)
    }

    /// The state of everyone who has committed, by app id; `None` where the log has another shape than we write.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) async fn all_states(&self) -> Result<Option<Vec<(String, i64)>>, LakeError> {
        if !self.known().are_all && !self.know_all().await? {
            return Ok(None);
        }
        let all = self.known().known.into_iter();
        Ok(Some(
            all.filter_map(|(app_id, state)| Some((app_id, state?)))
                .collect(),
        ))
    }

    /// Looks up every state; answers whether that can be done.
    async fn know_all(&self) -> Result<bool, LakeError> {
        let all = transactions(&self.log, self.version())
            .await
            .map_err(|e| delta_error(self.table, e))?;
        let Some(all) = all else { return Ok(false) };
        let known = all
            .into_iter()
            .map(|(app_id, state)| (app_id, Some(state)))
            .collect();
        *self.states.lock().unwrap_or_else(PoisonError::into_inner) = States {
            known,
            are_all: true,
        };
        Ok(true)
    }

    fn known_state(&self, app_id: &str) -> Option<Option<i64>> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states
            .known
            .get(app_id)
            .copied()
            .or(states.are_all.then_some(None))
    }

    /// Refuses a table that is not ours or that a later release has written (E13).
    pub(super) fn check_format(&self) -> Result<(), LakeError> {
        let table = self.table.name;
        let Some(found) = self.state.metadata().configuration().get(FORMAT_PROPERTY) else {
            return Err(LakeError::Foreign {
                table,
                why: format!("it has no property {FORMAT_PROPERTY}"),
            });
        };
        match found.parse::<u32>() {
            Ok(version) if version <= TABLE_FORMAT_VERSION => self.check_partitions(),
            _ => Err(LakeError::NewerFormat {
                table,
                found: found.clone(),
                known: TABLE_FORMAT_VERSION,
            }),
        }
    }

    /// Refuses a table that is laid out in folders as this release does not lay it out.
    fn check_partitions(&self) -> Result<(), LakeError> {
        let found = self.state.metadata().partition_columns();
        if found.iter().map(String::as_str).eq(self
            .table
            .partition_columns()
            .iter()
            .map(|column| column.name))
        {
            return Ok(());
        }
        Err(LakeError::OldLayout {
            table: self.table.name,
            found: found.join(", "),
        })
    }

    /// Refuses a table whose format or columns are not those that our files are written for (E6).
    pub(crate) fn check_unchanged(&self) -> Result<(), LakeError> {
        let changed = |why: String| {
            Err(LakeError::Changed {
                table: self.table.name,
                why,
            })
        };
        let format = self
            .state
            .metadata()
            .configuration()
            .get(FORMAT_PROPERTY)
            .map(String::as_str)
            .unwrap_or_default();
        if format != TABLE_FORMAT_VERSION.to_string() {
            return changed(format!(
                "its format is {format:?} instead of {TABLE_FORMAT_VERSION}"
            ));
        }
        let schema = self.state.schema();
        let mut wanted = delta_fields(self.table).into_iter();
        for field in schema.fields() {
            let wanted = wanted.next();
            if wanted.as_ref().is_none_or(|w| {
                (w.name(), w.data_type(), w.is_nullable())
                    != (field.name(), field.data_type(), field.is_nullable())
            }) {
                return changed(format!(
                    "its column {} is not as this release has it",
                    field.name()
                ));
            }
        }
        match wanted.next() {
            Some(missing) => changed(format!("its column {} is missing", missing.name())),
            None => Ok(()),
        }
    }

    fn known(&self) -> States {
        self.states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The known states, brought up to version `to`; none where that cannot be told from the log's entries.
    async fn states_onward(&self, to: Version) -> Result<States, LakeError> {
        if to < self.version() || to - self.version() > ONWARD_MAX {
            return Ok(States::default());
        }
        let mut states = self.known();
        for version in self.version() + 1..=to {
            let entry = self
                .log
                .read_commit_entry(version)
                .await
                .map_err(|e| delta_error(self.table, e))?;
            let Some(Ok(entry)) = entry.map(|bytes| LogEntry::parse(&bytes)) else {
                return Ok(States::default());
            };
            states.known.extend(
                entry
                    .transactions
                    .into_iter()
                    .map(|(app_id, state)| (app_id, Some(state))),
            );
        }
        Ok(states)
    }
}

pub(super) fn delta_error(table: &Table, source: DeltaTableError) -> LakeError {
    LakeError::Delta {
        table: table.name,
        source: Box::new(source),
    }
}
