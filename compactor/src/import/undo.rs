//! An import taken back: its readings leave the table in one commit, and the windows that held them are closed again.
//!
//! Afterwards the same file may be imported again. Rows of it in `quarantine` stay: they tell what was wrong, and are not
//! written a second time.

use arrow::{array::AsArray as _, datatypes::Int64Type};
use forebay_lake::{
    EraseSpec, Erased, ImportInfo, LakeError, LakeWriter, StreamState, erase, import_info,
    imported_app_id, session,
};
use forebay_schemas::{
    Epoch, ErrorKind, GatewayId, InvalidName, LaneId, SiteId, Timestamp, table::READINGS,
};
use thiserror::Error;

use super::IMPORT_LANE;
use crate::{CompactorError, WindowSettings, windows::revise};

/// What was undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The import.
    pub info: ImportInfo,
    /// What left the table.
    pub erased: Erased,
    /// Windows that have a new revision.
    pub windows: u64,
}

/// Why an import was not undone.
#[derive(Debug, Error)]
pub enum UndoError {
    /// There is no such import.
    #[error("no import {id} in this lake: `forebay imports list` shows all")]
    Unknown {
        /// As asked for.
        id: u64,
    },
    /// There is nothing left of it.
    #[error("import {id} is already undone: none of its readings are in the table")]
    Already {
        /// As asked for.
        id: u64,
    },
    /// What was noted of it names something that cannot be.
    #[error("the note of import {id} is damaged: {source}")]
    Note {
        /// As asked for.
        id: u64,
        /// Why.
        source: InvalidName,
    },
    /// The tables.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Where its readings lie could not be determined.
    #[error("cannot find the import's readings: {0}")]
    Find(#[source] CompactorError),
    /// The readings are gone, but windows still count them.
    #[error("the readings have left the table, but their windows still count them: {0}")]
    Windows(#[source] CompactorError),
}

impl UndoError {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unknown { .. } | Self::Already { .. } => ErrorKind::Reject,
            Self::Note { .. } => ErrorKind::Corrupt,
            Self::Lake(error) => error.kind(),
            Self::Find(error) | Self::Windows(error) => error.kind(),
        }
    }
}

/// Takes an import back: exactly its readings, fenced as merges are (E8).
///
/// # Errors
/// Nothing has changed after one, unless it is [`UndoError::Windows`] or says that a commit was not confirmed.
pub async fn undo_import(
    id: u64,
    lake: &LakeWriter,
    windows: &WindowSettings,
    now: Timestamp,
) -> Result<Undone, UndoError> {
    let table = lake.table(&READINGS)?;
    let epoch = Epoch(id);
    let app_id = imported_app_id(lake.keeper(), epoch);
    let state = table.snapshot().await?.state_of(&app_id).await?;
    let (Some(from_state), Some(info)) = (state, import_info(table, lake.keeper(), epoch).await?)
    else {
        return Err(UndoError::Unknown { id });
    };
    let found: StreamState = lake.keeper().load(table, &app_id, from_state).await?;
    let Some(mark) = found.epochs.first() else {
        return Err(UndoError::Already { id });
    };
    let note = |source| UndoError::Note { id, source };
    let site = SiteId::new(&info.site).map_err(note)?;
    let gateway = GatewayId::new(&mark.gateway).map_err(note)?;
    let times = times(lake, &site, &gateway, epoch)
        .await
        .map_err(UndoError::Find)?;
    let spec = EraseSpec {
        site: site.clone(),
        lane: LaneId {
            gateway,
            lane: IMPORT_LANE,
        },
        epoch,
        // Without a reading no file is opened.
        times: times.unwrap_or((i64::MAX, i64::MIN)),
        app_id,
        from_state,
        state: StreamState::new(0, Vec::new()),
    };
    let erased = erase(lake, &spec, now).await?;
    let windows = match times {
        Some(times) => revise(lake, windows, &site, times, now)
            .await
            .map_err(UndoError::Windows)?,
        None => 0,
    };
    Ok(Undone {
        info,
        erased,
        windows,
    })
}

/// First and last event time of an import's readings, µs since 1970 UTC; `None` if there are none.
async fn times(
    lake: &LakeWriter,
    site: &SiteId,
    gateway: &GatewayId,
    epoch: Epoch,
) -> Result<Option<(i64, i64)>, CompactorError> {
    let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let sql = format!(
        "select min(cast(event_time as bigint)), max(cast(event_time as bigint)) from readings \
         where site = {} and gateway = {} and lane = {} and epoch = {epoch}",
        text(site.as_str()),
        text(gateway.as_str()),
        IMPORT_LANE.0,
    );
    let failed = |source| CompactorError::Query {
        source: Box::new(source),
    };
    let wrong = |source| CompactorError::Lake {
        place: "imports".into(),
        source,
    };
    let table = lake.table(&READINGS).map_err(wrong)?.clone();
    let session = session(&[table], &lake.decrypter()).await.map_err(wrong)?;
    let found = session
        .sql(&sql)
        .await
        .map_err(failed)?
        .collect()
        .await
        .map_err(failed)?;
    let row = found.iter().find(|rows| rows.num_rows() > 0);
    let column = |at: usize| {
        let longs = row?.column(at).as_primitive_opt::<Int64Type>()?;
        longs.iter().next().flatten()
    };
    Ok(column(0).zip(column(1)))
}
