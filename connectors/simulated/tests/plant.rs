//! Each server of the plant answers a client that is not ours, with the shipped data, and ends when it is told to.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what a test cannot set up ends it"
)]

use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::Path,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use flate2::read::GzDecoder;
use forebay_schemas::{Clock, Timestamp};
use forebay_simulated::{Pace, Plant, Scenario, Served, configuration};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

/// Longer than anything takes on a machine under load.
const PATIENCE: Duration = Duration::from_secs(60);

fn clock() -> Clock {
    Arc::new(|| Timestamp::from_nanos(jiff::Timestamp::now().as_nanosecond().try_into().unwrap()))
}

async fn plant(scenario: Scenario) -> Plant {
    Plant::start(scenario, clock()).await.unwrap()
}

/// `127.0.0.1:PORT`.
fn address(url: &str) -> String {
    url.split_once("://").unwrap().1.to_owned()
}

fn command(protocol: &str, url: &str, count: usize) -> Command {
    let python = std::env::var("FOREBAY_TEST_PYTHON").expect(
        "FOREBAY_TEST_PYTHON is not set: name a Python with pymodbus, asyncua and paho-mqtt, or run `cargo xtask test`",
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer.py");
    let address = address(url);
    let (host, port) = address.split_once(':').unwrap();
    let mut command = Command::new(python);
    command
        .arg(script)
        .args([protocol, host, port, &count.to_string()]);
    command
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a peer has taken.
async fn peer(protocol: &str, url: &str, count: usize) -> Value {
    let output = timeout(PATIENCE, command(protocol, url, count).output())
        .await
        .expect("it takes too long")
        .unwrap();
    assert!(
        output.status.success(),
        "{protocol}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// A peer that has its first value and wants more than it will get.
async fn lasting_peer(protocol: &str, url: &str) -> Child {
    let mut child = command(protocol, url, 1_000_000).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line())
        .await
        .expect("it connects in time")
        .unwrap();
    assert_eq!(line.as_deref(), Some("connected"), "{protocol}");
    child
}

/// The number behind a key of flat JSON, exactly: `serde_json` may miss a double's last bit.
fn exact(json: &str, key: &str) -> f64 {
    let (_, rest) = json.split_once(&format!("\"{key}\":")).unwrap();
    rest.split([',', '}'])
        .next()
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

/// The values of a shipped file.
fn recorded(file: &str) -> Vec<f64> {
    let file = File::open(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("data")
            .join(file),
    )
    .unwrap();
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text.lines()
        .skip(1)
        .map(|row| row.split_once(',').unwrap().1.parse().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pymodbus_reads_the_recorded_machine() {
    for (scenario, file) in [
        (Scenario::Recorded, "nab/machine_failure.csv.gz"),
        (Scenario::Healthy, "nab/machine_healthy.csv.gz"),
    ] {
        let plant = plant(scenario).await;
        assert_eq!(
            plant.served().modbus,
            0,
            "the replay waits for the first request"
        );
        let answer = peer("modbus", &plant.modbus_url(), 20).await;
        let (machine, ambient) = (recorded(file), recorded("nab/ambient.csv.gz"));
        let mut numbers = Vec::new();
        for sample in answer["samples"].as_array().unwrap() {
            let number = sample[2].as_u64().unwrap();
            let place = number as usize - 1;
            let expected = [
                machine[place % machine.len()] as f32,
                ambient[place / 12 % ambient.len()] as f32,
            ];
            assert_eq!(
                [0, 1].map(|at| sample[at].as_f64().unwrap() as f32),
                expected,
                "sample {number}"
            );
            numbers.push(number);
        }
        assert_eq!(numbers.len(), 20);
        assert!(
            numbers[0] < 20 && numbers[19] >= numbers[0] + 20,
            "20 polls take a second: {numbers:?}"
        );
        assert!(numbers.is_sorted(), "{numbers:?}");
        assert!(plant.served().modbus >= numbers[19]);
        // Illegal function, address (twice), function.
        assert_eq!(answer["exceptions"], serde_json::json!([1, 2, 2, 1]));
        plant.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fast_replay_passes_from_health_into_failure_and_begins_again() {
    let pace = Pace::within(Duration::from_millis(2 * 1294));
    let plant = Plant::start_at(Scenario::Recorded, clock(), pace)
        .await
        .unwrap();
    let answer = peer("modbus", &plant.modbus_url(), 80).await;
    let samples = answer["samples"].as_array().unwrap();
    let lowest = |from: u64, to: u64| {
        let inside = samples
            .iter()
            .filter(|sample| (from..to).contains(&(sample[2].as_u64().unwrap() % 1294)));
        inside
            .map(|sample| sample[0].as_f64().unwrap())
            .reduce(f64::min)
            .unwrap()
    };
    assert!(lowest(1, 1010) > 80.0, "{samples:?}");
    assert!(lowest(1100, 1290) < 70.0, "{samples:?}");
    assert!(
        samples[79][2].as_u64().unwrap() > 1294,
        "80 polls take more than one replay: {samples:?}"
    );
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asyncua_subscribes_to_the_press() {
    let begun = jiff::Timestamp::now();
    let plant = plant(Scenario::Recorded).await;
    let changes = peer("opcua", &plant.opcua_url(), 60).await;
    let (cpu, temperature) = (recorded("nab/cpu.csv.gz"), recorded("nab/ambient.csv.gz"));
    let changes = changes.as_array().unwrap();
    let named = |name: &str| -> Vec<(&str, &str)> {
        let found = changes
            .iter()
            .filter(|change| change[0] == format!("Press.{name}").as_str());
        found
            .map(|change| (change[2].as_str().unwrap(), change[1].as_str().unwrap()))
            .collect()
    };
    let cycles = named("Cycle");
    let numbers: Vec<u64> = cycles
        .iter()
        .map(|(_, cycle)| cycle.parse().unwrap())
        .collect();
    assert!(
        numbers.len() >= 10 && numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{numbers:?}"
    );
    let mut compared = 0;
    for (name, values) in [("Cpu", &cpu), ("Temperature", &temperature)] {
        for (stamp, value) in named(name) {
            // Written together, so of one source timestamp.
            let Some((_, cycle)) = cycles.iter().find(|(of_cycle, _)| *of_cycle == stamp) else {
                continue;
            };
            let place = cycle.parse::<usize>().unwrap() - 1;
            assert_eq!(
                value.parse::<f64>().unwrap(),
                values[place % values.len()],
                "{name} of cycle {cycle}"
            );
            compared += 1;
        }
    }
    assert!(compared >= 20, "{changes:?}");
    for (stamp, _) in &cycles {
        let stamp: jiff::Timestamp = format!("{}Z", stamp.trim_end_matches("+00:00"))
            .parse()
            .unwrap();
        assert!((begun..=jiff::Timestamp::now()).contains(&stamp), "{stamp}");
    }
    assert!(plant.served().opcua >= 3 * numbers[numbers.len() - 1]);
    plant.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paho_subscribes_to_the_meters() {
    let begun = jiff::Timestamp::now();
    let plant = plant(Scenario::Recorded).await;
    let messages = peer("mqtt", &plant.mqtt_url(), 30).await;
    let messages = messages.as_array().unwrap();
    for (feeder, file) in [
        ("feeder-287", "openstef/feeder_287.csv.gz"),
        ("substation-hal", "openstef/HAL.csv.gz"),
    ] {
        let mut loads = Vec::new();
        for message in messages
            .iter()
            .filter(|m| m[0] == format!("site/{feeder}/meter/load").as_str())
        {
            assert_eq!(
                (&message[2], &message[3]),
                (&Value::from(1), &Value::from(false)),
                "QoS 1, not retained"
            );
            let payload: Value = serde_json::from_str(message[1].as_str().unwrap()).unwrap();
            let stamp: jiff::Timestamp = payload["ts"].as_str().unwrap().parse().unwrap();
            assert!((begun..=jiff::Timestamp::now()).contains(&stamp), "{stamp}");
            loads.push(exact(message[1].as_str().unwrap(), "v"));
        }
        assert!(loads.len() >= 14, "{messages:?}");
        // A week may end within them.
        let mut recorded = recorded(file);
        recorded.extend_from_within(..loads.len());
        assert!(
            recorded.windows(loads.len()).any(|piece| piece == loads),
            "{feeder}: {loads:?}"
        );
    }
    assert!(plant.served().mqtt >= 28, "{:?}", plant.served());
    plant.stop().await;
}

/// Whether a connection has come to its end.
async fn has_ended(mut connection: TcpStream) -> bool {
    let mut rest = Vec::new();
    match timeout(PATIENCE, connection.read_to_end(&mut rest)).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => error.kind() == ErrorKind::ConnectionReset,
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_listeners_and_connections() {
    let plant = plant(Scenario::Healthy).await;
    let addresses =
        [plant.modbus_url(), plant.opcua_url(), plant.mqtt_url()].map(|url| address(&url));
    let mut connections = Vec::new();
    for address in &addresses {
        connections.push(TcpStream::connect(address).await.unwrap());
    }
    let urls = [
        ("modbus", plant.modbus_url()),
        ("opcua", plant.opcua_url()),
        ("mqtt", plant.mqtt_url()),
    ];
    let mut peers = Vec::new();
    for (protocol, url) in &urls {
        peers.push(lasting_peer(protocol, url).await);
    }
    timeout(Duration::from_secs(4), plant.stop())
        .await
        .expect("the plant ends in time, and is not cut off");
    for (connection, address) in connections.into_iter().zip(&addresses) {
        assert!(has_ended(connection).await, "{address} is still connected");
        let refused = TcpStream::connect(address)
            .await
            .expect_err("the listener has ended");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_plant_ends_too() {
    let plant = plant(Scenario::Healthy).await;
    let addresses =
        [plant.modbus_url(), plant.opcua_url(), plant.mqtt_url()].map(|url| address(&url));
    drop(plant);
    let gone = async {
        for address in &addresses {
            while TcpStream::connect(address).await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
        }
    };
    timeout(PATIENCE, gone).await.expect("all listeners end");
}

#[tokio::test(flavor = "multi_thread")]
async fn plants_stand_side_by_side_and_survive_rubbish() {
    let (one, two) = tokio::join!(plant(Scenario::Recorded), plant(Scenario::Perturbed));
    let urls = |plant: &Plant| [plant.modbus_url(), plant.opcua_url(), plant.mqtt_url()];
    let rubbish: Vec<u8> = (0..1_000_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for url in urls(&one) {
        assert!(!urls(&two).contains(&url), "{url}");
        let mut connection = TcpStream::connect(address(&url)).await.unwrap();
        // The server may hang up before it has it all.
        timeout(Duration::from_secs(5), connection.write_all(&rubbish))
            .await
            .ok();
    }
    assert_eq!(
        peer("modbus", &one.modbus_url(), 1).await["samples"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        peer("opcua", &one.opcua_url(), 6)
            .await
            .as_array()
            .unwrap()
            .len(),
        6
    );
    assert_eq!(
        peer("mqtt", &one.mqtt_url(), 4)
            .await
            .as_array()
            .unwrap()
            .len(),
        4
    );
    assert!(two.served() != Served::default());
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_names_the_plant() {
    let plant = plant(Scenario::Healthy).await;
    let text = configuration(&plant);
    let configuration: toml::Table = toml::from_str(&text).unwrap();
    let connectors = configuration["connector"].as_array().unwrap();
    let column = |key: &str| {
        connectors
            .iter()
            .map(|c| c[key].as_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(column("kind"), ["modbus", "opcua", "mqtt"]);
    assert_eq!(
        column("url"),
        [plant.modbus_url(), plant.opcua_url(), plant.mqtt_url()]
    );
    assert_eq!(
        connectors
            .iter()
            .map(|c| c["tag"].as_array().unwrap().len())
            .collect::<Vec<_>>(),
        [3, 3, 1]
    );
    plant.stop().await;
}
