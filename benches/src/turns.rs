//! Programs that are measured in turns, and what each took.

use std::path::Path;

use serde::Serialize;
use tempfile::TempDir;

use crate::{
    kafka_broker::Broker,
    meter::{Cost, median},
    program::{Program, Running},
};

/// One program's turn, with a topic and a folder of its own.
pub(crate) struct Turn<'t> {
    pub(crate) program: &'t Program,
    pub(crate) kafka: &'t str,
    pub(crate) topic: &'t str,
    pub(crate) folder: &'t Path,
}

/// What a program took in one turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) cost: Cost,
    pub(crate) resident_bytes: u64,
    pub(crate) peak_bytes: u64,
}

/// What one program took, medians over the rounds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProgramFigures {
    pub(crate) program: &'static str,
    pub(crate) readings_per_cpu_second: f64,
    pub(crate) readings_per_second: f64,
    /// Resident memory at the end of the measurement.
    pub(crate) resident_bytes: f64,
    /// Peak of resident memory.
    pub(crate) peak_bytes: f64,
}

impl Measured {
    /// Of a program that still runs.
    pub(crate) fn of(running: &Running, cost: Cost) -> anyhow::Result<Self> {
        Ok(Self {
            cost,
            resident_bytes: running.resident_bytes()?,
            peak_bytes: running.peak_bytes()?,
        })
    }
}

/// Measures each program in turn, so that what else the machine does falls on all alike.
pub(crate) async fn in_turns(
    programs: &[Program],
    rounds: u8,
    mut measure: impl AsyncFnMut(Turn<'_>) -> anyhow::Result<Measured>,
) -> anyhow::Result<Vec<ProgramFigures>> {
    let folder = TempDir::new()?;
    let kafka = Broker::started().await;
    let mut measured = vec![Vec::new(); programs.len()];
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for (program, measured) in programs.iter().zip(&mut measured) {
            let topic = format!("{}-{round}", program.kind.name());
            kafka.create(&topic, 1, &[]).await;
            let folder = TempDir::new_in(folder.path())?;
            let turn = Turn {
                program,
                kafka: &kafka.address(),
                topic: &topic,
                folder: folder.path(),
            };
            measured.push(measure(turn).await?);
        }
    }
    let figures = programs.iter().zip(&measured);
    Ok(figures
        .map(|(program, runs)| ProgramFigures::of(program.kind.name(), runs))
        .collect())
}

impl ProgramFigures {
    fn of(program: &'static str, runs: &[Measured]) -> Self {
        let rate = |by: fn(&Cost) -> f64| {
            median(
                runs.iter()
                    .map(|run| run.cost.readings as f64 / by(&run.cost)),
            )
        };
        Self {
            program,
            readings_per_cpu_second: rate(|cost| cost.cpu_seconds),
            readings_per_second: rate(|cost| cost.wall_seconds),
            resident_bytes: median(runs.iter().map(|run| run.resident_bytes as f64)),
            peak_bytes: median(runs.iter().map(|run| run.peak_bytes as f64)),
        }
    }
}
