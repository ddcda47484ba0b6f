//! From a fault to its receiver: a silent device and a failing job are seen by a webhook, acknowledged beside the run, and over
//! when they are.

use std::{
    fs::{self, File},
    process::{Child, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::site::{Broker, Peer, Site, python, text, until};

const MINUTE: Duration = Duration::from_secs(60);
/// A query that is sound and fails over rows: no name of a device is a number.
const BROKEN: &str = "select site, device, {now} as event_time, cast(device as double) as score, 1.0 as limit, true as anomalous \
                      from readings where event_time < {now}";
const SINK: &str = "alerts/tests/receivers/webhook_sink.py";

/// A receiver of webhooks, whose lines go to a file.
struct Sink<'s> {
    site: &'s Site,
    child: Child,
}

impl<'s> Sink<'s> {
    fn start(site: &'s Site) -> Self {
        let file = File::create(site.path("sink")).unwrap();
        let mut command = python(SINK);
        let child = command
            .args(["geheim", "200"])
            .stdout(file)
            .stdin(Stdio::null());
        let child = child.spawn().unwrap();
        Self { site, child }
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.site.path("sink")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn port(&self) -> u16 {
        until(MINUTE, || !self.lines().is_empty()).expect("the sink is up");
        self.lines()[0]
            .strip_prefix("port ")
            .unwrap()
            .parse()
            .unwrap()
    }

    /// What arrived of an alert: its events and the last body.
    fn heard(&self, alert: &str) -> (Vec<String>, Value) {
        let (mut events, mut last) = (Vec::new(), Value::Null);
        for line in self.lines().iter().skip(1) {
            let said: Value = serde_json::from_str(line).unwrap();
            assert_eq!(said["proven"], true, "{line}");
            if said["body"]["alert"] == alert {
                events.push(said["body"]["event"].as_str().unwrap().to_owned());
                last = said["body"].clone();
            }
        }
        (events, last)
    }

    fn until_heard(&self, alert: &str, event: &str) -> Value {
        let is_heard = || self.heard(alert).0.last().is_some_and(|last| last == event);
        until(MINUTE, is_heard).unwrap_or_else(|()| {
            panic!("{alert} {event}: {:?}; {}", self.lines(), self.site.log())
        });
        self.heard(alert).1
    }
}

impl Drop for Sink<'_> {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_silent_device_and_a_failing_job_are_heard_of_until_they_are_over() {
    let site = Site::new();
    let broker = Broker::start("allow_anonymous true");
    let mut publisher = Peer::start(
        "connectors/mqtt/tests/peer.py",
        &format!(r#"{{"port": {}, "version": 4}}"#, broker.port),
    );
    let sink = Sink::start(&site);
    fs::write(site.path("secret"), "geheim").unwrap();
    site.configure(&format!(
        "[gateway]\nid = \"g1\"\nsite = \"plant\"\ndata_dir = \"data\"\n[lake]\ncommit_interval = \"300ms\"\n\
         [[connector]]\nname = \"cells\"\nkind = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{}\"\nversion = 4\n\
         [[connector.tag]]\ntopic = \"site/{{device}}/{{tag}}\"\nvalue = \"$.v\"\n\
         [[job]]\nname = \"broken\"\nkind = \"sql\"\nschedule = \"*/5 * * * * *\"\ninto = \"scores\"\nretries = 0\n\
         query = \"{}\"\n\
         [alerts]\nevery = \"1s\"\nlake_every = \"1s\"\n\
         [[alert]]\nname = \"silent\"\non = \"device_silent\"\nafter = \"3s\"\nclear_after = \"0s\"\n\
         [[alert]]\nname = \"job\"\non = \"job_failed\"\n\
         [[alert]]\nname = \"disk\"\non = \"disk\"\nabove = 0\n\
         [[route]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{}/\"\nsecret_file = \"secret\"\nallow_private = true\n",
        broker.port,
        BROKEN,
        sink.port()
    ));
    let tried = site.forebay(&["alerts", "test"]);
    let said = text(&tried.stdout);
    assert!(
        said.starts_with("ops  webhook  delivered in "),
        "{said}{}",
        text(&tried.stderr)
    );
    assert_eq!(sink.heard("test").0, ["test"]);

    let running = site.run(&[]);
    // It is heard of once it has sent, and then it falls silent.
    until(MINUTE, || {
        publisher.ask(r#"{"topic": "site/pump/t", "first": 0, "last": 0}"#);
        site.number_yet("select count(*) from readings where device = 'pump'") > 0
    })
    .expect("the connector subscribes");
    let silent = sink.until_heard("silent", "firing");
    assert_eq!(silent["labels"]["device"], "pump");
    assert_eq!(sink.until_heard("disk", "firing")["site"], "plant");
    assert_eq!(sink.until_heard("job", "firing")["labels"]["job"], "broken");

    let id = silent["alert_id"].as_str().unwrap();
    let taken = site.forebay(&[
        "alerts",
        "ack",
        &id[..8],
        "--by",
        "ann",
        "--note",
        "on my way",
    ]);
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    let listed = text(&site.forebay(&["alerts", "list"]).stdout);
    let line = listed.lines().find(|line| line.starts_with(id)).unwrap();
    assert!(
        line.contains("firing") && line.ends_with("[site plant]  [acknowledged by ann: on my way]"),
        "{line}"
    );

    // A label that no alert has silences nothing, which is said.
    let silence = |fits: &str| {
        let asked = site.forebay(&["alerts", "silence", "--match", fits, "--for", "1s"]);
        assert!(asked.status.success(), "{}", text(&asked.stderr));
        text(&asked.stderr)
    };
    let warned = silence("dev=pump");
    assert!(
        warned.contains("no alert has the label \"dev\""),
        "{warned}"
    );
    assert_eq!(silence("device=no-such-*"), "");

    publisher.ask(r#"{"topic": "site/pump/t", "first": 1, "last": 1}"#);
    let over = sink.until_heard("silent", "resolved");
    assert_eq!(over["alert_id"], id);
    let says = over["summary"].as_str().unwrap();
    assert!(
        says.starts_with("over after ") && says.contains("it said: device pump"),
        "{says}"
    );
    running.stop();
    // The state outlives the run.
    let listed = text(
        &site
            .forebay(&["alerts", "list", "--all", "--format", "json"])
            .stdout,
    );
    let found: Vec<Value> = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let one = found.iter().find(|one| one["alert_id"] == id).unwrap();
    assert_eq!(one["state"], "resolved");
    assert_eq!(one["acknowledged_by"], "ann");
}
