//! What is documented is what is read: every described key is looked at by its reader, and every default is one that it takes.

use std::{collections::BTreeSet, path::Path};

use forebay_config::{KeyInfo, Presence, Shape, TableForm};

use super::*;
use crate::schema::sections;

/// A value that no key takes: no reader passes it over in silence.
const NO_VALUE: &str = "1979-05-27";

/// Sound values of keys without which other keys are not looked at: table, key, value. The kind stands in the table's name.
const SOUND: &[(&str, &str, &str)] = &[
    ("stream", "kind", "\"kafka\""),
    ("stream", "brokers", "[\"k:9092\"]"),
    ("stream.sasl", "mechanism", "\"SCRAM-SHA-512\""),
    ("stream.sasl", "user", "\"u\""),
    ("stream.sasl", "password", "\"p\""),
    ("lake", "url", "\"s3://bucket\""),
    ("connector", "name", "\"c\""),
    ("connector modbus", "device", "\"d\""),
    ("connector modbus", "url", "\"tcp://h\""),
    ("connector.tag modbus", "name", "\"t\""),
    ("connector.tag modbus", "register", "\"holding\""),
    ("connector.tag modbus", "address", "1"),
    ("connector.tag modbus", "type", "\"u16\""),
    ("connector mqtt", "url", "\"mqtts://h\""),
    ("connector.tag mqtt", "topic", "\"{device}/{tag}\""),
    ("connector opcua", "device", "\"d\""),
    ("connector opcua", "url", "\"opc.tcp://localhost\""),
    ("connector.tag opcua", "name", "\"t\""),
    ("connector.tag opcua", "node", "\"i=1\""),
    ("step", "tags", "[\"d/*\"]"),
    ("connector.tag simulated", "name", "\"t\""),
    ("connector.tag simulated", "signal", "\"sine\""),
    ("job", "name", "\"j\""),
    ("job", "schedule", "\"0 6 * * *\""),
    ("job sql", "into", "\"scores\""),
    ("job sql", "query", "\"select 1\""),
    ("job grid_demand", "tags", "[\"t\"]"),
    ("job vibration", "tags", "[\"t\"]"),
    ("job grid_outage", "feeders", "{ f = [\"f-*\"] }"),
    ("job renewables", "tags", "[\"t\"]"),
    ("job renewables", "source", "\"wind\""),
    ("job report", "template", "\"plant_week\""),
    ("alert", "name", "\"a\""),
    ("alert", "on", "\"disk\""),
    ("route", "name", "\"r\""),
    ("route webhook", "url", "\"https://h\""),
    ("route alertmanager", "url", "\"https://h\""),
    ("route smtp", "url", "\"smtps://h\""),
    ("route smtp", "from", "\"f@h\""),
    ("route smtp", "to", "[\"t@h\"]"),
    ("route mqtt", "url", "\"mqtts://h\""),
    ("job.section report", "title", "\"t\""),
    ("job.section report", "sql", "\"select 1 as a\""),
    ("job.section report", "chart", "\"table\""),
];

/// Keys that are looked at beside a certain other value only: the key and what lies below it, the table with the kind, the
/// other key, its value. It goes before a value of [`SOUND`].
const BESIDE: &[(&str, &str, &str, &str)] = &[
    ("connector.baud_rate", "connector modbus", "url", SERIAL),
    ("connector.parity", "connector modbus", "url", SERIAL),
    ("connector.data_bits", "connector modbus", "url", SERIAL),
    ("connector.stop_bits", "connector modbus", "url", SERIAL),
    ("connector.frame_gap", "connector modbus", "url", SERIAL),
    ("connector.tls", "connector modbus", "url", "\"tls://h\""),
    ("connector.time_column", "connector simulated", "file", CSV),
    ("connector.times", "connector simulated", "file", CSV),
    ("connector.speed", "connector simulated", "file", CSV),
    ("connector.repeat", "connector simulated", "file", CSV),
];
const SERIAL: &str = "\"serial:///dev/ttyUSB0\"";
const CSV: &str = "\"f.csv\"";

/// A key of the file, and the tables that it stands in, from the root's.
struct KeyPlace<'k> {
    tables: Vec<&'k KeyInfo>,
    kind: &'static str,
    key: &'k KeyInfo,
}

