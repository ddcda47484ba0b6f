//! Three foreign devices into a lake in a bucket, over Kafka: what they served is what the table holds, whoever reads it.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::json;

use super::{
    rig::{Link, PARTITIONS, PATIENCE, Plant, TOPIC, committed},
    row::Row,
};
use crate::site::{Broker, Peer, Running, Site, password_file, until, wall_micros};

/// 2026-01-01T00:00:00Z in µs: where source times begin.
const BASE: i64 = 1_767_225_600_000_000;
const CELLS: i64 = 8;
const CELL_READINGS: i64 = 100;
const FORCES: i64 = 200;
const FORCES_EVERY_MS: i64 = 20;
const TORQUES: i64 = 20;
/// Poll interval of the Modbus connector.
const POLL_MICROS: i64 = 500_000;
/// What the Modbus peer serves, each value for three polls; the last for ever.
const HELD: [u16; 6] = [7, 65535, 0, 12345, 8, 99];
const FIVE_SECONDS: i64 = 5_000_000;

/// Foreign servers, each with what it needs in a folder.
struct Devices {
    broker: Broker,
    opcua: Peer,
    modbus: Peer,
    folder: tempfile::TempDir,
}

impl Devices {
    fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        super::kafka_broker::certificates::certificates(place.path());
        password_file(place.path());
        let broker = Broker::start_in(
            place,
            "certfile {folder}/server.pem\nkeyfile {folder}/server.key\nallow_anonymous false\n\
             password_file {folder}/passwords\nmax_queued_messages 0",
        );
        let folder = tempfile::tempdir().unwrap();
        let before = BASE - 1_000_000;
        let options = json!({
            "port": 0, "folder": folder.path(), "security": ["Aes256Sha256RsaPss_SignAndEncrypt"],
            "users": {"forebay": "geheim ÄÖ"},
            "nodes": [{"id": "Force", "type": "Int64", "value": -1, "us": before},
                      {"id": "Torque", "type": "Double", "value": 0.0, "us": before}],
        });
        let opcua = Peer::start("connectors/opcua/tests/peer.py", &options.to_string());
        let modbus = boiler(0, &folder.path().join("served"));
        Self {
            broker,
            opcua,
            modbus,
            folder,
        }
    }

    fn connectors(&self) -> String {
        let (mqtt, opcua) = (
            self.broker.folder.path().display(),
            self.folder.path().display(),
        );
        format!(
            "[[connector]]\nname = \"cells\"\nkind = \"mqtt\"\nurl = \"mqtts://localhost:{}\"\nversion = 5\n\
             client_id = \"forebay-test\"\ntopics = [\"site/+/cell/#\"]\nuser = \"edge\"\npassword = \"geheim\"\n\
             [connector.tls]\nca_file = \"{mqtt}/ca.pem\"\n\
             [[connector.tag]]\ntopic = \"site/{{device}}/cell/{{tag}}\"\nvalue = \"$.v\"\ntime = \"$.ts\"\n\
             time_unit = \"us\"\nunit = \"V\"\n\
             [[connector]]\nname = \"press\"\nkind = \"opcua\"\ndevice = \"press-3\"\nurl = \"opc.tcp://127.0.0.1:{}\"\n\
             security = \"Aes256_Sha256_RsaPss\"\nmode = \"sign_and_encrypt\"\nuser = \"forebay\"\n\
             password = \"geheim ÄÖ\"\npki_dir = \"{opcua}/pki\"\nserver_cert_file = \"{opcua}/server_cert.der\"\n\
             publishing_interval = \"100ms\"\nsampling = \"10ms\"\n\
             [[connector.tag]]\nname = \"force\"\nnode = \"ns=2;s=Force\"\nunit = \"N\"\n\
             [[connector.tag]]\nname = \"torque\"\nnode = \"ns=2;s=Torque\"\nunit = \"N.m\"\n\
             [[connector]]\nname = \"boiler\"\nkind = \"modbus\"\ndevice = \"boiler-1\"\nurl = \"tcp://127.0.0.1:{}\"\n\
             every = \"500ms\"\nexclude = [\"*/status\"]\n\
             [[connector.tag]]\nname = \"status\"\nregister = \"holding\"\naddress = 0\ntype = \"u16\"\n\
             [[connector.tag]]\nname = \"steam\"\nregister = \"holding\"\naddress = 100\ntype = \"u16\"\nunit = \"Cel\"\n",
            self.broker.port, self.opcua.first_line, self.modbus.first_line
        )
    }

    fn publisher(&self) -> Peer {
        let options = json!({
            "port": self.broker.port, "version": 5, "user": "edge", "password": "geheim",
            "ca": self.broker.folder.path().join("ca.pem"),
        });
        Peer::start("connectors/mqtt/tests/peer.py", &options.to_string())
    }

    /// Value and time of each read of the register that steps.
    fn served_by_modbus(&self) -> Vec<(u16, i64)> {
        let log = fs::read_to_string(self.folder.path().join("served")).unwrap();
        let read = |line: &str| {
            let (value, at) = line.split_once(' ').unwrap();
            (value.parse().unwrap(), at.parse().unwrap())
        };
        log.lines().map(read).collect()
    }
}

