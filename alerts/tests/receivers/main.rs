//! The routes end to end, against receivers that are not ours: Python's http.server and hmac, aiosmtpd, mosquitto with
//! paho-mqtt, and Alertmanager where it is there.

#[cfg(test)]
#[allow(dead_code, reason = "the MQTT connector's tests have it do more")]
#[path = "../../../connectors/mqtt/tests/broker/support/broker.rs"]
mod broker;
#[cfg(test)]
#[path = "../../../stream/tests/kafka_broker/certificates.rs"]
mod certificates;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod stubborn;

#[cfg(test)]
use rig::now;

/// Sends a signal to a process that a test has started.
#[cfg(test)]
fn signal(name: &str, pid: u32) {
    let sent = std::process::Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status();
    assert!(sent.is_ok_and(|status| status.success()));
}
