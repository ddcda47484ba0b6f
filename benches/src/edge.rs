//! What a message costs at the edge: MQTT QoS 1, through the synced spool, into Kafka; Telegraf beside it on the same brokers.
//!
//! Messages come as fast as the broker takes them, so that what is measured is work and not waiting. Telegraf keeps messages
//! in memory until Kafka has them; nothing of it survives a crash.

mod flood;

use anyhow::ensure;

use self::flood::Mosquitto;
use crate::{
    program::{Binaries, Kind, Running, forebay_to_kafka, telegraf_to_kafka},
    received::Received,
    turns::{Measured, ProgramFigures, Turn, in_turns},
};

/// What is measured, and against what.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) binaries: Binaries,
    pub(crate) devices: u64,
    pub(crate) messages: u64,
    pub(crate) rounds: u8,
}

/// Measures each program.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<ProgramFigures>> {
    in_turns(&plan.binaries.programs(), plan.rounds, async |turn| {
        // One for each: a broker keeps what comes for the session of a program that has ended.
        let mosquitto = Mosquitto::start(turn.folder, plan.devices)?;
        let running = turn
            .program
            .start(turn.folder, &configuration(&turn, mosquitto.port))?;
        let received = Received::of(turn.kafka, turn.topic)?;
        measure(running, received, &mosquitto, plan.messages).await
    })
    .await
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
    Measured::of(&running, cost)
}

/// What each program's own documents recommend for this.
fn configuration(turn: &Turn<'_>, port: u16) -> String {
    let (kafka, topic) = (turn.kafka, turn.topic);
    match turn.program.kind {
        Kind::Forebay | Kind::Before => {
            forebay_to_kafka(turn.folder, kafka, topic)
                + &format!(
                    r#"
[[connector]]
name = "cells"
kind = "mqtt"
url = "mqtt://127.0.0.1:{port}"
topics = ["plant/#"]

[[connector.tag]]
topic = "plant/{{device}}/{{tag}}"
value = "$.v"
time = "$.ts"
time_unit = "ms"
"#
                )
        }
        Kind::Telegraf => {
            telegraf_to_kafka(kafka, topic)
                + &format!(
                    r#"
[[inputs.mqtt_consumer]]
servers = ["tcp://127.0.0.1:{port}"]
topics = ["plant/#"]
qos = 1
client_id = "telegraf-{topic}"
persistent_session = true
max_undelivered_messages = 5000
data_format = "json"
json_time_key = "ts"
json_time_format = "unix_ms"
"#
                )
        }
    }
}
