//! Servers that hear of alerts and metrics, none of them ours; each ends with its test.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::site::{Site, free_port, until};

const MINUTE: Duration = Duration::from_secs(60);

/// A program at work.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    /// Starts one; its messages are dropped.
    pub(crate) fn start(mut command: Command, output: Stdio, port: u16) -> Self {
        let started = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(Stdio::null())
            .spawn();
        let child = started.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, port }
    }

    /// The body that is answered to a GET, as JSON.
    pub(crate) fn json(&self, path: &str) -> Value {
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
pub(crate) fn alertmanager(site: &Site) -> Server {
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
pub(crate) fn prometheus(site: &Site, page: u16) -> Server {
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
pub(crate) fn measured(prometheus: &Server, query: &str) -> Vec<Value> {
    let path = format!("/api/v1/query?query={}", percent_encoded(query));
    let answer = prometheus.json(&path);
    answer["data"]["result"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

/// What a server answers, its head too; nothing where there is none.
pub(crate) fn get(port: u16, path: &str) -> String {
    let mut page = String::new();
    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
        stream.set_read_timeout(Some(MINUTE)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream.read_to_string(&mut page).unwrap();
    }
    page
}

fn percent_encoded(query: &str) -> String {
    query.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
