use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{now, signal};

/// A mosquitto with a folder of its own.
pub(crate) struct Broker {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Broker {
    /// Starts one; `configuration` may name `{folder}`. A listener is there already.
    pub(crate) fn start(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, configuration)
    }

    pub(crate) fn start_in(folder: tempfile::TempDir, configuration: &str) -> Self {
        // The port may be taken between our look and mosquitto's: then another.
        let mut broker = Self {
            folder,
            port: 0,
            child: None,
        };
        for _ in 0..10 {
            broker.port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            let place = broker.folder.path().display().to_string();
            let listener = format!("listener {} 127.0.0.1\n", broker.port);
            let user = "user root\npersistent_client_expiration 1d\n";
            let text = format!(
                "{listener}{user}{}\n",
                configuration.replace("{folder}", &place)
            );
            fs::write(broker.configuration(), text).unwrap();
            if broker.run() {
                return broker;
            }
        }
        let log = fs::read_to_string(broker.folder.path().join("log")).unwrap_or_default();
        panic!("mosquitto does not start:\n{log}");
    }

    fn configuration(&self) -> PathBuf {
        self.folder.path().join("mosquitto.conf")
    }

    /// Runs it, again after a stop with the same port and store.
    pub(crate) fn run(&mut self) -> bool {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let program = [
            "/usr/sbin/mosquitto",
            "/usr/local/sbin/mosquitto",
            "/usr/bin/mosquitto",
        ];
        let program = program
            .iter()
            .find(|path| PathBuf::from(path).exists())
            .unwrap_or(&"mosquitto");
        let mut child = Command::new(program)
            .args(["-v", "-c"])
            .arg(self.configuration())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("mosquitto is needed: apt-get install mosquitto");
        let deadline = now() + Duration::from_secs(10);
        loop {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                self.child = Some(child);
                return true;
            }
            if child.try_wait().unwrap().is_some() || now() > deadline {
                drop(child.kill());
                drop(child.wait());
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Ends it as an operator does: it closes its connections and stores its sessions.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal("TERM", child.id());
            child.wait().unwrap();
        }
    }

    /// Stops its time: connections stay open and nothing is answered.
    pub(crate) fn freeze(&self) {
        signal("STOP", self.child.as_ref().unwrap().id());
    }

    pub(crate) fn thaw(&self) {
        signal("CONT", self.child.as_ref().unwrap().id());
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "mosquitto's last lines:\n{}",
                lines[lines.len().saturating_sub(40)..].join("\n")
            );
        }
    }
}

/// Writes the file `passwords` of mosquitto: the user "edge" with "geheim".
pub(crate) fn password_file(folder: &Path) {
    let written = Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(folder.join("passwords"))
        .args(["edge", "geheim"])
        .output();
    assert!(
        written
            .expect("mosquitto_passwd is needed: apt-get install mosquitto")
            .status
            .success()
    );
}
