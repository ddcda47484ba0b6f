//! Lost states of streams, rebuilt from the tables and committed (E5).
//!
//! A state that can be read is refused. A rebuilt one is committed as any other: only where the lost one still counts (E6), its
//! gaps written before it (E9). A stream's notes beside the tables `gaps` and `quarantine` start empty where they are lost: a row
//! that was being written when they were lost may stand there twice.

use forebay_lake::{
    Attempt, LakeError, LakeWriter, RebuiltState, Retells, SideState, StreamState, imported_app_id,
    rebuild_states,
};
use forebay_schemas::{
    Epoch, ErrorKind, Timestamp,
    table::{GAPS, QUARANTINE, READINGS, TABLE_FORMAT_VERSION, Table},
};
use thiserror::Error;

use super::side::{self, Origin};
use crate::ingest::{Step, commit};

/// Whether anything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairMode {
    /// Only what would be done is answered.
    Try,
    /// It is done.
    Commit,
}

/// What was lost and is there again.
#[derive(Debug, Default)]
pub struct Repaired {
    /// States of streams.
    pub states: Vec<RebuiltState>,
    /// Notes beside other tables: the table and the stream, as the table knows it.
    pub notes: Vec<(&'static str, String)>,
}

/// Why a state was not rebuilt.
#[derive(Debug, Error)]
pub enum RepairError {
    /// There is nothing to rebuild.
    #[error("the state of stream {stream} can be read: nothing is rebuilt")]
    Sound {
        /// As asked for.
        stream: String,
    },
    /// No such stream has committed anything.
    #[error("no stream {stream} in this lake: `forebay verify` names the states that are lost")]
    Unknown {
        /// As asked for.
        stream: String,
    },
    /// The tables.
    #[error(transparent)]
    Lake(#[from] LakeError),
}

impl RepairError {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Sound { .. } | Self::Unknown { .. } => ErrorKind::Reject,
            Self::Lake(error) => error.kind(),
        }
    }
}

/// Rebuilds the lost state of one stream, named by its app id or an import's number, or of all.
///
/// # Errors
/// What was rebuilt before an error stays. [`LakeError::Fenced`] when a stream has gone on meanwhile.
pub async fn repair_states(
    lake: &LakeWriter,
    stream: Option<&str>,
    retells: Retells,
    mode: RepairMode,
    now: Timestamp,
) -> Result<Repaired, RepairError> {
    let named = match stream {
        Some(stream) => Some(find(lake, stream).await?),
        None => None,
    };
    let is_asked = |app_id: &str| named.as_ref().is_none_or(|named| named == app_id);
    let states = rebuild_states(lake, retells, now).await?;
    let streams = streams(lake, &states).await?;
    let mut repaired = Repaired::default();
    for app_id in streams.iter().filter(|app_id| is_asked(app_id)) {
        for table in [&GAPS, &QUARANTINE] {
            if note_is_lost(lake, table, app_id, mode).await? {
                repaired.notes.push((table.name, app_id.clone()));
            }
        }
    }
    repaired.states = states
        .into_iter()
        .filter(|state| is_asked(&state.app_id))
        .collect();
    if mode == RepairMode::Commit {
        for rebuilt in &repaired.states {
            let from_state = Some(rebuilt.lost);
            let origin = Origin {
                app_id: &rebuilt.app_id,
                source: "repair",
                base: from_state,
            };
            side::gaps(
                lake,
                origin,
                &rebuilt.untold.iter().collect::<Vec<_>>(),
                now,
            )
            .await?;
            let step = Step {
                app_id: &rebuilt.app_id,
                from_state,
                state: &rebuilt.state,
                rows: &[],
            };
            commit(lake, step, now).await?;
        }
    }
    match stream {
        Some(stream) if repaired.states.is_empty() && repaired.notes.is_empty() => {
            Err(RepairError::Sound {
                stream: stream.to_owned(),
            })
        }
        _ => Ok(repaired),
    }
}

/// The app id of a stream that has committed something.
async fn find(lake: &LakeWriter, stream: &str) -> Result<String, RepairError> {
    let readings = lake.table(&READINGS)?;
    let numbers = lake
        .keeper()
        .numbers(readings, &readings.snapshot().await?)
        .await?;
    let import = stream
        .parse()
        .ok()
        .map(|number| imported_app_id(lake.keeper(), Epoch(number)));
    let mut ids = numbers.into_iter().map(|(app_id, _)| app_id);
    let found = ids.find(|app_id| app_id == stream || Some(app_id) == import.as_ref());
    found.ok_or_else(|| RepairError::Unknown {
        stream: stream.to_owned(),
    })
}

/// All streams that are no imports: these keep no notes.
async fn streams(lake: &LakeWriter, rebuilt: &[RebuiltState]) -> Result<Vec<String>, LakeError> {
    let readings = lake.table(&READINGS)?;
    let states = lake
        .keeper()
        .states_each::<StreamState>(readings, &readings.snapshot().await?)
        .await?;
    let is_stream = |app_id: &str, state: Result<StreamState, LakeError>| match state {
        Ok(state) => !state.stream.is_empty(),
        Err(_) => rebuilt
            .iter()
            .any(|rebuilt| rebuilt.app_id == app_id && rebuilt.import.is_none()),
    };
    let streams = states
        .into_iter()
        .map(|found| (is_stream(&found.app_id, found.state), found.app_id));
    Ok(streams
        .filter(|(is_stream, _)| *is_stream)
        .map(|(_, app_id)| app_id)
        .collect())
}

/// Whether a stream's notes beside a table are lost; empty ones are written then.
async fn note_is_lost(
    lake: &LakeWriter,
    table: &'static Table,
    app_id: &str,
    mode: RepairMode,
) -> Result<bool, LakeError> {
    let at = lake.table(table)?;
    let Some(number) = at.snapshot().await?.state_of(app_id).await? else {
        return Ok(false);
    };
    match lake.keeper().load::<SideState>(at, app_id, number).await {
        Err(LakeError::StateLost { .. }) => {}
        found => return found.map(|_| false),
    }
    if mode == RepairMode::Commit {
        let format = TABLE_FORMAT_VERSION;
        let nothing = SideState {
            format,
            base: None,
            keys: Default::default(),
            before: Default::default(),
        };
        let to_state = lake
            .keeper()
            .store(at, app_id, Some(number), &nothing, lake.random())
            .await?;
        let (app_id, from_state) = (app_id.to_owned(), Some(number));
        at.commit(&Attempt {
            id: lake.id()?,
            app_id,
            from_state,
            to_state,
            adds: Vec::new(),
        })
        .await?;
    }
    Ok(true)
}
