//! What values of OPC UA cost at the edge: a subscription to so many variables, through the synced spool, into Kafka; and the memory
//! that so many tags take. Telegraf subscribes to the same variables in turns.
//!
//! The server is that of async-opcua, in this process: it writes so many values a second, and every value is another than the
//! one before. What is counted is what has come into Kafka.

mod server;

use std::{fmt::Write as _, time::Duration};

use tokio::time::Instant;

use self::server::Server;
use crate::{
    program::{Binaries, Kind, Running, forebay_to_kafka, telegraf_to_kafka},
    received::Received,
    turns::{Measured, ProgramFigures, Turn, in_turns},
};

/// Nodes of one of Telegraf's inputs, of which each has a session.
const TELEGRAF_NODES: u32 = 1_000;

/// What is measured.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) binaries: Binaries,
    pub(crate) tags: u32,
    /// Values that the server writes in a second.
    pub(crate) per_second: u32,
    /// How long each measurement takes.
    pub(crate) length: Duration,
    pub(crate) rounds: u8,
}

/// Measures so many tags, in so many rounds.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<ProgramFigures>> {
    let server = Server::start(plan.tags, plan.per_second).await?;
    in_turns(&plan.binaries.programs(), plan.rounds, async |turn| {
        let running = turn
            .program
            .start(turn.folder, &configuration(&turn, plan.tags, &server))?;
        let received = Received::of(turn.kafka, turn.topic)?;
        measure(running, received, plan)
    })
    .await
}

fn measure(mut running: Running, mut received: Received, plan: &Plan) -> anyhow::Result<Measured> {
    // Every item exists, and its first value has come.
    let all = u64::from(plan.tags) + 2 * u64::from(plan.per_second);
    while received.count()? < all {
        running.check()?;
    }
    let before = received.count()?;
    let meter = running.meter()?;
    let begun = Instant::now();
    while begun.elapsed() < plan.length {
        running.check()?;
        received.count()?;
    }
    let values = received.count()? - before;
    Measured::of(&running, meter.stop(values)?)
}

fn configuration(turn: &Turn<'_>, tags: u32, server: &Server) -> String {
    let (address, namespace) = (server.address, server.namespace);
    match turn.program.kind {
        Kind::Forebay | Kind::Before => {
            let mut text = forebay_to_kafka(turn.folder, turn.kafka, turn.topic);
            text.push_str(&format!(
                "\n[[connector]]\nname = \"server\"\nkind = \"opcua\"\ndevice = \"server\"\nurl = \"opc.tcp://{address}/\"\n"
            ));
            for tag in 1..=tags {
                // Writing to a string does not fail.
                write!(
                    text,
                    "\n[[connector.tag]]\nname = \"tag-{tag}\"\nnode = \"ns={namespace};i={tag}\"\n"
                )
                .unwrap_or_default();
            }
            text
        }
        Kind::Telegraf => {
            let mut text = telegraf_to_kafka(turn.kafka, turn.topic);
            // Telegraf asks for all items of an input at once; the server takes a thousand.
            for (input, first) in (1..=tags).step_by(TELEGRAF_NODES as usize).enumerate() {
                text.push_str(&format!(
                    "\n[[inputs.opcua_listener]]\nname = \"server-{input}\"\nendpoint = \"opc.tcp://{address}/\"\n\
                    security_policy = \"None\"\nsecurity_mode = \"None\"\nauth_method = \"Anonymous\"\n\
                    subscription_interval = \"500ms\"\nnodes = [\n"
                ));
                for tag in first..=tags.min(first + TELEGRAF_NODES - 1) {
                    writeln!(
                        text,
                        "{{ name = \"tag-{tag}\", namespace = \"{namespace}\", identifier_type = \"i\", identifier = \"{tag}\" }},"
                    )
                    .unwrap_or_default();
                }
                text.push_str("]\n");
            }
            text
        }
    }
}
