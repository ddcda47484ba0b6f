//! What a message costs at the edge: MQTT QoS 1, through the synced spool, into Kafka; Telegraf beside it on the same brokers.
//!
//! The measured processes are the shipped binaries. Messages come as fast as the broker takes them, so that what is measured
//! is work and not waiting. Telegraf keeps messages in memory until Kafka has them; nothing of it survives a crash.

mod flood;
pub(crate) mod program;
pub(crate) mod received;

use std::path::PathBuf;

use anyhow::ensure;
use serde::Serialize;
use tempfile::TempDir;

use self::{
    flood::Mosquitto,
    program::{Program, Running},
    received::Received,
};
use crate::{kafka_broker::Broker, meter::median};

/// What is measured, and against what.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) forebay: PathBuf,
    pub(crate) telegraf: Option<PathBuf>,
    pub(crate) messages: u64,
    pub(crate) rounds: u8,
}

/// What one program took, medians over the rounds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EdgeFigures {
    pub(crate) program: &'static str,
    pub(crate) messages_per_cpu_second: f64,
    pub(crate) messages_per_second: f64,
    /// Peak of resident memory.
    pub(crate) peak_bytes: f64,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    cpu_seconds: f64,
    wall_seconds: f64,
    peak_bytes: u64,
}

/// Measures each program in turn, so that what else the machine does falls on all alike.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<EdgeFigures>> {
    let folder = TempDir::new()?;
    let kafka = Broker::started().await;
    let mut programs = vec![Program::Forebay(plan.forebay.clone())];
    programs.extend(plan.telegraf.clone().map(Program::Telegraf));
    let mut measured = vec![Vec::new(); programs.len()];
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        for (program, measured) in programs.iter().zip(&mut measured) {
            let topic = format!("{}-{round}", program.name());
            kafka.create(&topic, 1, &[]).await;
            let folder = TempDir::new_in(folder.path())?;
            // One for each: a broker keeps what comes for the session of a program that has ended.
            let mosquitto = Mosquitto::start(folder.path())?;
            let running = program.start(folder.path(), &mosquitto, &kafka.address(), &topic)?;
            let received = Received::of(&kafka.address(), &topic)?;
            measured.push(measure(running, received, &mosquitto, plan.messages).await?);
        }
    }
    Ok(programs
        .iter()
        .zip(&measured)
        .map(|(program, runs)| EdgeFigures::of(program.name(), plan.messages, runs))
        .collect())
}

async fn measure(
    mut running: Running,
    mut received: Received,
    mosquitto: &Mosquitto,
    messages: u64,
) -> anyhow::Result<Measured> {
    // What is published before somebody has subscribed is lost, so it is asked until something arrives.
    while received.count()? == 0 {
        running.check()?;
        mosquitto.publish(1).await?;
    }
    let before = received.until_quiet()?;
    let meter = running.meter()?;
    mosquitto.publish(messages).await?;
    while received.count()? < before + messages {
        running.check()?;
    }
    let cost = meter.stop(messages)?;
    let after = received.until_quiet()?;
    ensure!(
        after == before + messages,
        "{after} readings in Kafka of {}",
        before + messages
    );
    Ok(Measured {
        cpu_seconds: cost.cpu_seconds,
        wall_seconds: cost.wall_seconds,
        peak_bytes: running.peak_bytes()?,
    })
}

impl EdgeFigures {
    fn of(program: &'static str, messages: u64, runs: &[Measured]) -> Self {
        let messages = messages as f64;
        Self {
            program,
            messages_per_cpu_second: median(runs.iter().map(|run| messages / run.cpu_seconds)),
            messages_per_second: median(runs.iter().map(|run| messages / run.wall_seconds)),
            peak_bytes: median(runs.iter().map(|run| run.peak_bytes as f64)),
        }
    }
}
