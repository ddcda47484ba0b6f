//! A real Apache Kafka for tests: one broker in a temporary folder on free loopback ports, in clear and with TLS and SASL.
//!
//! It dies with the test process: a shell stands between, which kills the broker once its own input ends.

pub(crate) mod certificates;

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use forebay_stream::kafka::{KafkaSettings, Mechanism, Sasl, Tls};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

pub(crate) const USER: &str = "gateway";
pub(crate) const PASSWORD: &str = "right-password";
const UP_WITHIN: Duration = Duration::from_secs(120);
/// Reads a line to start the broker as its child, tells its pid, and kills it when the input ends.
const GUARD: &str = r#""$@" </dev/null >>"$FOREBAY_LOG_FILE" 2>&1 & pid=$!; echo $pid; cat >/dev/null; kill -9 $pid 2>/dev/null; wait $pid"#;

pub(crate) struct Broker {
    dir: TempDir,
    clear: u16,
    secure: u16,
    /// The guard and the broker's pid.
    running: Option<(Child, u32)>,
}

impl Broker {
    /// A formatted folder; nothing runs yet.
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// As [`Broker::new`], with more properties.
    fn with(more: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let [clear, controller, secure] = free_ports();
        keystore(dir.path());
        let properties = properties(dir.path(), clear, controller, secure) + more;
        fs::write(dir.path().join("server.properties"), properties).unwrap();
        fs::write(dir.path().join("log4j2.properties"), LOGGING).unwrap();
        let broker = Self {
            dir,
            clear,
            secure,
            running: None,
        };
        let mut format = broker.java("kafka.tools.StorageTool");
        let scram = |kind| format!("{kind}=[name={USER},password={PASSWORD}]");
        format.args([
            "format",
            "--cluster-id",
            "Rk9SRUJBWS1URVNULUNMVQ",
            "--standalone",
            "--config",
        ]);
        format.arg(broker.dir.path().join("server.properties"));
        format.args([
            "--add-scram",
            &scram("SCRAM-SHA-256"),
            "--add-scram",
            &scram("SCRAM-SHA-512"),
        ]);
        let output = format
            .output()
            .expect("java must be on the PATH (Debian: default-jre-headless)");
        assert!(
            output.status.success(),
            "formatting failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        broker
    }

    /// A broker that answers.
    pub(crate) async fn started() -> Self {
        let mut broker = Self::new();
        broker.start();
        broker.up().await;
        broker
    }

    /// A broker that answers, compacts topics by default, and lets [`USER`] publish and read but not create; in clear all is
    /// allowed.
    #[allow(dead_code, reason = "the benches and the end-to-end tests do not ask")]
    pub(crate) async fn guarded() -> Self {
        let mut broker = Self::with(
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
            super.users=User:ANONYMOUS\nlog.cleanup.policy=compact\n",
        );
        broker.start();
        broker.up().await;
        let mut allow = broker.java("org.apache.kafka.tools.AclCommand");
        allow.args([
            "--bootstrap-server",
            &broker.address(),
            "--add",
            "--allow-principal",
            &format!("User:{USER}"),
        ]);
        for operation in ["Describe", "Read", "Write"] {
            allow.args(["--operation", operation]);
        }
        let output = allow.args(["--topic", "*"]).output().unwrap();
        assert!(
            output.status.success(),
            "allowing failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        broker
    }

    pub(crate) fn start(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        let java = self.java("kafka.Kafka");
        let mut guard = Command::new("sh");
        guard
            .args(["-c", GUARD, "guard"])
            .arg(java.get_program())
            .args(java.get_args());
        guard
            .arg(self.dir.path().join("server.properties"))
            .env("FOREBAY_LOG_FILE", self.log());
        let mut guard = guard
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut pid = String::new();
        BufReader::new(guard.stdout.take().unwrap())
            .read_line(&mut pid)
            .unwrap();
        self.running = Some((guard, pid.trim().parse().unwrap()));
    }

    /// Waits until it answers.
    pub(crate) async fn up(&mut self) {
        let deadline = Instant::now() + UP_WITHIN;
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.address())
            .set("log_level", "0")
            .create()
            .unwrap();
        let consumer = std::sync::Arc::new(consumer);
        loop {
            let asked = consumer.clone();
            let answer = tokio::task::spawn_blocking(move || {
                asked.fetch_metadata(None, Duration::from_secs(1))
            });
            if answer
                .await
                .unwrap()
                .is_ok_and(|metadata| !metadata.brokers().is_empty())
            {
                return;
            }
            let (guard, _) = self.running.as_mut().expect("not started");
            let ended = guard.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "kafka does not answer: {}",
                self.last_words()
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// SIGKILL, as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some((mut guard, pid)) = self.running.take() {
            let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
            drop(guard.stdin.take());
            drop(guard.wait());
            assert!(killed.is_ok(), "kill is missing");
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.clear)
    }

    /// Where it is reached over TLS, by [`USER`] with [`PASSWORD`], and the file of the authority that signed for it.
    pub(crate) fn secure_address(&self) -> (String, PathBuf) {
        (
            format!("localhost:{}", self.secure),
            self.dir.path().join("ca.pem"),
        )
    }

    /// Settings in clear.
    pub(crate) fn settings(&self, topic: &str) -> KafkaSettings {
        let mut settings = KafkaSettings::new(vec![self.address()]);
        settings.topic = topic.to_owned();
        settings.group = format!("{topic}.group");
        settings.metadata_refresh = Duration::from_secs(1);
        settings
    }

    /// Settings with TLS and a user.
    pub(crate) fn secure_settings(
        &self,
        topic: &str,
        mechanism: Mechanism,
        password: &str,
    ) -> KafkaSettings {
        let (address, ca_file) = self.secure_address();
        KafkaSettings {
            brokers: vec![address],
            tls: Some(Tls {
                ca_file: Some(ca_file),
                identity: None,
            }),
            sasl: Some(Sasl {
                mechanism,
                user: USER.to_owned(),
                password: forebay_config::Secret::new(password),
            }),
            ..self.settings(topic)
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new()
            .set("bootstrap.servers", self.address())
            .create()
            .unwrap()
    }

    pub(crate) async fn create(&self, topic: &str, partitions: u32, config: &[(&str, &str)]) {
        let mut new = NewTopic::new(topic, partitions as i32, TopicReplication::Fixed(1));
        for (key, value) in config {
            new = new.set(key, value);
        }
        let made = self
            .admin()
            .create_topics([&new], &AdminOptions::new())
            .await
            .unwrap();
        assert!(made.iter().all(Result::is_ok), "{made:?}");
    }

    pub(crate) async fn grow(&self, topic: &str, partitions: usize) {
        let grown = NewPartitions::new(topic, partitions);
        let made = self
            .admin()
            .create_partitions([&grown], &AdminOptions::new())
            .await
            .unwrap();
        assert!(made.iter().all(Result::is_ok), "{made:?}");
    }

    /// Deletes all records of a partition below an offset, as retention does.
    pub(crate) async fn delete_below(&self, topic: &str, partition: u32, offset: u64) {
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_offset(
            topic,
            partition as i32,
            rdkafka::Offset::Offset(offset as i64),
        )
        .unwrap();
        self.admin()
            .delete_records(&list, &AdminOptions::new())
            .await
            .unwrap();
    }

    /// What the records of a topic take on the broker's disk.
    #[allow(dead_code, reason = "the benches ask")]
    pub(crate) fn stored_bytes(&self, topic: &str) -> u64 {
        let entries = |folder: &Path| {
            fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path())
        };
        let is_partition = |folder: &PathBuf| {
            let name = folder.file_name().unwrap().to_string_lossy();
            name.rsplit_once('-').is_some_and(|(of, _)| of == topic)
        };
        let files = entries(&self.dir.path().join("data"))
            .filter(is_partition)
            .flat_map(|folder| entries(&folder));
        let logs =
            files.filter(|file| file.extension().is_some_and(|extension| extension == "log"));
        logs.map(|log| fs::metadata(log).unwrap().len()).sum()
    }

    fn java(&self, class: &str) -> Command {
        let jars = jars();
        let mut java = Command::new("java");
        java.args([
            "-Xmx512m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Xshare:auto",
        ]);
        java.arg(format!(
            "-Dlog4j2.configurationFile={}",
            self.dir.path().join("log4j2.properties").display()
        ));
        java.arg("-cp")
            .arg(format!("{}/*", jars.display()))
            .arg(class);
        java
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("broker.log")
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn jars() -> PathBuf {
    let folder = std::env::var_os("FOREBAY_TEST_KAFKA").map(PathBuf::from);
    folder.filter(|folder| folder.is_dir()).expect(
        "FOREBAY_TEST_KAFKA must name a folder with the jars of Apache Kafka 4.1: `cargo xtask test` fetches them and sets it",
    )
}

/// Free a moment ago, which has to do: Kafka wants to know its ports before it binds them.
fn free_ports() -> [u16; 3] {
    let bound = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    bound.map(|listener| listener.local_addr().unwrap().port())
}

/// What TLS needs, and the server's key and certificate in one file, as Kafka wants them.
fn keystore(dir: &Path) {
    certificates::certificates(dir);
    let [key, certificate] =
        ["server.key", "server.pem"].map(|name| fs::read_to_string(dir.join(name)).unwrap());
    fs::write(dir.join("keystore.pem"), key + &certificate).unwrap();
}

fn properties(dir: &Path, clear: u16, controller: u16, secure: u16) -> String {
    let plain = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";"
    );
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let mut text = format!(
        "process.roles=broker,controller\nnode.id=1\nlog.dirs={}\n\
        listeners=CLEAR://127.0.0.1:{clear},CONTROLLER://127.0.0.1:{controller},SECURE://127.0.0.1:{secure}\n\
        advertised.listeners=CLEAR://127.0.0.1:{clear},SECURE://localhost:{secure}\n\
        controller.quorum.bootstrap.servers=127.0.0.1:{controller}\ncontroller.listener.names=CONTROLLER\n\
        inter.broker.listener.name=CLEAR\n\
        listener.security.protocol.map=CLEAR:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL\n\
        sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
        listener.name.secure.ssl.keystore.type=PEM\nlistener.name.secure.ssl.keystore.location={}\n",
        dir.join("data").display(),
        dir.join("keystore.pem").display(),
    );
    for (mechanism, jaas) in [
        ("plain", &*plain),
        ("scram-sha-256", scram),
        ("scram-sha-512", scram),
    ] {
        writeln!(
            text,
            "listener.name.secure.{mechanism}.sasl.jaas.config={jaas}"
        )
        .unwrap();
    }
    text + "offsets.topic.replication.factor=1\noffsets.topic.num.partitions=2\n\
        transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\ntransaction.state.log.num.partitions=1\n\
        share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\n\
        group.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\nmin.insync.replicas=1\n\
        log.initial.task.delay.ms=500\nnum.network.threads=2\nnum.io.threads=4\nbackground.threads=2\n"
}

const LOGGING: &str = "status=error\nappender.out.type=Console\nappender.out.name=OUT\nappender.out.layout.type=PatternLayout\n\
    appender.out.layout.pattern=%d{HH:mm:ss.SSS} %p %c{1} %m%n%ex{3}\nrootLogger.level=info\nrootLogger.appenderRef.out.ref=OUT\n";
