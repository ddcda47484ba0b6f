//! Which imports a lake has seen: what is noted of each, and the state of its stream.
//!
//! The note is written once, before the first commit, sealed like the states and beside them, under the import's own number.
//! It is for people: nothing depends on it but finding an import again.

use forebay_schemas::{Epoch, ErrorKind, table::READINGS};
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
    if import_info(table, lake.keeper(), Epoch(info.id))
        .await?
        .is_some()
    {
        return Ok(());
    }
    let notes = lake.keeper().app_id(NOTES, 0);
    lake.keeper()
        .note(table, &notes, info.id.cast_signed(), info, lake.random())
        .await
}

/// What was noted of an import.
///
/// # Errors
/// When the store fails, or the note does not open.
pub async fn import_info(
    table: &LakeTable,
    keeper: &StateKeeper,
    id: Epoch,
) -> Result<Option<ImportInfo>, LakeError> {
    let notes = keeper.app_id(NOTES, 0);
    let path = Path::from_iter(["_forebay", "state", &notes, &format!("{:020}", id.0)]);
    match object_store::ObjectStoreExt::head(table.store().as_ref(), &path).await {
        Ok(_) => keeper
            .load(table, &notes, id.0.cast_signed())
            .await
            .map(Some),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The numbers of all imports that were noted.
pub(crate) async fn import_ids(
    table: &LakeTable,
    keeper: &StateKeeper,
) -> Result<Vec<Epoch>, LakeError> {
    let folder = Path::from_iter(["_forebay", "state", &keeper.app_id(NOTES, 0)]);
    let objects: Vec<_> = table.store().list(Some(&folder)).try_collect().await?;
    let numbers = objects
        .iter()
        .filter_map(|object| object.location.filename()?.parse().ok());
    Ok(numbers.map(Epoch).collect())
}

/// An import of which not all that the lake noted can be read; its readings are where they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostImport {
    /// Its number.
    pub id: u64,
    /// What was noted of it, if that can be read.
    pub info: Option<ImportInfo>,
    /// What cannot be read, and why.
    pub why: String,
}

/// The imports of a lake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imports {
    /// Those that have committed something, the oldest first.
    pub found: Vec<Imported>,
    /// Those whose note or state is missing or damaged, by their numbers.
    pub lost: Vec<LostImport>,
}

/// All imports that have committed something. One that cannot be read takes no other with it.
///
/// # Errors
/// When the log or the store cannot be read, which may pass.
pub async fn imports(table: &LakeTable, keeper: &StateKeeper) -> Result<Imports, LakeError> {
    let snapshot = table.snapshot().await?;
    let mut imports = Imports::default();
    for Epoch(id) in import_ids(table, keeper).await? {
        let app_id = imported_app_id(keeper, Epoch(id));
        let Some(number) = snapshot.state_of(&app_id).await? else {
            continue;
        };
        let note = readable(
            keeper
                .load::<ImportInfo>(table, &keeper.app_id(NOTES, 0), id.cast_signed())
                .await,
        )?;
        let state = readable(keeper.load::<StreamState>(table, &app_id, number).await)?;
        match (note, state) {
            (Ok(info), Ok(state)) => {
                imports.found.push(Imported {
                    readings: state.epochs.first().map(|epoch| epoch.mark),
                    info,
                });
            }
            (note, Err(error)) => imports.lost.push(LostImport {
                id,
                info: note.ok(),
                why: error.to_string(),
            }),
            (Err(error), Ok(_)) => imports.lost.push(LostImport {
                id,
                info: None,
                why: note_lost(&error),
            }),
        }
    }
    imports
        .found
        .sort_by_key(|import| (import.info.at, import.info.id));
    imports.lost.sort_by_key(|import| import.id);
    Ok(imports)
}

/// What was read, or why it never will be.
///
/// # Errors
/// One that may pass.
fn readable<T>(read: Result<T, LakeError>) -> Result<Result<T, LakeError>, LakeError> {
    match read {
        Err(error) if error.kind() != ErrorKind::Corrupt => Err(error),
        read => Ok(read),
    }
}

/// No table tells what a note said: it is not rebuilt.
fn note_lost(error: &LakeError) -> String {
    match error {
        LakeError::StateLost { path, why, .. } => format!("its note {path} cannot be read: {why}"),
        error => error.to_string(),
    }
}
