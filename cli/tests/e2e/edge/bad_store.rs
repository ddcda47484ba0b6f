//! The whole gateway over a link to its store that fails at each kind of upload in turn: nothing is lost, nothing doubled.

use serde_json::{Value as Json, json};

use super::{
    MINUTE, MOSQUITTO, MQTT, head, mqtt_connector,
    proxy::{Fault, Proxy},
    until_subscribed,
};
use crate::site::{Broker, Peer, S3_USER, Site, asked_of_bucket, until};

/// Tables that the compactor commits to, and what it uploads for a commit: a file, its state, an entry of the log.
const TABLES: [&str; 3] = ["readings", "quarantine", "windows"];
const UPLOADS: [&str; 3] = ["part-", "_forebay/state", "_delta_log"];
/// The library's own time-out is minutes long: the lake's tests have shorter ones, and a store that never answers.
const FAULTS: [Fault; 3] = [Fault::Refused, Fault::DoneAnd500, Fault::DoneAndCut];

/// One number more, and as many payloads whose time no device can mean.
fn publish(publisher: &mut Peer, number: i64) {
    let command = json!({"topic": "site/c-7/cell/volts", "first": number, "last": number});
    assert_eq!(publisher.ask(&command.to_string()), "done");
    let payload = json!({"v": number, "ts": "1999-12-31T23:59:59Z"}).to_string();
    let command = json!({"topic": "site/c-7/cell/timed/volts", "payloads": [payload]});
    assert_eq!(publisher.ask(&command.to_string()), "done");
}

#[test]
fn whichever_upload_fails_and_however_each_row_is_there_once() {
    let site = Site::new();
    let broker = Broker::start(MOSQUITTO);
    let store = Peer::start("lake/tests/s3/server.py", "plant");
    let proxy = Proxy::to(([127, 0, 0, 1], store.first_line.parse().unwrap()).into());
    site.configure(&format!(
        "{}window = \"1s\"\nlateness = \"1s\"\nidle_timeout = \"1s\"\nurl = \"s3://plant/lake\"\n\
         [lake.s3]\nendpoint = \"{}\"\nallow_http = true\naccess_key_id = \"{}\"\nsecret_access_key = \"{}\"\n\
         {}[[connector.tag]]\ntopic = \"site/{{device}}/cell/timed/{{tag}}\"\nvalue = \"$.v\"\ntime = \"$.ts\"\n",
        head("werk"),
        proxy.url(),
        S3_USER.0,
        S3_USER.1,
        mqtt_connector(broker.port)
    ));
    assert!(site.forebay(&["keys", "init"]).status.success());
    let running = site.run(&[]);
    let mut publisher = Peer::start(
        MQTT,
        &format!(r#"{{"port": {}, "version": 5}}"#, broker.port),
    );
    until_subscribed(&site, &mut publisher);
    let mut sent = 0;
    for fault in FAULTS {
        for (table, upload) in TABLES
            .iter()
            .flat_map(|table| UPLOADS.map(|upload| (table, upload)))
        {
            proxy.fail_put_of(&[&format!("/{table}/"), upload], fault);
            until(MINUTE, || {
                sent += 1;
                publish(&mut publisher, sent);
                proxy.is_spent()
            })
            .unwrap_or_else(|()| panic!("no upload of {table} {upload}: {}", site.log()));
            assert_eq!(proxy.heal().len(), 1, "{fault:?} {table} {upload}");
        }
    }
    site.until(
        "select count(distinct value_int) from readings where device = 'c-7' and quality = 0",
        sent,
        MINUTE,
    );
    site.until("select count(*) from quarantine", sent, MINUTE);
    // All of them close with all of their rows, late ones too, within seconds of the last reading.
    let untold = "select date_trunc('second', event_time), count(*) from readings group by 1 \
                  except select window_start, rows from windows where site = 'werk'";
    until(MINUTE, || site.rows(untold).is_empty())
        .unwrap_or_else(|()| panic!("not told: {:?}", site.rows(untold)));
    running.stop();

    let once = |sql: &str| site.rows(sql).concat();
    assert_eq!(
        once("select count(*), count(distinct \"offset\") from quarantine"),
        format!("{sent},{sent}"),
        "each refused payload once"
    );
    let doubled =
        "select site, window_start, revision from windows group by 1, 2, 3 having count(*) > 1";
    assert_eq!(once(doubled), "", "a window is reported twice");
    let (code, line) = site.verify();
    assert_eq!(code, 0, "{line}");
    let (table, keyring) = (
        "s3://plant/lake/readings",
        site.path("data/keys/keyring.json"),
    );
    let (endpoint, values) = (
        format!("http://127.0.0.1:{}", store.first_line),
        ["--values", "value_int"],
    );
    let seen = asked_of_bucket("lake/tests/oracle.py", table, &keyring, &values, &endpoint);
    let seen: Json = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen["count"], seen["distinct"], "{seen}");
    for number in 1..=sent {
        assert_eq!(
            seen["values"][number.to_string()],
            json!(1),
            "number {number}"
        );
    }
}
