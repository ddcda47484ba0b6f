//! `forebay imports`: what was imported, and taking it back.

use std::{fmt::Write as _, process::ExitCode};

use clap::Subcommand;
use forebay_compactor::undo_import;
use forebay_lake::{Imported, Imports, LostImport, imports};
use forebay_schemas::Timestamp;

use crate::{
    clock::{now, rfc3339},
    config::{Config, Reading},
    out,
    place::Place,
    store::Store,
};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// All imports into this lake, the oldest first: id, when, site, readings, file.
    List,
    /// Take an import back: exactly its readings leave the lake, and the same file may be imported again.
    Undo {
        /// As `imports list` and `import` say it.
        id: u64,
    },
}

pub(crate) async fn run(place: &Place, verb: Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::List => list(place).await,
        Verb::Undo { id } => undo(place, id).await,
    }
}

/// The imports that can be read on stdout, those that cannot on stderr.
async fn list(place: &Place) -> anyhow::Result<ExitCode> {
    let reader = Store::for_reading(&Reading::load(place)?).reader().await?;
    let Imports { found, lost } = imports(reader.readings()?, &reader.keeper).await?;
    let mut text = String::new();
    for Imported { info, readings } in found {
        let at = Timestamp::from_micros(info.at)
            .map(rfc3339)
            .unwrap_or_default();
        let readings = readings.map_or_else(
            || "undone".to_owned(),
            |readings| format!("{readings} readings"),
        );
        writeln!(
            text,
            "{}  {at}  {}  {readings}  {}",
            info.id, info.site, info.file
        )?;
    }
    out::print(text)?;
    for LostImport { id, info, why } in &lost {
        let file = info
            .as_ref()
            .map(|info| format!(" of {}", info.file))
            .unwrap_or_default();
        eprintln!("forebay: import {id}{file}: {why}");
    }
    Ok(if lost.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn undo(place: &Place, id: u64) -> anyhow::Result<ExitCode> {
    let config = Config::load(place)?;
    let store = Store::of(&config);
    // There must be a lake: undoing makes none.
    drop(store.reader().await?);
    let undone = undo_import(
        id,
        &store.writer().await?,
        &config.compactor.windows,
        now()?,
    )
    .await?;
    eprintln!(
        "import {id} of {} undone: {} readings have left the lake ({} files removed, {} rewritten), {} windows closed again",
        undone.info.file,
        undone.erased.readings,
        undone.erased.removed,
        undone.erased.rewritten,
        undone.windows
    );
    Ok(ExitCode::SUCCESS)
}
