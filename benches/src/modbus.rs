//! What registers cost at the edge: Modbus TCP polled as fast as it goes, through the synced spool, into Kafka; and the memory that so
//! many tags take. Telegraf polls the same devices in turns.
//!
//! Devices answer at once and their registers never stand still, so that each poll gives a reading of each register; what is
//! counted is what has come into Kafka.

mod server;

use std::{fmt::Write as _, time::Duration};

use tokio::time::Instant;

pub(crate) use self::server::Devices;
use crate::{
    program::{Binaries, Kind, Running, forebay_to_kafka, telegraf_to_kafka},
    received::Received,
    turns::{Measured, ProgramFigures, Turn, in_turns},
};

/// As many as one device has; each device is a connector with a connection of its own.
const TAGS_PER_DEVICE: u32 = 1_000;
/// More often than it goes: the next poll is due as soon as one is stored.
const EVERY: &str = "10ms";

/// What is measured.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) binaries: Binaries,
    pub(crate) tags: u32,
    /// How long each measurement takes.
    pub(crate) length: Duration,
    pub(crate) rounds: u8,
}

/// Measures so many tags of one register each, in so many rounds.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<ProgramFigures>> {
    let devices = Devices::start(plan.tags.div_ceil(TAGS_PER_DEVICE)).await?;
    in_turns(&plan.binaries.programs(), plan.rounds, async |turn| {
        let running = turn
            .program
            .start(turn.folder, &configuration(&turn, plan.tags, &devices))?;
        let received = Received::of(turn.kafka, turn.topic)?;
        measure(running, received, plan)
    })
    .await
}

fn measure(mut running: Running, mut received: Received, plan: &Plan) -> anyhow::Result<Measured> {
    // All devices are connected, and the program is warm.
    while received.count()? < 10 * u64::from(plan.tags) {
        running.check()?;
    }
    let before = received.count()?;
    let meter = running.meter()?;
    let begun = Instant::now();
    while begun.elapsed() < plan.length {
        running.check()?;
        received.count()?;
    }
    let registers = received.count()? - before;
    Measured::of(&running, meter.stop(registers)?)
}

fn configuration(turn: &Turn<'_>, tags: u32, devices: &Devices) -> String {
    let ports = devices.ports().iter().enumerate();
    let counts = (0..tags).step_by(TAGS_PER_DEVICE as usize);
    let counts = counts.map(|first| (tags - first).min(TAGS_PER_DEVICE));
    let mut text = match turn.program.kind {
        Kind::Forebay | Kind::Before => forebay_to_kafka(turn.folder, turn.kafka, turn.topic),
        Kind::Telegraf => telegraf_to_kafka(turn.kafka, turn.topic),
    };
    for ((device, port), count) in ports.zip(counts) {
        text.push_str(&match turn.program.kind {
            Kind::Forebay | Kind::Before => connector(device, *port, count, EVERY),
            Kind::Telegraf => telegraf_input(device, *port, count),
        });
    }
    text
}

/// A connector of Forebay with tags of one register each.
pub(crate) fn connector(device: usize, port: u16, tags: u32, every: &str) -> String {
    let mut text = format!(
        "\n[[connector]]\nname = \"device-{device}\"\nkind = \"modbus\"\ndevice = \"device-{device}\"\n\
        url = \"tcp://127.0.0.1:{port}\"\nevery = \"{every}\"\n"
    );
    for address in 0..tags {
        // Writing to a string does not fail.
        write!(
            text,
            "\n[[connector.tag]]\nname = \"register-{address}\"\nregister = \"holding\"\naddress = {address}\ntype = \"u16\"\n"
        )
        .unwrap_or_default();
    }
    text
}

/// The same for Telegraf, by requests that it puts together itself.
fn telegraf_input(device: usize, port: u16, tags: u32) -> String {
    let mut text = format!(
        "\n[[inputs.modbus]]\nname = \"device-{device}\"\ninterval = \"{EVERY}\"\n\
        controller = \"tcp://127.0.0.1:{port}\"\nconfiguration_type = \"request\"\n\
        [[inputs.modbus.request]]\nslave_id = 1\nbyte_order = \"ABCD\"\nregister = \"holding\"\n\
        optimization = \"rearrange\"\nfields = [\n"
    );
    for address in 0..tags {
        writeln!(
            text,
            "{{ address = {address}, name = \"register-{address}\", type = \"UINT16\" }},"
        )
        .unwrap_or_default();
    }
    text + "]\n"
}
