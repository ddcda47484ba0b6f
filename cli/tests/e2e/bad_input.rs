//! Bad input of every kind, one table: what comes in, and the text, the exit code or the row that must follow. A gateway is
//! at work meanwhile, and after each row another device's next number must arrive in its lake.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::site::{Broker, Peer, Running, Site, files, files_of_day, text, until};

const MINUTE: Duration = Duration::from_secs(60);
const MQTT: &str = "connectors/mqtt/tests/peer.py";
/// More than the connector's `max_payload`.
const HUGE_BYTES: usize = 5000;

/// What is wrong.
enum Bad {
    /// In place of the configuration.
    Configuration(&'static str),
    /// A device at this connector answers every frame with this.
    Frame(&'static str),
    /// An MQTT payload.
    Payload(&'static [u8]),
    /// An MQTT payload of so many letters.
    Long(usize),
    /// Done to a data file of the lake that the gateway at work writes to; undone after the row.
    DataFile(fn(&Path)),
    /// Done to a lake and its keys, at rest: without keys or log nothing could be seen to go on.
    Lake(fn(&Path)),
    /// Done to a spool that holds readings which are in no lake yet.
    Spool(fn(&Path)),
}

/// What must follow.
enum Follows {
    /// The verb ends with this exit code and says each of these.
    Exit(&'static [&'static str], i32, &'static [&'static str]),
    /// A bad reading for this reason.
    BadReading(&'static str),
    /// A row in `quarantine` for this reason.
    Quarantined(&'static str),
    /// A row in `gaps` for this reason; everything around it is there.
    Gap(&'static str),
}

const QUERY: &[&str] = &["query", "select count(value) from readings"];
/// Of a gateway with one lane.
const SPOOL: &str = "data/spool/0";
/// Numbers that wait in a spool.
const NUMBERS: i64 = 40;
const NEXT_ENTRY: &str = "lake/readings/_delta_log/00000000000000000099.json";

#[rustfmt::skip]
const TABLE: &[(Bad, Follows)] = &[
    (Bad::Configuration("[gateway"), Follows::Exit(&["run"], 78, &["forebay.toml:1:", "]"])),
    (Bad::Configuration("[gatway]\nid = \"g\""), Follows::Exit(&["run"], 78, &["forebay.toml:1:2: gatway: unknown key; did you mean \"gateway\"?"])),
    (Bad::Configuration("[lake]\nwindow = \"fast\""), Follows::Exit(&["validate"], 78, &["forebay.toml:2:10: lake.window: a duration such as \"10s\"", "found \"fast\""])),
    (Bad::Configuration("[[connector]]\nkind = \"modbuss\""), Follows::Exit(&["run"], 78, &["2:8: connector.kind: \"modbuss\" is not one of", "did you mean \"modbus\"?", "name is missing"])),
    (Bad::Configuration(TWO_TAGS), Follows::Exit(&["validate"], 78, &["forebay.toml:12:8: connector.tag.name: heat of device d is the name of tag 1 too"])),
    (Bad::Configuration(BAD_JOB), Follows::Exit(&["validate"], 78, &["forebay.toml:5:9: job.query: the query does not fit the lake: ", "vaule"])),
    (Bad::Configuration("[lake]\nurl = \"gs://b\""), Follows::Exit(&["validate"], 78, &["forebay.toml:2:7: lake.url: \"s3://bucket/prefix\""])),
    (Bad::Configuration(""), Follows::Exit(&["run"], 78, &["no [[connector]], no [stream] and no [[job]]", "there is nothing to run"])),

    (Bad::Frame("modbus-http"), Follows::BadReading("is not a whole Modbus reply: is this a Modbus TCP port?")),
    (Bad::Frame("modbus-length"), Follows::BadReading("is not a whole Modbus reply: is this a Modbus TCP port?")),
    (Bad::Frame("modbus-short"), Follows::BadReading("the reply to holding 0 carries 0 values, 1 are due")),
    (Bad::Frame("opcua-http"), Follows::BadReading("chunk of 825110831 bytes: at most 65535 are agreed")),
    (Bad::Frame("opcua-huge"), Follows::BadReading("chunk of 4294967295 bytes: at most 65535 are agreed")),
    (Bad::Frame("mqtt-http"), Follows::BadReading("answers CONNECT with another packet than CONNACK: is this an MQTT port?")),
    (Bad::Frame("mqtt-endless"), Follows::BadReading("length is malformed: is this an MQTT port?")),

    (Bad::Payload(b"{\"v\": "), Follows::BadReading("the payload is not JSON: EOF while parsing")),
    (Bad::Payload(b"\xff\xfe\x00canary"), Follows::BadReading("the payload is not UTF-8: invalid utf-8 sequence")),
    (Bad::Payload(b" "), Follows::BadReading("the payload is empty")),
    (Bad::Payload(b"{\"w\": 1}"), Follows::BadReading("the value path $.v finds nothing")),
    (Bad::Payload(b"{\"v\": [1, 2]}"), Follows::BadReading("the value is an array: select its items with a path such as $.v[*]")),
    (Bad::Payload(b"{\"v\": {}}"), Follows::BadReading("the value is an object without fields")),
    (Bad::Payload(b"{\"v\": {\"a\\u0000b\": 1}}"), Follows::BadReading("in the payload: ")),
    (Bad::Payload(b"{\"v\": 1, \"ts\": \"yesterday\"}"), Follows::BadReading("\"yesterday\"")),
    (Bad::Payload(b"{\"v\": 1, \"ts\": true}"), Follows::BadReading("the time is true or false, neither a text nor a number")),
    (Bad::Long(HUGE_BYTES), Follows::BadReading("the payload has 5000 bytes, more than max_payload (4096)")),
    (Bad::Payload(b"{\"v\": 1, \"ts\": \"1999-12-31T23:59:59Z\"}"), Follows::Quarantined("its event time is before the year 2000 or too far ahead")),
    (Bad::Payload(b"{\"v\": 1, \"ts\": \"2199-12-31T23:59:59Z\"}"), Follows::Quarantined("its event time is before the year 2000 or too far ahead")),

    (Bad::Spool(damage_a_record), Follows::Gap("damaged")),
    (Bad::Spool(a_newer_segment), Follows::Exit(&["run"], 1, &[".seg has format version 4, newer than 3", "update this program"])),
    (Bad::Spool(sealed_by_another_keyring), Follows::Exit(&["run"], 1, &[".seg was sealed with another key: bring back the keyring that the spool was made with"])),

    (Bad::DataFile(cut), Follows::Exit(QUERY, 1, &["table readings: file site=werk/", "`forebay verify` tells whether"])),
    (Bad::DataFile(cut), Follows::Exit(&["verify"], 3, &["file site=werk/", "its SHA-256 is not the one that was committed"])),
    (Bad::DataFile(fill_with_garbage), Follows::Exit(QUERY, 1, &["table readings: file site=werk/", "`forebay verify` tells whether"])),
    (Bad::DataFile(fill_with_garbage), Follows::Exit(&["verify"], 3, &["file site=werk/", "its SHA-256 is not the one that was committed"])),
    (Bad::DataFile(remove), Follows::Exit(QUERY, 1, &["table readings: file site=werk/", "not found"])),
    (Bad::DataFile(remove), Follows::Exit(&["verify"], 3, &["file site=werk/", "is missing"])),
    (Bad::Lake(break_the_log), Follows::Exit(&["verify"], 1, &["an entry in its _delta_log is damaged"])),
    (Bad::Lake(break_the_log), Follows::Exit(QUERY, 1, &["forebay: table readings: ", "an entry in its _delta_log is damaged: bring it back from a copy of the lake"])),
    (Bad::Lake(break_the_log), Follows::Exit(IMPORT, 1, &["forebay: table readings: ", "an entry in its _delta_log is damaged"])),

    (Bad::Lake(|data| fs::remove_file(data.join(KEYRING)).unwrap()), Follows::Exit(QUERY, 1, &["no keyring at", "restore it from its backup"])),
    (Bad::Lake(|data| fs::remove_dir_all(data.join("keys")).unwrap()), Follows::Exit(IMPORT, 1, &["is sealed, and its keyring is not at", "mount it or bring back a copy"])),
    (Bad::Lake(another_keyring), Follows::Exit(QUERY, 1, &["no master key forebay.site.werk.v1 in", "restore the keyring that has it"])),
    (Bad::Lake(another_keyring), Follows::Exit(IMPORT, 1, &["wrapped under another key", "is this the keyring that the lake was made with?"])),
    (Bad::Lake(cut_the_keyring), Follows::Exit(QUERY, 1, &["keyring.json is damaged", "restore it from its backup"])),
    (Bad::Lake(open_the_keyring_to_all), Follows::Exit(QUERY, 1, &["has mode 644, so others may read it: run `chmod 600 "])),
    (Bad::Lake(a_newer_keyring), Follows::Exit(QUERY, 1, &["newer than 1: run a release that knows it"])),
];

const TWO_TAGS: &str = r#"[[connector]]
name = "a"
kind = "modbus"
device = "d"
url = "tcp://127.0.0.1:502"
[[connector.tag]]
name = "heat"
register = "holding"
address = 0
type = "u16"
[[connector.tag]]
name = "heat"
register = "holding"
address = 1
type = "u16"
"#;
const BAD_JOB: &str = r#"[[job]]
name = "j"
kind = "sql"
on = "window_closed"
query = "select vaule from readings"
into = "scores"
"#;
const KEYRING: &str = "keys/keyring.json";
const IMPORT: &[&str] = &["import", "more.csv", "--device", "pump", "--time", "time"];

fn cut(file: &Path) {
    let whole = fs::read(file).unwrap();
    fs::write(file, &whole[..whole.len() / 2]).unwrap();
}

fn fill_with_garbage(file: &Path) {
    let bytes = fs::metadata(file).unwrap().len() as usize;
    let footer_length = 100_u32.to_le_bytes();
    let garbage = vec![b'x'; bytes - 12];
    fs::write(
        file,
        [b"PAR1", garbage.as_slice(), &footer_length, b"PAR1"].concat(),
    )
    .unwrap();
}

fn remove(file: &Path) {
    fs::remove_file(file).unwrap();
}

/// The next entry of the log, so that every reader meets it.
fn break_the_log(data: &Path) {
    let log = data.join(NEXT_ENTRY).parent().unwrap().to_owned();
    let entries = files(&log)
        .into_iter()
        .filter(|f| f.extension().is_some_and(|e| e == "json"))
        .count();
    fs::write(
        log.join(format!("{entries:020}.json")),
        "{\"add\": this is no JSON\n",
    )
    .unwrap();
}

fn another_keyring(data: &Path) {
    let other = Site::new();
    other.configure("[gateway]\nid = \"g2\"\nsite = \"werk\"\ndata_dir = \"data\"\n");
    assert!(other.forebay(&["keys", "init"]).status.success());
    fs::copy(other.path("data").join(KEYRING), data.join(KEYRING)).unwrap();
}

fn cut_the_keyring(data: &Path) {
    let whole = fs::read(data.join(KEYRING)).unwrap();
    fs::write(data.join(KEYRING), &whole[..whole.len() / 2]).unwrap();
}

fn open_the_keyring_to_all(data: &Path) {
    fs::set_permissions(data.join(KEYRING), fs::Permissions::from_mode(0o644)).unwrap();
}

fn a_newer_keyring(data: &Path) {
    let text = fs::read_to_string(data.join(KEYRING)).unwrap();
    assert!(
        text.contains("\"version\":1") || text.contains("\"version\": 1"),
        "{text:.20}"
    );
    let newer = text.replacen("\"version\":1", "\"version\":2", 1).replacen(
        "\"version\": 1",
        "\"version\": 2",
        1,
    );
    fs::write(data.join(KEYRING), newer).unwrap();
}

/// One bit in the middle of what waits: neither a torn tail nor the first record. Segments have room for more behind it.
fn damage_a_record(spool: &Path) {
    let written = |file: &PathBuf| {
        fs::read(file)
            .unwrap()
            .iter()
            .rposition(|byte| *byte != 0)
            .unwrap_or_default()
    };
    let fullest = files(spool).into_iter().max_by_key(written).unwrap();
    let mut bytes = fs::read(&fullest).unwrap();
    bytes[written(&fullest) / 2] ^= 1;
    fs::write(fullest, bytes).unwrap();
}

/// As a later release might write it: its header is whole.
fn a_newer_segment(spool: &Path) {
    let segment = files(spool)
        .into_iter()
        .find(|f| f.extension().is_some_and(|e| e == "seg"))
        .unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    // Magic, version and length of the header stay where they are for ever, and the checksum ends it.
    bytes[8] = 4;
    let header = usize::from(u16::from_le_bytes([bytes[10], bytes[11]]));
    let checksum = crc32c::crc32c(&bytes[..header - 4]);
    bytes[header - 4..header].copy_from_slice(&checksum.to_le_bytes());
    fs::write(segment, bytes).unwrap();
}

fn sealed_by_another_keyring(spool: &Path) {
    another_keyring(spool.ancestors().nth(2).unwrap());
}

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

/// A server on a port of its own that answers whatever comes with the same bytes, for as long as the test runs.
fn hostile(answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = std::sync::Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            thread::spawn(move || converse(stream, &*answer));
        }
    });
    port
}

/// Ends with the connection, whoever ends it.
fn converse(mut stream: TcpStream, answer: &(impl Fn(&[u8]) -> Vec<u8> + ?Sized)) {
    let mut buffer = [0; 4096];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&answer(&buffer[..bytes])).is_err() {
            return;
        }
    }
}

const HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";

/// The connectors of devices that are no devices.
fn hostile_connectors() -> String {
    let http = |_: &[u8]| HTTP.to_vec();
    // A response to this request, whose length says more, or less, than the request can have asked for.
    let long = |request: &[u8]| [&request[..4], &[0xff, 0xff, 1, 3, 250], &[0; 250]].concat();
    let short = |request: &[u8]| [&request[..4], &[0, 3, 1, 3, 0]].concat();
    // An acknowledgement of four gigabytes.
    let huge = |_: &[u8]| [b"ACKF", &[0xff; 64][..]].concat();
    // A CONNACK whose remaining length never ends.
    let endless = |_: &[u8]| [&[0x20][..], &[0xff; 64]].concat();
    let mut text = String::new();
    for (name, port) in [
        ("modbus-http", hostile(http)),
        ("modbus-length", hostile(long)),
        ("modbus-short", hostile(short)),
    ] {
        text += &format!(
            "[[connector]]\nname = \"{name}\"\nkind = \"modbus\"\ndevice = \"{name}\"\nurl = \"tcp://127.0.0.1:{port}\"\n\
             every = \"100ms\"\n[[connector.tag]]\nname = \"t\"\nregister = \"holding\"\naddress = 0\ntype = \"u16\"\n"
        );
    }
    for (name, port) in [("opcua-http", hostile(http)), ("opcua-huge", hostile(huge))] {
        text += &format!(
            "[[connector]]\nname = \"{name}\"\nkind = \"opcua\"\ndevice = \"{name}\"\n\
             url = \"opc.tcp://127.0.0.1:{port}\"\n[[connector.tag]]\nname = \"t\"\nnode = \"i=85\"\n"
        );
    }
    for (name, port) in [
        ("mqtt-http", hostile(http)),
        ("mqtt-endless", hostile(endless)),
    ] {
        text += &format!(
            "[[connector]]\nname = \"{name}\"\nkind = \"mqtt\"\ndevice = \"{name}\"\nurl = \"mqtt://127.0.0.1:{port}\"\n\
             topics = [\"t\"]\n[[connector.tag]]\nname = \"t\"\ntopic = \"t\"\n"
        );
    }
    text
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
        let running = site.run(&[]);
        // Each number is synced when the broker has its PUBACK; the first ones may come too early.
        until(MINUTE, || site.path(SPOOL).exists()).unwrap();
        let empty = site.spooled();
        until(MINUTE, || {
            self.publish_numbers(0, 0);
            site.spooled() > empty + 100
        })
        .expect("the connector subscribes");
        self.publish_numbers(1, NUMBERS);
        let written = site.spooled();
        self.publish_numbers(NUMBERS + 1, NUMBERS + 1);
        until(MINUTE, || site.spooled() > written).expect("the last number is in the spool");
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
