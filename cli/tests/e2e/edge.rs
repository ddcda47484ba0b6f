//! From foreign devices into the lake, the spool as the stream: `forebay run` as a user runs it.

mod alarms;
mod bad_store;
mod outages;
#[allow(dead_code, reason = "the lake's own tests have it do more")]
#[path = "../../../lake/tests/s3/proxy.rs"]
pub(crate) mod proxy;
mod reload;
mod retained;
mod thinned;

use std::{fs, time::Duration};

use crate::site::{self, Broker, Link, Peer, Site, until};

const MODBUS: &str = "connectors/modbus/tests/peer.py";
const OPCUA: &str = "connectors/opcua/tests/peer.py";
const MQTT: &str = "connectors/mqtt/tests/peer.py";

/// Nothing is dropped however long the gateway is away.
const MOSQUITTO: &str = "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 100";

const MINUTE: Duration = Duration::from_secs(60);
/// What the Modbus peer holds, each value for three reads.
const HELD: &str = "7,65535,0,12345,8,99";
/// 2026-01-01T00:00:00Z in µs: the first source time of the OPC UA sequence.
const BASE_MICROS: i64 = 1_767_225_600_000_000;
const OPCUA_COUNT: i64 = 200;
const MQTT_COUNT: i64 = 300;

fn modbus_options(port: u16) -> String {
    let value = r#"{"register": "holding", "address": 0, "type": "u16", "value": 0}"#;
    format!(r#"{{"port": {port}, "units": [{{"id": 1, "values": [{value}], "held": [0]}}]}}"#)
}

/// The edge of the configuration that every test here has; commits come fast, so that tests need not wait.
fn head(site: &str) -> String {
    format!(
        "[gateway]\nid = \"g1\"\nsite = \"{site}\"\ndata_dir = \"data\"\n[lake]\ncommit_interval = \"300ms\"\n"
    )
}

fn mqtt_connector(port: u16) -> String {
    format!(
        "[[connector]]\nname = \"cells\"\nkind = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{port}\"\nversion = 5\n\
         client_id = \"forebay-test\"\ntopics = [\"site/+/cell/#\"]\n\
         [[connector.tag]]\ntopic = \"site/{{device}}/cell/{{tag}}\"\nvalue = \"$.v\"\nunit = \"V\"\n"
    )
}

/// What is published before the connector has subscribed goes nowhere: probes tell when it has.
fn until_subscribed(site: &Site, publisher: &mut Peer) {
    let probed = || {
        publisher.ask(r#"{"topic": "site/probe/cell/volts", "first": 0, "last": 0}"#);
        site.number_yet("select count(*) from readings where device = 'probe'") > 0
    };
    until(MINUTE, probed).expect("the connector subscribes");
}

#[test]
fn three_foreign_devices_are_read_exactly_and_a_lost_one_is_bad_within_five_seconds() {
    let site = Site::new();
    let broker = Broker::start(MOSQUITTO);
    let modbus = Peer::start(MODBUS, &modbus_options(0));
    let folder = site.path("opcua");
    std::fs::create_dir_all(&folder).unwrap();
    let options = format!(
        r#"{{"port": 0, "folder": "{}", "security": ["NoSecurity"],
            "nodes": [{{"id": "Force", "type": "Int64", "value": -1, "us": {}}}]}}"#,
        folder.display(),
        BASE_MICROS - 1_000_000
    );
    let mut opcua = Peer::start(OPCUA, &options.replace('\n', " "));
    site.configure(&format!(
        "{}{}\n\
         [[connector]]\nname = \"boiler\"\nkind = \"modbus\"\ndevice = \"boiler-1\"\nurl = \"tcp://127.0.0.1:{}\"\nevery = \"100ms\"\n\
         [[connector.tag]]\nname = \"steam\"\nregister = \"holding\"\naddress = 0\ntype = \"u16\"\nunit = \"Cel\"\n\
         [[connector]]\nname = \"press\"\nkind = \"opcua\"\ndevice = \"press-3\"\nurl = \"opc.tcp://127.0.0.1:{}\"\n\
         [[connector.tag]]\nname = \"force\"\nnode = \"ns=2;s=Force\"\nsampling = \"10ms\"\nunit = \"N\"\n",
        head("werk"),
        mqtt_connector(broker.port),
        modbus.first_line,
        opcua.first_line
    ));
    let running = site.run(&[]);
    let count = |device: &str| {
        format!("select count(*) from readings where device = '{device}' and quality = 0")
    };
    // The connectors have subscribed once something has come from each.
    site.until(&count("press-3"), 1, MINUTE);
    let mut publisher = Peer::start(
        MQTT,
        &format!(r#"{{"port": {}, "version": 5}}"#, broker.port),
    );
    until_subscribed(&site, &mut publisher);
    publisher.ask(&format!(
        r#"{{"topic": "site/c-7/cell/volts", "first": 1, "last": {MQTT_COUNT}}}"#
    ));
    opcua.ask(&format!(
        r#"{{"sequence": ["Force"], "start": 1, "count": {OPCUA_COUNT}, "every_ms": 20, "base_us": {BASE_MICROS}}}"#
    ));
    site.until(&count("c-7"), MQTT_COUNT, MINUTE);
    site.until(&count("press-3"), OPCUA_COUNT + 1, MINUTE);
    site.until(
        "select count(*) from readings where device = 'boiler-1' and value = 99",
        1,
        MINUTE,
    );

    let last_good =
        "select max(observed_time) as t from readings where device = 'boiler-1' and quality = 0";
    modbus.kill();
    let bad = "select count(*) from readings where device = 'boiler-1' and quality = 2";
    site.until(bad, 1, MINUTE);
    let late = format!(
        "select count(*) from readings where device = 'boiler-1' and quality = 2 and value is null and \
         observed_time <= (select t + interval '5 seconds' from ({last_good}))"
    );
    assert!(
        site.number(&late) >= 1,
        "the first bad reading came more than 5 s after the last good one"
    );
    publisher.ask(r#"{"topic": "site/c-7/cell/volts", "first": 1000, "last": 1000}"#);
    site.until(
        "select count(*) from readings where device = 'c-7' and value = 1000",
        1,
        MINUTE,
    );
    running.stop();

    let served: Vec<String> = (1..=MQTT_COUNT)
        .chain([1000])
        .map(|n| format!("{n},i64,V,0"))
        .collect();
    let sql = "select value_int, value_type, unit, quality from readings where device = 'c-7' and tag = 'volts' \
               and quality = 0 order by seq";
    assert_eq!(site.rows(sql), served);
    let served: Vec<String> = (1..=OPCUA_COUNT)
        .map(|n| format!("{n},N,0,{}", BASE_MICROS + n * 20_000))
        .collect();
    let sql = "select value_int, unit, quality, cast(event_time as bigint) from readings \
               where device = 'press-3' and value_int > 0 order by seq";
    assert_eq!(site.rows(sql), served);
    let sql = "select distinct value, min(seq) from readings where device = 'boiler-1' and quality = 0 \
               group by value order by 2";
    let held: Vec<String> = site
        .rows(sql)
        .iter()
        .map(|row| row.split('.').next().unwrap().to_owned())
        .collect();
    assert_eq!(held.join(","), HELD);
    let total = site.number("select count(*) from readings");
    assert_eq!(site.verify().0, 0, "{:?}", site.verify());
    assert_eq!(
        site.number("select count(distinct concat(epoch, '/', seq)) from readings"),
        total
    );
    let total = u64::try_from(total).unwrap();
    assert_eq!(
        site.ledger(),
        [total, total, 0, 0, 0, 0],
        "what was received is committed"
    );
}

#[test]
fn killed_again_and_again_every_acknowledged_number_is_there_once() {
    const NUMBERS: i64 = 2000;
    /// Every second one is a death between the spool's sync and the PUBACK, after that many appends.
    const KILLS: i64 = 8;
    let site = Site::new();
    let broker = Broker::start(MOSQUITTO);
    site.configure(&format!("{}{}", head("werk"), mqtt_connector(broker.port)));
    let mut publisher = Peer::start(
        MQTT,
        &format!(r#"{{"port": {}, "version": 5}}"#, broker.port),
    );
    let mut running = site.run(&[]);
    until_subscribed(&site, &mut publisher);
    let mut sent = 0;
    let mut publish = |count: i64| {
        let (first, last) = (sent + 1, sent + count);
        let said = publisher.ask(&format!(
            r#"{{"topic": "site/c-7/cell/volts", "first": {first}, "last": {last}}}"#
        ));
        assert_eq!(said, "done", "the broker has them all");
        sent = last;
    };
    publish(1);
    let distinct =
        "select count(distinct value_int) from readings where device = 'c-7' and quality = 0";
    site.until(distinct, 1, MINUTE);
    for kill in 0..KILLS {
        publish(NUMBERS / KILLS);
        // More appends follow until the failpoint is reached.
        if kill % 2 == 1 {
            running.dies(|| publish(1))
        } else {
            running.kill()
        }
        let appends = (kill / 2).to_string();
        let failpoint = [
            ("FOREBAY_FAILPOINT", "after_sync"),
            ("FOREBAY_FAILPOINT_AFTER", &*appends),
        ];
        running = site.run_with(&[], if kill % 2 == 0 { &failpoint } else { &[] });
    }
    site.until(distinct, sent, MINUTE);
    running.stop();
    let counted = site.number("select count(*) from readings where device = 'c-7' and quality = 0");
    // A death between the sync and its PUBACK makes the broker send again what is in the spool (E1).
    assert_eq!((site.number(distinct), counted), (sent, sent));
    let log = std::fs::read_to_string(site.path("run.log")).unwrap();
    let repeats = log.matches("repeated messages were already stored").count() as i64;
    assert!(
        repeats >= KILLS / 2,
        "{repeats} redeliveries after {} deaths before the PUBACK",
        KILLS / 2
    );
    let (code, line) = site.verify();
    assert_eq!(code, 0, "{line}");
    let [received, committed, quarantined, expired, pending, missing] = site.ledger();
    assert!(
        received >= sent as u64 && missing == 0,
        "{:?}",
        site.ledger()
    );
    assert_eq!(committed + quarantined + expired + pending, received);
}

#[test]
fn devices_are_read_while_the_lake_is_out_of_reach_from_the_first_start() {
    const NUMBERS: i64 = 100;
    let site = Site::new();
    let broker = Broker::start(MOSQUITTO);
    let store = Peer::start("lake/tests/s3/server.py", "plant");
    let link = Link::down_to(store.first_line.parse().unwrap());
    site.configure(&format!(
        "{}url = \"s3://plant/lake\"\n[lake.s3]\nendpoint = \"http://127.0.0.1:{}\"\nallow_http = true\n\
         access_key_id = \"k\"\nsecret_access_key = \"s\"\n{}",
        head("werk"),
        link.port,
        mqtt_connector(broker.port)
    ));
    assert!(site.forebay(&["keys", "init"]).status.success());
    let running = site.run(&[]);
    let mut publisher = Peer::start(
        MQTT,
        &format!(r#"{{"port": {}, "version": 5}}"#, broker.port),
    );
    let spooled = || site.bytes("data/spool");
    until(MINUTE, || spooled() > 0).expect("the spool is opened without a lake");
    let empty = spooled();
    until(MINUTE, || {
        publisher.ask(r#"{"topic": "site/probe/cell/volts", "first": 0, "last": 0}"#);
        spooled() > empty
    })
    .expect("the connector subscribes and the spool keeps what it sends");
    publisher.ask(&format!(
        r#"{{"topic": "site/c-7/cell/volts", "first": 1, "last": {NUMBERS}}}"#
    ));
    let asked = site.forebay(&["query", "select count(*) from readings"]);
    let said = site::text(&asked.stderr);
    assert!(
        asked.status.code() == Some(1) && said.contains("cannot reach the object store"),
        "{said}"
    );
    link.up();
    let sql = "select value_int from readings where device = 'c-7' and quality = 0 order by seq";
    site.until(
        "select count(*) from readings where device = 'c-7' and quality = 0",
        NUMBERS,
        MINUTE,
    );
    running.stop();
    assert_eq!(
        site.rows(sql),
        (1..=NUMBERS).map(|n| n.to_string()).collect::<Vec<_>>()
    );
    let (code, line) = site.verify();
    assert_eq!(code, 0, "{line}");
}

#[test]
fn a_second_gateway_in_one_folder_is_refused_and_names_the_first() {
    let site = Site::new();
    let broker = Broker::start(MOSQUITTO);
    site.configure(&format!("{}{}", head("werk"), mqtt_connector(broker.port)));
    let running = site.run(&[]);
    until(MINUTE, || site.path("data/run-compactor.lock").exists()).unwrap();
    let second = site.forebay(&["run"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(
        site::text(&second.stderr).contains("is held by process"),
        "{}",
        site::text(&second.stderr)
    );
    running.stop();
}

#[test]
fn a_folder_keeps_the_id_of_its_gateway() {
    let site = Site::new();
    let broker = Broker::start(MOSQUITTO);
    let configuration = format!("{}{}", head("werk"), mqtt_connector(broker.port));
    site.configure(&configuration);
    let running = site.run(&[]);
    until(MINUTE, || site.path("data/gateway.id").exists()).unwrap();
    running.stop();
    site.configure(&configuration.replace("id = \"g1\"", "id = \"g2\""));
    for verb in ["validate", "run"] {
        let refused = site.forebay(&[verb]);
        let said = site::text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(78), "{verb}: {said}");
        for part in [
            "forebay.toml:1:",
            "belongs to gateway \"g1\"",
            "id is \"g2\"",
            "set id back",
        ] {
            assert!(said.contains(part), "{verb}: {part} is not in {said}");
        }
    }
    site.configure(&configuration);
    assert!(
        site.forebay(&["validate"]).status.success(),
        "with the id set back"
    );
}

#[test]
fn bad_configuration_exits_78_and_names_every_place() {
    let site = Site::new();
    site.configure(
        "[gatway]\nid = \"g\"\n[[connector]]\nname = \"a\"\nkind = \"modbuss\"\n[lake]\nwindow = \"fast\"\n",
    );
    let all = [
        "forebay.toml:1:",
        "did you mean \"gateway\"?",
        "did you mean \"modbus\"?",
        "forebay.toml:7:",
    ];
    // A verb that only reads the lake reports only what that needs.
    for (verb, parts) in [
        ("validate", &all[..]),
        ("run", &all[..]),
        ("verify", &all[3..]),
    ] {
        let refused = site.forebay(&[verb]);
        let said = site::text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(78), "{verb}: {said}");
        for part in parts {
            assert!(said.contains(part), "{verb}: {part} is not in {said}");
        }
    }
    let [fresh, other] = [Site::new(), Site::new()];
    let ids = [&fresh, &other].map(|site| {
        assert!(site.forebay(&["init"]).status.success());
        let text = fs::read_to_string(site.config()).unwrap();
        text.lines()
            .find(|line| line.starts_with("id = "))
            .unwrap()
            .to_owned()
    });
    assert_ne!(ids[0], ids[1], "two gateways must not pass for one another");
    let valid = fresh.forebay(&["validate"]);
    assert!(valid.status.success(), "{}", site::text(&valid.stderr));
    assert_eq!(
        fresh.forebay(&["init"]).status.code(),
        Some(1),
        "an existing file is never overwritten"
    );
}
