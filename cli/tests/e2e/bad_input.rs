//! Bad input of every kind, one table: what comes in, and the text, the exit code or the row that must follow. A gateway is
//! at work meanwhile, and after each row another device's next number must arrive in its lake.

mod hostile;
mod spoil;
mod table;

use std::{fs, path::Path, time::Duration};

use self::{
    hostile::hostile_connectors,
    table::{Bad, Follows, TABLE},
};
use crate::site::{Broker, Peer, Running, Site, files_of_day, text, until};

const MINUTE: Duration = Duration::from_secs(60);
const MQTT: &str = "connectors/mqtt/tests/peer.py";
/// More than the connector's `max_payload`.
const HUGE_BYTES: usize = 5000;

/// Of a gateway with one lane.
const SPOOL: &str = "data/spool/0";
/// Numbers that wait in a spool.
const NUMBERS: i64 = 40;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn mqtt_connector(port: u16, topic: &str) -> String {
    format!(
        "[[connector]]\nname = \"{topic}\"\nkind = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{port}\"\nversion = 5\n\
         client_id = \"forebay-{topic}\"\ntopics = [\"{topic}/#\"]\nmax_payload = \"4096B\"\n\
         [[connector.tag]]\ntopic = \"{topic}/plain/{{device}}/{{tag}}\"\nvalue = \"$.v\"\n\
         [[connector.tag]]\ntopic = \"{topic}/timed/{{device}}/{{tag}}\"\nvalue = \"$.v\"\ntime = \"$.ts\"\n"
    )
}

fn head(commit_interval: &str) -> String {
    format!(
        "[gateway]\nid = \"g1\"\nsite = \"werk\"\ndata_dir = \"data\"\n[lake]\ncommit_interval = \"{commit_interval}\"\n"
    )
}

/// A gateway at work, a broker, and a lake at rest to be spoiled in copies.
struct Bed {
    site: Site,
    running: Running,
    broker: Broker,
    publisher: Peer,
    at_rest: Site,
    /// The good device's next number.
    next: i64,
}

