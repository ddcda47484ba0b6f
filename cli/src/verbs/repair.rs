//! `forebay repair`: what is lost of a lake and can be made again from the rest of it.

use std::{fmt::Write as _, process::ExitCode};

use clap::Subcommand;
use forebay_compactor::{RepairMode, Repaired, repair_states};
use forebay_lake::{RebuiltState, Retells};

use crate::{clock::now, config::Config, out, place::Place, store::Store};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Rebuild what the lake has noted of a stream, where that is missing or damaged: from its rows, so that each reading stays once.
    State {
        /// Only this stream's: the id in the path that `verify` names, or an import's number; every lost one unless given.
        #[arg(long, value_name = "ID")]
        stream: Option<String>,
        /// Say what would be rebuilt, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

pub(crate) async fn run(place: &Place, verb: Verb) -> anyhow::Result<ExitCode> {
    let Verb::State { stream, dry_run } = verb;
    let config = Config::load(place)?;
    let store = Store::of(&config);
    // There must be a lake: a repair makes none.
    drop(store.reader().await?);
    let retells = if config.stream.is_some() {
        Retells::Everything
    } else {
        Retells::WhatIsLeft
    };
    let mode = if dry_run {
        RepairMode::Try
    } else {
        RepairMode::Commit
    };
    let repaired = repair_states(
        &store.writer().await?,
        stream.as_deref(),
        retells,
        mode,
        now()?,
    )
    .await?;
    out::print(told(&repaired)?)?;
    let (states, notes) = (repaired.states.len(), repaired.notes.len());
    match (states + notes, mode) {
        (0, _) => eprintln!("every stream's state can be read: nothing is rebuilt"),
        (_, RepairMode::Try) => eprintln!("{states} states and {notes} notes would be rebuilt"),
        (_, RepairMode::Commit) => {
            eprintln!("{states} states and {notes} notes rebuilt: `forebay verify` proves them")
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A line a stream, and below it one an epoch.
fn told(repaired: &Repaired) -> anyhow::Result<String> {
    let mut text = String::new();
    for RebuiltState {
        app_id,
        import,
        state,
        untold,
        ..
    } in &repaired.states
    {
        match import {
            Some(import) => writeln!(text, "stream {app_id}: import {import}")?,
            None => writeln!(
                text,
                "stream {app_id}: {}, from offset {}",
                state.stream, state.next_offset
            )?,
        }
        for done in &state.forgotten {
            let (gateway, lane, readings) = (&done.gateway, done.lane, done.readings);
            match done.epoch {
                0 => writeln!(
                    text,
                    "  {gateway}/{lane}: {readings} readings of epochs that another stream goes on with"
                )?,
                epoch => writeln!(
                    text,
                    "  {gateway}/{lane}: epochs up to {epoch}, {readings} readings, done"
                )?,
            }
        }
        for at in &state.epochs {
            let of_epoch = state.gaps.iter().filter(|gap| {
                (&gap.gateway, gap.lane, gap.epoch) == (&at.gateway, at.lane, at.epoch)
            });
            let gaps = of_epoch.count();
            writeln!(
                text,
                "  {}/{}: epoch {}, seqs 1 to {}, {gaps} gaps",
                at.gateway, at.lane, at.epoch, at.mark
            )?;
        }
        for gap in untold {
            writeln!(
                text,
                "  {}/{}/{}: seqs {} to {} are missing",
                gap.gateway, gap.lane, gap.epoch, gap.first, gap.last
            )?;
        }
    }
    for (table, app_id) in &repaired.notes {
        writeln!(
            text,
            "stream {app_id}: what it has noted beside table {table}"
        )?;
    }
    Ok(text)
}