impl KeyPlace<'_> {
    /// As errors name it.
    fn name(&self) -> String {
        self.tables
            .iter()
            .map(|table| table.name)
            .chain([self.key.name])
            .collect::<Vec<_>>()
            .join(".")
    }

    /// The other key of a table without which this one is not looked at, and its value.
    fn beside(&self, table: &str) -> Option<(&'static str, &'static str)> {
        let name = self.name();
        let row = BESIDE.iter().find(|(of, in_table, ..)| {
            let is_below = name
                .strip_prefix(of)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            is_below && *in_table == table
        });
        row.map(|(_, _, key, value)| (*key, *value))
    }

    /// A file in which this key has a value and the others are sound, and the key's line.
    fn file(&self, value: &str) -> (String, usize) {
        let mut lines: Vec<String> = Vec::new();
        let mut at = 0;
        for (depth, table) in self.tables.iter().enumerate() {
            let names: Vec<&str> = self.tables[..=depth]
                .iter()
                .map(|table| table.name)
                .collect();
            let path = names.join(".");
            lines.push(match &table.shape {
                Shape::Table {
                    form: TableForm::Many,
                    ..
                } => format!("[[{path}]]"),
                _ => format!("[{path}]"),
            });
            let is_own = depth + 1 == self.tables.len();
            if is_own {
                lines.push(format!("{} = {value}", self.key.name));
                at = lines.len();
            }
            if depth == 0 && !self.kind.is_empty() && !(is_own && self.key.name == "kind") {
                lines.push(format!("kind = \"{}\"", self.kind));
            }
            let of_kind = format!("{path} {}", self.kind);
            let beside = self.beside(&of_kind);
            if let Some((key, value)) = beside {
                lines.push(format!("{key} = {value}"));
            }
            for (table, key, value) in SOUND {
                let is_here = (*table == path || *table == of_kind)
                    && !(is_own && *key == self.key.name)
                    && beside.is_none_or(|(other, _)| other != *key);
                // A job has one of the two, and looks at no more.
                if is_here && !(*key == "schedule" && is_own && self.key.name == "on") {
                    lines.push(format!("{key} = {value}"));
                }
            }
        }
        (lines.join("\n"), at)
    }

    /// What is wrong with the file at the key's line.
    fn problems(&self, value: &str) -> (String, Vec<String>) {
        let (text, line) = self.file(value);
        let folder = Path::new("nowhere");
        let place = Place {
            config: Some(folder.join("f.toml")),
            expected: folder.join("f.toml"),
            root: folder.join("data"),
        };
        let read = Document::new(Path::new("f.toml"), &text, &|_| None)
            .read(|root| Config::read(root, &place));
        let problems = read.err().map(|errors| errors.problems).unwrap_or_default();
        (
            text,
            problems
                .into_iter()
                .filter(|problem| problem.line == line)
                .map(|problem| problem.message)
                .collect(),
        )
    }
}

/// Visits every key of every table, of every kind.
fn visit(check: &dyn Fn(&KeyPlace<'_>)) {
    fn inside<'k>(tables: &[&'k KeyInfo], kind: &'static str, check: &dyn Fn(&KeyPlace<'_>)) {
        let Some(Shape::Table { keys, .. }) = tables.last().map(|table| &table.shape) else {
            return;
        };
        for key in keys {
            check(&KeyPlace {
                tables: tables.to_vec(),
                kind,
                key,
            });
            inside(&[tables, &[key]].concat(), kind, check);
        }
    }
    for section in sections() {
        for kind in &section.kinds {
            inside(&[&section.table], kind.name, check);
            inside(&[&kind.table], kind.name, check);
        }
        if section.kinds.is_empty() {
            inside(&[&section.table], "", check);
        }
    }
}

#[test]
fn every_described_key_is_read() {
    visit(&|place| {
        let (name, (text, problems)) = (place.name(), place.problems(NO_VALUE));
        let refused = |message: &String| {
            message.starts_with(&format!("{name}: ")) && message.contains("expected")
        };
        assert!(
            problems.iter().any(refused),
            "nobody reads {name}: {problems:?} of\n{text}"
        );
        assert!(
            !problems
                .iter()
                .any(|message| message.contains("unknown key")),
            "{name}: {problems:?} of\n{text}"
        );
    });
}

#[test]
fn every_default_is_one_that_its_key_takes() {
    visit(&|place| {
        if let Presence::Default(default) = &place.key.presence {
            let (text, problems) = place.problems(&default.toml());
            assert!(
                problems.is_empty(),
                "{}: {problems:?} of\n{text}",
                place.name()
            );
        }
    });
}

#[test]
fn every_key_is_described_once_in_whole_sentences() {
    let seen = std::cell::RefCell::new(BTreeSet::new());
    visit(&|place| {
        let (name, meaning) = (place.name(), place.key.meaning);
        assert!(
            meaning.ends_with('.') && !meaning.contains("  "),
            "{name}: {meaning:?}"
        );
        assert!(
            !meaning.starts_with(char::is_lowercase),
            "{name}: {meaning:?}"
        );
        seen.borrow_mut().insert(name);
    });
    let seen = seen.into_inner();
    assert!(seen.len() > 120, "{} keys: {seen:?}", seen.len());
    for section in sections() {
        for kind in &section.kinds {
            let keys = [&section.table, &kind.table].map(|table| match &table.shape {
                Shape::Table { keys, .. } => keys.clone(),
                other => panic!("{other:?} is no table"),
            });
            let [common, own] = keys;
            let joined = KeyInfo::joined(common, own);
            let names: BTreeSet<&str> = joined.iter().map(|key| key.name).collect();
            assert_eq!(
                names.len(),
                joined.len(),
                "{} {}",
                section.table.name,
                kind.name
            );
        }
    }
}