/// A Modbus server; what it serves is written to a file. The first tag is read to see whether a link is up: the register that
/// counts its reads comes second.
fn boiler(port: u16, log: &Path) -> Peer {
    let options = json!({"port": port, "units": [{"id": 1, "held": [100], "log": log, "values": [
        {"register": "holding", "address": 0, "type": "u16", "value": 42},
        {"register": "holding", "address": 100, "type": "u16", "value": 0},
    ]}]});
    Peer::start("connectors/modbus/tests/peer.py", &options.to_string())
}

/// One tag whose type changes with nearly every message: as written in the payload, and as it has to be stored.
fn changing() -> Vec<(&'static str, Row)> {
    let table: [(&str, Option<f64>, [&str; 3]); 16] = [
        ("20.5", Some(20.5), ["", "", "f64"]),
        ("21", Some(21.0), ["21", "", "i64"]),
        (r#""wärmer""#, None, ["", "wärmer", "text"]),
        ("true", Some(1.0), ["", "", "bool"]),
        ("false", Some(0.0), ["", "", "bool"]),
        (
            "9007199254740993",
            Some(9_007_199_254_740_992.0),
            ["9007199254740993", "", "i64"],
        ),
        (
            "-9007199254740993",
            Some(-9_007_199_254_740_992.0),
            ["-9007199254740993", "", "i64"],
        ),
        (
            r#""9007199254740993""#,
            None,
            ["", "9007199254740993", "text"],
        ),
        (
            "9223372036854775807",
            Some(9_223_372_036_854_775_807.0),
            ["9223372036854775807", "", "i64"],
        ),
        (
            "9223372036854775808",
            Some(9_223_372_036_854_775_808.0),
            ["", "9223372036854775808", "u64"],
        ),
        (
            "18446744073709551615",
            Some(18_446_744_073_709_551_615.0),
            ["", "18446744073709551615", "u64"],
        ),
        (
            "-9223372036854775808",
            Some(-9_223_372_036_854_775_808.0),
            ["-9223372036854775808", "", "i64"],
        ),
        // Numbers that are off by one in the last place where digits are read in haste.
        (
            "51.248178375505404",
            Some(51.248_178_375_505_404),
            ["", "", "f64"],
        ),
        (
            "2.0030397744267762e-253",
            Some(2.003_039_774_426_776_2e-253),
            ["", "", "f64"],
        ),
        ("5e-324", Some(5e-324), ["", "", "f64"]),
        ("20.5", Some(20.5), ["", "", "f64"]),
    ];
    let row =
        |(i, (payload, number, exact))| (payload, Row::new(number, exact, "V", 0, BASE + i as i64));
    table.into_iter().enumerate().map(row).collect()
}

fn publish(publisher: &mut Peer, device: &str, tag: &str, readings: &[(String, i64)]) {
    let payloads: Vec<String> = readings
        .iter()
        .map(|(value, at)| format!("{{\"v\": {value}, \"ts\": {at}}}"))
        .collect();
    let command = json!({"topic": format!("site/{device}/cell/{tag}"), "payloads": payloads});
    assert_eq!(publisher.ask(&command.to_string()), "done");
}

/// Serves everything, and says what the table has to hold of each series.
fn serve(devices: &mut Devices, publisher: &mut Peer) -> BTreeMap<(String, String), Vec<Row>> {
    let mut served = BTreeMap::new();
    for cell in 1..=CELLS {
        let device = format!("c-{cell}");
        let readings: Vec<(i64, i64)> = (1..=CELL_READINGS)
            .map(|n| (n * cell, BASE + n * 250_000 + cell))
            .collect();
        let written: Vec<_> = readings
            .iter()
            .map(|(value, at)| (value.to_string(), *at))
            .collect();
        publish(publisher, &device, "volts", &written);
        let rows = readings
            .iter()
            .map(|(value, at)| Row::integer(*value, "V", *at))
            .collect();
        served.insert((device, "volts".to_owned()), rows);
    }
    let changing = changing();
    let written: Vec<_> = changing
        .iter()
        .map(|(payload, row)| ((*payload).to_owned(), row.event_time))
        .collect();
    publish(publisher, "c-1", "state", &written);
    served.insert(
        ("c-1".to_owned(), "state".to_owned()),
        changing.into_iter().map(|(_, row)| row).collect(),
    );

    let sequence = json!({"sequence": ["Force"], "start": 1, "count": FORCES, "every_ms": FORCES_EVERY_MS, "base_us": BASE});
    assert_eq!(devices.opcua.ask(&sequence.to_string()), "\"ok\"");
    let mut forces = vec![Row::integer(-1, "N", BASE - 1_000_000)];
    forces.extend((1..=FORCES).map(|n| Row::integer(n, "N", BASE + n * FORCES_EVERY_MS * 1000)));
    served.insert(("press-3".to_owned(), "force".to_owned()), forces);

    let torque = |value, quality, at| Row::new(Some(value), ["", "", "f64"], "N.m", quality, at);
    let mut torques = vec![torque(0.0, 0, BASE - 1_000_000)];
    for n in 1..=TORQUES {
        // Every fifth value is uncertain.
        let (value, quality, at) = (n as f64 / 8.0, u8::from(n % 5 == 0), BASE + n * 1_000_000);
        let status = u32::from(quality) << 30;
        let write = json!({"write": [["Torque", "Double", value, status, at, null]]});
        assert_eq!(devices.opcua.ask(&write.to_string()), "\"ok\"");
        torques.push(torque(value, quality, at));
    }
    served.insert(("press-3".to_owned(), "torque".to_owned()), torques);
    served
}

/// The rows of the Modbus tag, held against what the server says that it served and when.
fn check_modbus(site: &Site, served: &[(u16, i64)]) -> Vec<Row> {
    let rows = Row::of(site, "boiler-1", "steam");
    // A read under way when the edge was stopped was answered and is not in the lake.
    assert!(
        rows.len() == served.len() || rows.len() + 1 == served.len(),
        "{} of {}",
        rows.len(),
        served.len()
    );
    for (row, (value, at)) in rows.iter().zip(served) {
        let exact = [&value.to_string(), "", "u64"];
        assert_eq!(
            row,
            &Row::new(Some(f64::from(*value)), exact, "Cel", 0, row.event_time)
        );
        assert!(
            (row.event_time - at).abs() <= POLL_MICROS,
            "{value} was served at {at}, event time {}",
            row.event_time
        );
    }
    let values: Vec<u16> = served.iter().map(|(value, _)| *value).collect();
    let held: Vec<u16> = HELD.iter().flat_map(|value| [*value; 3]).collect();
    assert!(rows.len() >= held.len(), "all values were read: {rows:?}");
    assert_eq!(
        values[..held.len()],
        held,
        "each value is held for three polls"
    );
    rows
}

/// The query of the README's kind, against what is computed from the input.
fn check_aggregates(site: &Site, expected: &BTreeMap<(String, String), Vec<Row>>) {
    let mut answered = BTreeMap::new();
    for row in site.rows("select device, tag, count(*), avg(value) from readings group by 1,2") {
        let fields: Vec<&str> = row.split(',').collect();
        let [device, tag, count, average] = fields[..] else {
            panic!("a row is {row}")
        };
        let found = (
            count.parse::<usize>().unwrap(),
            average.parse::<f64>().unwrap(),
        );
        assert!(
            answered
                .insert((device.to_owned(), tag.to_owned()), found)
                .is_none(),
            "{device}/{tag} comes twice"
        );
    }
    assert_eq!(
        answered.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (series, rows) in expected {
        let numbers: Vec<f64> = rows.iter().filter_map(|row| row.number).collect();
        let average = numbers.iter().sum::<f64>() / numbers.len() as f64;
        let (count, found) = answered[series];
        assert_eq!(count, rows.len(), "{series:?}");
        // The engine may add in another order.
        let scale = numbers
            .iter()
            .fold(f64::MIN_POSITIVE, |most, number| most.max(number.abs()));
        assert!(
            (found - average).abs() <= scale * 1e-15,
            "{series:?}: {found} instead of {average}"
        );
    }
}

fn count(device: &str) -> String {
    format!("select count(*) from readings where device = '{device}'")
}

/// Each of the tags gets a bad reading without a value within five seconds.
fn check_bad_soon(site: &Site, device: &str, tags: i64, killed_at: i64) {
    let bad = format!(
        "select count(distinct tag) from readings where device = '{device}' and quality = 2 and value is null \
         and value_type is null and cast(observed_time as bigint) >= {killed_at}"
    );
    site.until(&bad, tags, PATIENCE);
    let soon = format!(
        "{bad} and cast(observed_time as bigint) <= {}",
        killed_at + FIVE_SECONDS
    );
    assert_eq!(
        site.number(&soon),
        tags,
        "{device}: within five seconds of the kill"
    );
}

/// A message after all others goes through.
fn check_goes_on(site: &Site, publisher: &mut Peer, value: i64) {
    publish(
        publisher,
        "c-2",
        "volts",
        &[(value.to_string(), BASE + value)],
    );
    site.until(
        &format!("{} and tag = 'volts' and value_int = {value}", count("c-2")),
        1,
        PATIENCE,
    );
}

/// What the press writes after all else comes through.
fn check_press_goes_on(site: &Site, opcua: &mut Peer, value: i64) {
    let write = json!({"write": [["Force", "Int64", value, 0, BASE + value, null]]});
    assert_eq!(opcua.ask(&write.to_string()), "\"ok\"");
    site.until(
        &format!(
            "{} and value_int = {value} and quality = 0",
            count("press-3")
        ),
        1,
        PATIENCE,
    );
}

/// The boiler is read and its values come through, after this time too.
fn check_boiler_goes_on(site: &Site, after: i64) {
    let good = format!(
        "{} and quality = 0 and cast(observed_time as bigint) > {after}",
        count("boiler-1")
    );
    site.until(&good, 1, PATIENCE);
}

/// Without its broker all tags of all cells are bad soon, and the other devices go on; with it all is as before.
fn check_without_broker(site: &Site, devices: &mut Devices, publisher: &mut Peer) {
    let cells: Vec<String> = (1..=CELLS).map(|cell| format!("c-{cell}")).collect();
    let heard = [("901".to_owned(), BASE + 901)];
    publish(publisher, "c-1", "state", &heard);
    for cell in &cells {
        publish(publisher, cell, "volts", &heard);
    }
    site.until(
        "select count(*) from readings where device like 'c-%' and value_int = 901",
        CELLS + 1,
        PATIENCE,
    );
    let subscriptions = |broker: &Broker| {
        broker
            .log()
            .matches("Sending SUBACK to forebay-test")
            .count()
    };
    let before = subscriptions(&devices.broker);
    let stopped_at = wall_micros();
    devices.broker.stop();
    for cell in &cells {
        check_bad_soon(site, cell, if cell == "c-1" { 2 } else { 1 }, stopped_at);
    }
    check_press_goes_on(site, &mut devices.opcua, 902);
    check_boiler_goes_on(site, wall_micros());
    assert!(devices.broker.run(), "the broker is up again");
    until(PATIENCE, || subscriptions(&devices.broker) > before)
        .expect("the connector subscribes again");
    check_goes_on(site, publisher, 903);
}

/// A record that nobody can read goes to quarantine, with its place in the topic.
fn check_rubbish_is_kept(site: &Site, plant: &Plant) {
    let at = plant.produce(1, b"\xff\xff rubbish");
    let kept = format!(
        "select count(*) from quarantine where why = 'not a protobuf message' and \"offset\" = {at} \
         and source like 'kafka/%/{TOPIC}, partition 1' and encode(raw, 'hex') = 'ffff2072756262697368'"
    );
    site.until(&kept, 1, PATIENCE);
}

#[test]
fn what_foreign_devices_serve_stands_in_the_lake_exactly() {
    let mut devices = Devices::start();
    let plant = Plant::start(
        Link::Secure,
        "",
        "commit_interval = \"1s\"",
        &devices.connectors(),
    );
    let compactors = [plant.run_compactor(0), plant.run_compactor(1)];
    plant.until_shared();
    let edge = plant.run_edge();
    let lake = &plant.compactors[0];
    // What is published before the connector has subscribed goes nowhere.
    let subscribed = || {
        devices
            .broker
            .log()
            .contains("Sending SUBACK to forebay-test")
    };
    until(PATIENCE, subscribed).expect("the connector subscribes");
    lake.until(&count("press-3"), 2, PATIENCE);
    let mut publisher = devices.publisher();
    let mut expected = serve(&mut devices, &mut publisher);
    let all_polled = || devices.served_by_modbus().len() > HELD.len() * 3;
    until(PATIENCE, all_polled).expect("the Modbus server is polled");
    let total: usize = expected.values().map(Vec::len).sum();
    lake.until(
        "select count(*) from readings where device <> 'boiler-1'",
        total as i64,
        PATIENCE,
    );
    edge.stop();
    let polled = devices.served_by_modbus();
    lake.until(&count("boiler-1"), polled.len() as i64 - 1, PATIENCE);

    for ((device, tag), rows) in &expected {
        assert_eq!(&Row::of(lake, device, tag), rows, "{device}/{tag}");
    }
    expected.insert(
        ("boiler-1".to_owned(), "steam".to_owned()),
        check_modbus(lake, &polled),
    );
    check_aggregates(lake, &expected);
    assert_eq!(plant.partitions_in_use(PARTITIONS), PARTITIONS as usize);
    for site in &plant.compactors {
        assert!(
            committed(site) > 0,
            "both compactors commit: {}",
            site.log()
        );
    }

    // A second epoch, in which servers go away.
    let edge = plant.run_edge();
    let in_second_epoch = "select count(distinct tag) from readings where device = 'DEVICE' and quality < 2 and epoch > \
                           (select min(epoch) from readings)";
    lake.until(&in_second_epoch.replace("DEVICE", "boiler-1"), 1, PATIENCE);
    // What still holds is not stored again; what is new is.
    check_press_goes_on(lake, &mut devices.opcua, 900);
    assert_eq!(
        lake.number(&in_second_epoch.replace("DEVICE", "press-3")),
        1,
        "a restart adds what was there"
    );
    check_without_broker(lake, &mut devices, &mut publisher);
    check_rubbish_is_kept(lake, &plant);
    let Devices {
        mut opcua,
        modbus,
        broker: _broker,
        folder,
    } = devices;
    let port = modbus.first_line.parse().unwrap();
    let killed_at = wall_micros();
    modbus.kill();
    check_bad_soon(lake, "boiler-1", 1, killed_at);
    check_goes_on(lake, &mut publisher, 1001);
    check_press_goes_on(lake, &mut opcua, 1001);
    let _boiler = boiler(port, &folder.path().join("served-again"));
    check_boiler_goes_on(lake, wall_micros());
    let killed_at = wall_micros();
    opcua.kill();
    check_bad_soon(lake, "press-3", 2, killed_at);
    check_goes_on(lake, &mut publisher, 1002);
    check_boiler_goes_on(lake, wall_micros());
    edge.stop();
    compactors.into_iter().for_each(Running::stop);

    let rows = lake.number("select count(*) from readings");
    let (code, line) = lake.verify();
    assert_eq!(code, 0, "{line}");
    let seen = plant.oracle(&[]);
    assert_eq!(
        (&seen["count"], &seen["distinct"]),
        (&json!(rows), &json!(rows)),
        "{seen}"
    );
}
