//! Servers that hear of alerts and metrics, none of them ours; each ends with its test.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{
    deploy::{get, percent_encoded},
    site::{Site, free_port, python, until},
};

use super::plant::MINUTE;

/// A program at work.
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
}

impl Server {
    fn start(mut command: Command, output: Stdio, port: u16) -> Self {
        let started = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(Stdio::null())
            .spawn();
        let child = started.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, port }
    }

    /// The body that is answered to a GET, as JSON.
    pub(super) fn json(&self, path: &str) -> Value {
        let answer = get(self.port, path);
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        serde_json::from_str(body).unwrap_or_default()
    }

    fn until_ready(self) -> Self {
        let ready = until(MINUTE, || get(self.port, "/-/ready").contains(" 200 "));
        assert!(ready.is_ok(), "nothing answers on port {}", self.port);
        self
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Debian's Alertmanager, which keeps alerts and tells nobody.
pub(super) fn alertmanager(site: &Site) -> Server {
    let file = site.path("alertmanager.yml");
    fs::write(
        &file,
        "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n",
    )
    .unwrap();
    let port = free_port();
    let mut command = Command::new("prometheus-alertmanager");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.path={}", site.path("am").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=");
    Server::start(command, Stdio::null(), port).until_ready()
}

/// Debian's Prometheus, which scrapes the page on this port.
pub(super) fn prometheus(site: &Site, page: u16) -> Server {
    let file = site.path("prometheus.yml");
    let target = format!("[{{targets: [\"127.0.0.1:{page}\"]}}]");
    fs::write(
        &file,
        format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: forebay, static_configs: {target}}}]\n"
        ),
    )
    .unwrap();
    let port = free_port();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            site.path("tsdb").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    Server::start(command, Stdio::null(), port).until_ready()
}

/// The rows of a query in PromQL.
pub(super) fn measured(prometheus: &Server, query: &str) -> Vec<Value> {
    let path = format!("/api/v1/query?query={}", percent_encoded(query));
    let answer = prometheus.json(&path);
    answer["data"]["result"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

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