impl Bed {
    fn new() -> Self {
        let site = Site::new();
        let broker = Broker::start("allow_anonymous true\nmax_queued_messages 0");
        site.configure(&format!(
            "{}{}{}",
            head("200ms"),
            mqtt_connector(broker.port, "site"),
            hostile_connectors()
        ));
        let at_rest = Site::new();
        at_rest.configure(&head("1s"));
        for site in [&site, &at_rest] {
            let csv = site.path("pump.csv");
            fs::write(
                &csv,
                "time,rpm\n2024-05-01T10:00:00Z,1500\n2024-05-01T10:00:01Z,1501\n",
            )
            .unwrap();
            let imported = site.forebay(&[
                "import",
                csv.to_str().unwrap(),
                "--device",
                "pump",
                "--time",
                "time",
            ]);
            assert!(imported.status.success(), "{}", text(&imported.stderr));
        }
        let running = site.run(&[]);
        let publisher = Peer::start(
            MQTT,
            &format!(r#"{{"port": {}, "version": 5}}"#, broker.port),
        );
        let mut bed = Self {
            site,
            running,
            broker,
            publisher,
            at_rest,
            next: 1,
        };
        bed.until_the_good_device_is_heard();
        bed
    }

    /// The good device's next number arrives. What is published before the connector has subscribed goes nowhere, so it is
    /// published again until it has.
    fn until_the_good_device_is_heard(&mut self) {
        let n = self.next;
        self.next += 1;
        let sql = format!(
            "select count(*) from readings where device = 'good' and value_int = {n} and quality = 0 \
             and event_time > '2025-01-01T00:00:00Z'"
        );
        let command = format!(r#"{{"topic": "site/plain/good/v", "first": {n}, "last": {n}}}"#);
        let arrived = until(MINUTE, || {
            assert_eq!(self.publisher.ask(&command), "done");
            self.site.number_yet(&sql) > 0
        });
        assert!(
            arrived.is_ok() && self.running.is_up(),
            "number {n}: {}",
            self.log()
        );
    }

    fn log(&self) -> String {
        fs::read_to_string(self.site.path("run.log")).unwrap()
    }

    fn check(&mut self, at: usize, bad: &Bad, follows: &Follows) {
        let row = format!("row {at}");
        match (bad, follows) {
            (Bad::Configuration(text), Follows::Exit(args, code, says)) => {
                let site = Site::new();
                site.configure(text);
                refused(&row, &site, args, *code, says);
            }
            (Bad::DataFile(spoil), Follows::Exit(args, code, says)) => {
                let file =
                    files_of_day(&self.site.path("data/lake/readings"), "2024-05-01").remove(0);
                let whole = fs::read(&file).unwrap();
                spoil(&file);
                refused(&row, &self.site, args, *code, says);
                // While it lies there.
                self.until_the_good_device_is_heard();
                fs::write(file, whole).unwrap();
            }
            (Bad::Lake(spoil), Follows::Exit(args, code, says)) => {
                let site = Site::new();
                copy(self.at_rest.folder.path(), site.folder.path());
                fs::write(
                    site.path("more.csv"),
                    "time,rpm\n2024-05-02T10:00:00Z,1502\n",
                )
                .unwrap();
                spoil(&site.path("data"));
                refused(&row, &site, args, *code, says);
            }
            (Bad::Frame(device), Follows::BadReading(reason)) => {
                self.bad_reading(&row, device, reason, None)
            }
            (Bad::Payload(payload), Follows::BadReading(reason)) => {
                let device = self.publish(at, payload);
                self.bad_reading(&row, &device, reason, Some(payload));
            }
            (Bad::Long(bytes), Follows::BadReading(reason)) => {
                let device = self.publish(at, &vec![b'x'; *bytes]);
                self.bad_reading(&row, &device, reason, Some(&vec![b'x'; 4096]));
            }
            (Bad::Payload(payload), Follows::Quarantined(why)) => {
                let sql = format!("select count(*) from quarantine where why like '%{why}%'");
                let before = self.site.number(&sql);
                self.publish(at, payload);
                self.site.until(&sql, before + 1, MINUTE);
            }
            (Bad::Spool(spoil), Follows::Gap(why)) => self.spoiled_spool(*spoil, why),
            (Bad::Spool(spoil), Follows::Exit(args, code, says)) => {
                let site = self.with_a_full_spool();
                spoil(&site.path(SPOOL));
                refused(&row, &site, args, *code, says);
            }
            _ => panic!("{row}: this cannot follow from that"),
        }
    }

    /// Publishes as a device of its own.
    fn publish(&mut self, at: usize, payload: &[u8]) -> String {
        let device = format!("row-{at}");
        let kind = if payload.windows(4).any(|part| part == b"\"ts\"") {
            "timed"
        } else {
            "plain"
        };
        let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
        let command = format!(r#"{{"topic": "site/{kind}/{device}/v", "hex": ["{hex}"]}}"#);
        assert_eq!(self.publisher.ask(&command), "done");
        device
    }

    /// The payload's bytes are kept where there was one.
    fn bad_reading(&self, row: &str, device: &str, reason: &str, payload: Option<&[u8]>) {
        let of = format!("from readings where device = '{device}' and quality = 2");
        self.site.until(&format!("select count(*) {of}"), 1, MINUTE);
        let reasons = self
            .site
            .rows(&format!("select distinct quality_reason {of}"));
        let plain: Vec<String> = reasons.iter().map(|r| r.replace("\"\"", "\"")).collect();
        assert!(
            plain.iter().all(|found| found.contains(reason)),
            "{row}: {reason:?} is not why: {plain:?}"
        );
        let kept = self.site.rows(&format!("select distinct value_bytes {of}"));
        let hex: String = payload
            .unwrap_or_default()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            kept.join("\n").trim_matches('"'),
            hex,
            "{row}: the payload's bytes"
        );
    }

    /// Numbers as a device of another gateway, each a record of its own.
    fn publish_numbers(&mut self, first: i64, last: i64) {
        let one = |n| format!(r#"{{"topic": "spooled/plain/d/v", "first": {n}, "last": {n}}}"#);
        (first..=last).for_each(|n| assert_eq!(self.publisher.ask(&one(n)), "done"));
    }

    /// A gateway that was killed while readings waited in its spool: the numbers from 1 on.
    fn with_a_full_spool(&mut self) -> Site {
        let site = Site::new();
        site.configure(&format!(
            "{}{}",
            head("1h"),
            mqtt_connector(self.broker.port, "spooled")
        ));
        let count = |broker: &Broker, line: &str| broker.log().matches(line).count();
        let suback = "Sending SUBACK to forebay-spooled";
        let puback = "Received PUBACK from forebay-spooled";
        let subscriptions = count(&self.broker, suback);
        let acknowledged = count(&self.broker, puback);
        let running = site.run(&[]);
        // What is published before the connector has subscribed goes nowhere.
        until(MINUTE, || count(&self.broker, suback) > subscriptions)
            .expect("the connector subscribes");
        self.publish_numbers(1, NUMBERS);
        // Each number is synced when the broker has its PUBACK (E1).
        let all = acknowledged + NUMBERS as usize;
        until(MINUTE, || count(&self.broker, puback) >= all).expect("all numbers are in the spool");
        running.kill();
        site.configure(&format!(
            "{}{}",
            head("200ms"),
            mqtt_connector(self.broker.port, "spooled")
        ));
        site
    }

    /// Waiting readings are spoiled, and the gateway starts again.
    fn spoiled_spool(&mut self, spoil: fn(&Path), why: &str) {
        let site = self.with_a_full_spool();
        spoil(&site.path(SPOOL));
        let running = site.run(&[]);
        site.until(
            &format!("select count(*) from gaps where why like '%{why}%'"),
            1,
            MINUTE,
        );
        let lost =
            site.number("select sum(last_seq - first_seq + 1) from gaps where state = 'open'");
        assert!(lost >= 1, "the gap holds what is missing");
        let there = format!(
            "select count(distinct value_int) from readings where value_int between 1 and {NUMBERS}"
        );
        site.until(&there, NUMBERS - lost, MINUTE);
        site.until(
            "select count(*) from readings where value_int = 1",
            1,
            MINUTE,
        );
        self.publish_numbers(1000, 1000);
        site.until(
            "select count(*) from readings where value_int = 1000",
            1,
            MINUTE,
        );
        running.stop();
        let (code, line) = site.verify();
        assert_eq!(code, 0, "a known gap is no fault: {line}");
        assert!(line.contains("gaps=1"), "{line}");
    }
}

fn refused(row: &str, site: &Site, args: &[&str], code: i32, says: &[&str]) {
    let ran = site
        .command(args)
        .current_dir(site.folder.path())
        .output()
        .unwrap();
    let said = text(&ran.stderr);
    assert!(
        said.lines().count() < 6,
        "{row}, {args:?} says too much: {said}"
    );
    assert_eq!(ran.status.code(), Some(code), "{row}, {args:?}: {said}");
    for part in says {
        assert!(
            said.contains(part),
            "{row}, {args:?}: {part:?} is not in {said}"
        );
    }
}

#[test]
fn bad_input_is_told_kept_and_stops_nobody_else() {
    let mut bed = Bed::new();
    for (at, (bad, follows)) in TABLE.iter().enumerate() {
        bed.check(at, bad, follows);
        bed.until_the_good_device_is_heard();
    }
    bed.running.stop();
    assert_eq!(bed.site.verify().0, 0);
}
