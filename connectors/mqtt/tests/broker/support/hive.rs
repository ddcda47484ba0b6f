use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::now;

/// HiveMQ's community edition: another broker with all of MQTT 5.
pub(crate) struct Hive {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    /// The same over WebSocket.
    pub(crate) websocket_port: u16,
    child: Child,
}

/// A JVM takes its time on a machine under load.
const START_MAX: Duration = Duration::from_secs(60);

impl Hive {
    pub(crate) fn start() -> Self {
        let jars = std::env::var_os("FOREBAY_TEST_HIVEMQ").map(PathBuf::from).expect(
            "FOREBAY_TEST_HIVEMQ must name a folder with the jars of HiveMQ's community edition and the compiled HiveBroker.java: \
             `cargo xtask test` makes it and sets it",
        );
        // The ports may be taken between our look and the broker's: then others.
        for _ in 0..5 {
            if let Some(hive) = Self::try_start(&jars) {
                return hive;
            }
        }
        panic!("HiveMQ does not start");
    }

    fn try_start(jars: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        // Both at once: not the same twice.
        let [one, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, websocket_port] = [one, other].map(|free| free.local_addr().unwrap().port());
        let place = folder.path();
        for name in ["conf", "data", "extensions"] {
            fs::create_dir(place.join(name)).unwrap();
        }
        let configuration = format!(
            "<?xml version=\"1.0\"?>\n<hivemq>\n<listeners>\n\
             <tcp-listener><port>{port}</port><bind-address>127.0.0.1</bind-address></tcp-listener>\n\
             <websocket-listener><port>{websocket_port}</port><bind-address>127.0.0.1</bind-address><path>/mqtt</path>\
             <subprotocols><subprotocol>mqtt</subprotocol></subprotocols></websocket-listener>\n\
             </listeners>\n<persistence><mode>in-memory</mode></persistence>\n\
             <anonymous-usage-statistics><enabled>false</enabled></anonymous-usage-statistics>\n</hivemq>\n"
        );
        fs::write(place.join("conf/config.xml"), configuration).unwrap();
        let output = fs::File::create(place.join("output")).unwrap();
        let child = Command::new("java")
            .args(["-Xmx256m", "-XX:TieredStopAtLevel=1"])
            .arg("-cp")
            .arg(format!("{0}/*:{0}/classes", jars.display()))
            .arg("HiveBroker")
            .arg(place)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .expect("java is needed: apt-get install default-jre-headless");
        let mut hive = Self {
            folder,
            port,
            websocket_port,
            child,
        };
        let deadline = now() + START_MAX;
        let signs = [
            "Started TCP Listener",
            "Started Websocket Listener",
            "\nready",
        ];
        while now() < deadline && hive.child.try_wait().unwrap().is_none() {
            let output = hive.output();
            if signs.iter().all(|sign| output.contains(sign)) {
                return Some(hive);
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        hive.show_output();
        None
    }

    fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }

    fn show_output(&self) {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        let last = &lines[lines.len().saturating_sub(40)..];
        eprintln!("HiveMQ's last lines:\n{}", last.join("\n"));
    }
}

impl Drop for Hive {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            self.show_output();
        }
    }
}
