//! Peers of the tests: mosquitto, HiveMQ, paho-mqtt, and a proxy that loses PUBACKs; and configurations for them.

mod broker;
mod hive;
mod peer;
mod proxy;

use std::{
    process::Command,
    time::{Duration, Instant},
};

use forebay_connectors_conformance::{PATIENCE, Receipts, Rig};
use forebay_mqtt::MqttKind;

pub(crate) use broker::{Broker, password_file};
pub(crate) use hive::Hive;
pub(crate) use peer::Peer;
pub(crate) use proxy::Proxy;

/// A connector that gets its receipts. The keys `name` and `url` and the rule are there already.
pub(crate) fn start(port: u16, keys: &str) -> Rig {
    start_with(port, keys, Receipts::Given)
}

/// The same with receipts as they are wanted.
pub(crate) fn start_with(port: u16, keys: &str, receipts: Receipts) -> Rig {
    Rig::start(&MqttKind, &configuration("cells", port, keys), receipts)
}

/// A `forebay.toml` with one connector; `keys` may have a `url` of their own.
pub(crate) fn configuration(name: &str, port: u16, keys: &str) -> String {
    let url = if keys.contains("url =") {
        String::new()
    } else {
        format!("url = \"mqtt://127.0.0.1:{port}\"\n")
    };
    let rule = "[[connector.tag]]\ntopic = \"site/{device}/cell/{tag}\"\nvalue = \"$.v\"\n";
    format!("[[connector]]\nname = \"{name}\"\nkind = \"mqtt\"\n{url}{keys}\n{rule}")
}

/// Now; tests measure real time.
#[allow(clippy::disallowed_methods)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Asks again and again until there is an answer.
pub(crate) async fn until<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let deadline = now() + PATIENCE;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Sends a signal to a process that a test has started.
pub(crate) fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .status();
    assert!(
        sent.expect("the program kill is needed").success(),
        "process {pid} does not take {name}"
    );
}
