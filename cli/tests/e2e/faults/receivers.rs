//! Who hears of alerts on a broker.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use serde_json::Value;

use super::plant::MINUTE;
use crate::{
    site::{Site, python, until},
    watchers::Server,
};

/// A subscriber of paho-mqtt to everything on a broker, whose lines go to a file.
pub(super) struct Subscriber {
    _server: Server,
    heard: PathBuf,
}

impl Subscriber {
    pub(super) fn of(site: &Site, port: u16) -> Self {
        let heard = site.path("heard");
        let output = File::create(&heard).unwrap();
        let mut command = python("alerts/tests/receivers/mqtt_sink.py");
        command.arg(port.to_string());
        let subscriber = Self {
            _server: Server::start(command, output.into(), port),
            heard,
        };
        let subscribed = until(MINUTE, || !subscriber.lines().is_empty());
        assert!(subscribed.is_ok(), "the subscriber is not up");
        subscriber
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.heard).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The events of an alert's instance, in order.
    pub(super) fn events(&self, alert_id: &str) -> Vec<String> {
        let lines = self.lines();
        let said = lines.iter().skip(1);
        // The last line may not be whole yet.
        let bodies = said.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        bodies
            .filter(|said| said["body"]["alert_id"] == alert_id)
            .filter_map(|said| said["body"]["event"].as_str().map(str::to_owned))
            .collect()
    }
}
