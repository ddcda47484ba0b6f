//! Peers of the tests: mosquitto, paho-mqtt, a gateway that answers when told to, and a proxy that loses PUBACKs.

mod broker;
mod gateway;
mod peer;
mod proxy;

use std::{
    process::Command,
    time::{Duration, Instant},
};

pub(crate) use broker::{Broker, password_file};
pub(crate) use gateway::{Gateway, Receipts};
pub(crate) use peer::Peer;
pub(crate) use proxy::Proxy;

/// The longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

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
    let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status();
    assert!(sent.expect("the program kill is needed").success(), "process {pid} does not take {name}");
}
