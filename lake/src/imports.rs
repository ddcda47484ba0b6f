//! Which imports a lake has seen: what is noted of each, and the state of its stream.
//!
//! The note is written once, before the first commit, sealed like the states and beside them, under the import's own number.
//! It is for people: nothing depends on it but finding an import again.

use forebay_schemas::{Epoch, table::READINGS};
use futures::TryStreamExt as _;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::{LakeError, LakeTable, LakeWriter, StateKeeper, StreamState};

/// The name under which notes lie; no stream commits under it.
const NOTES: &str = "imports";

/// What is noted of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportInfo {
    /// Version of this object's layout: [`forebay_schemas::table::TABLE_FORMAT_VERSION`].
    pub format: u32,
    /// The import's number: the epoch of its readings.
    pub id: u64,
    /// The file, as it was named.
    pub file: String,
    /// The site of its readings.
    pub site: String,
    /// The gateway that numbered them.
    pub gateway: String,
    /// When it began first, µs since 1970 UTC.
    pub at: i64,
}

/// An import that has committed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// What was noted of it.
    pub info: ImportInfo,
    /// How many of its readings are in the table; `None` if it was undone.
    pub readings: Option<u64>,
}

/// The stream of an import, as the table names it.
pub fn imported_app_id(keeper: &StateKeeper, id: Epoch) -> String {
    keeper.app_id(&format!("import/{id}"), 0)
}

/// Notes an import, if it is not noted yet.
///
/// # Errors
/// When the store fails.
pub async fn note_import(lake: &LakeWriter, info: &ImportInfo) -> Result<(), LakeError> {
    let table = lake.table(&READINGS)?;
    if import_info(table, lake.keeper(), Epoch(info.id)).await?.is_some() {
        return Ok(());
    }
    let notes = lake.keeper().app_id(NOTES, 0);
    lake.keeper().note(table, &notes, info.id.cast_signed(), info, lake.random()).await
}

/// What was noted of an import.
///
/// # Errors
/// When the store fails, or the note does not open.
pub async fn import_info(table: &LakeTable, keeper: &StateKeeper, id: Epoch) -> Result<Option<ImportInfo>, LakeError> {
    let notes = keeper.app_id(NOTES, 0);
    let path = Path::from_iter(["_forebay", "state", &notes, &format!("{:020}", id.0)]);
    match object_store::ObjectStoreExt::head(table.store().as_ref(), &path).await {
        Ok(_) => keeper.load(table, &notes, id.0.cast_signed()).await.map(Some),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The numbers of all imports that were noted.
pub(crate) async fn import_ids(table: &LakeTable, keeper: &StateKeeper) -> Result<Vec<Epoch>, LakeError> {
    let folder = Path::from_iter(["_forebay", "state", &keeper.app_id(NOTES, 0)]);
    let objects: Vec<_> = table.store().list(Some(&folder)).try_collect().await?;
    let numbers = objects.iter().filter_map(|object| object.location.filename()?.parse().ok());
    Ok(numbers.map(Epoch).collect())
}

/// All imports that have committed something, the oldest first.
///
/// # Errors
/// When the log, the store or a state cannot be read.
pub async fn imports(table: &LakeTable, keeper: &StateKeeper) -> Result<Vec<Imported>, LakeError> {
    let snapshot = table.snapshot().await?;
    let notes = keeper.app_id(NOTES, 0);
    let folder = Path::from_iter(["_forebay", "state", &notes]);
    let objects: Vec<_> = table.store().list(Some(&folder)).try_collect().await?;
    let mut found = Vec::new();
    for object in objects {
        let Some(number) = object.location.filename().and_then(|name| name.parse::<i64>().ok()) else { continue };
        let info: ImportInfo = keeper.load(table, &notes, number).await?;
        let app_id = imported_app_id(keeper, Epoch(info.id));
        let Some(state) = snapshot.state_of(&app_id).await? else { continue };
        let state: StreamState = keeper.load(table, &app_id, state).await?;
        found.push(Imported { readings: state.epochs.first().map(|epoch| epoch.mark), info });
    }
    found.sort_by_key(|import| (import.info.at, import.info.id));
    Ok(found)
}
