//! What comes in, and what must follow.

use std::{fs, path::Path};

use super::{
    HUGE_BYTES,
    spoil::{
        KEYRING, a_newer_keyring, a_newer_segment, another_keyring, break_the_log, cut,
        cut_the_keyring, damage_a_record, fill_with_garbage, open_the_keyring_to_all, remove,
        sealed_by_another_keyring,
    },
};

/// What is wrong.
pub(super) enum Bad {
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
pub(super) enum Follows {
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
#[rustfmt::skip]
pub(super) const TABLE: &[(Bad, Follows)] = &[
    (Bad::Configuration("[gateway"), Follows::Exit(&["run"], 78, &["forebay.toml:1:", "]"])),
    (Bad::Configuration("[gatway]\nid = \"g\""), Follows::Exit(&["run"], 78, &["forebay.toml:1:2: gatway: unknown key; did you mean \"gateway\"?"])),
    (Bad::Configuration("[lake]\nwindow = \"fast\""), Follows::Exit(&["validate"], 78, &["forebay.toml:2:10: lake.window: a duration such as \"10s\"", "found \"fast\""])),
    (Bad::Configuration("[[connector]]\nkind = \"modbuss\""), Follows::Exit(&["run"], 78, &["2:8: connector.kind: \"modbuss\" is not one of", "did you mean \"modbus\"?", "name is missing"])),
    (Bad::Configuration(TWO_TAGS), Follows::Exit(&["validate"], 78, &["forebay.toml:12:8: connector.tag.name: heat of device d is the name of tag 1 too"])),
    (Bad::Configuration(BAD_JOB), Follows::Exit(&["validate"], 78, &["forebay.toml:5:9: job.query: the query does not fit the lake: ", "vaule"])),
    (Bad::Configuration("[lake]\nurl = \"gs://b\""), Follows::Exit(&["validate"], 78, &["forebay.toml:2:7: lake.url: \"s3://bucket/prefix\""])),
    (Bad::Configuration(""), Follows::Exit(&["run"], 78, &["no [[connector]], [stream], [[job]], [[alert]] or [serve] is configured", "there is nothing to run"])),

    (Bad::Frame("modbus-http"), Follows::BadReading("is not a whole Modbus reply: is this a Modbus TCP port?")),
    (Bad::Frame("modbus-length"), Follows::BadReading("is not a whole Modbus reply: is this a Modbus TCP port?")),
    (Bad::Frame("modbus-short"), Follows::BadReading("the reply to holding 0 carries 0 values, 1 are due")),
    (Bad::Frame("opcua-http"), Follows::BadReading("this is not an OPC UA server, or a proxy stands before it")),
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
const IMPORT: &[&str] = &["import", "more.csv", "--device", "pump", "--time", "time"];
