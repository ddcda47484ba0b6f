//! The examples of docs/reference/connectors/mqtt.md: each configuration is read, and each message gives the readings that the page
//! shows.

use super::*;
use crate::decode::{Fanout, Incoming};

const SPARKPLUG: &str = include_str!("../../../../../docs/how-to/sparkplug.md");
const PAGE: &str = include_str!("../../../../../docs/reference/connectors/mqtt.md");

/// What stands between two fences, and the line before them that is not empty.
struct Block<'p> {
    language: &'p str,
    before: &'p str,
    text: String,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let (mut before, mut open) = ("", None::<Block<'_>>);
    for line in page.lines() {
        match (open.take(), line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block {
                    language: language.split(' ').next().unwrap_or_default(),
                    before,
                    text: String::new(),
                });
            }
            (Some(block), Some(_)) => blocks.push(block),
            (Some(mut block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) if !line.is_empty() => before = line,
            (None, None) => {}
        }
    }
    blocks
}

/// A sample in one line, as the page shows it.
fn line(sample: &forebay_connectors::Sample) -> String {
    use forebay_schemas::Value;
    let value = match &sample.value {
        Some(Value::F64(number)) => number.to_string(),
        Some(Value::I64(number)) => number.to_string(),
        Some(Value::Bool(truth)) => truth.to_string(),
        Some(Value::Text(text)) => format!("{text:?}"),
        other => panic!("the page shows no {other:?}: {:?}", sample.status),
    };
    let time = sample.event_time.map(|time| {
        let time = jiff::Timestamp::from_nanosecond(time.nanos().into()).unwrap();
        format!(" at {time}")
    });
    let unit = sample.unit.as_ref().map(|unit| format!(" {unit}"));
    format!(
        "{} {} = {value}{}{}",
        sample.device,
        sample.tag,
        unit.unwrap_or_default(),
        time.unwrap_or_default()
    )
}

#[test]
fn the_examples_of_the_page_are_true() {
    let secrets = tempfile::tempdir().unwrap();
    std::fs::write(secrets.path().join("things.key"), "secret").unwrap();
    let here = secrets.path().display().to_string();
    let (mut rules, mut shown, mut messages) = (None, Vec::new(), 0);
    for block in blocks(PAGE) {
        match block.language {
            "toml" if block.text.contains("[[connector]]") => {
                let text = block.text.replace("/etc/forebay", &here);
                // Not every machine that tests has the system's authorities.
                let text = text.replace("mqtts://", "mqtt://");
                rules = Some(of_text(&text).unwrap_or_else(|error| panic!("{text}\n{error}")));
            }
            "json" => {
                let topic = block.before.split('`').nth(1).expect("a topic");
                let payload = block.text.trim_end().as_bytes();
                let message = Incoming {
                    topic,
                    payload,
                    payload_bytes: payload.len(),
                };
                let mqtt = rules.as_ref().expect("a configuration before it");
                let samples = mqtt.rules().samples(message, &mut Fanout::default());
                shown = samples.iter().map(line).collect();
                messages += 1;
            }
            "text" => {
                let expected: Vec<&str> = block.text.lines().collect();
                assert_eq!(shown, expected);
            }
            _ => {}
        }
    }
    assert!(messages >= 8, "the page has lost examples");
}

#[test]
fn the_examples_of_the_sparkplug_page_are_read() {
    let examples = blocks(SPARKPLUG);
    let examples = examples.iter().filter(|block| block.language == "toml");
    let read = examples.map(|block| {
        let text = block.text.replace("mqtts://", "mqtt://");
        of_text(&text).unwrap_or_else(|error| panic!("{text}\n{error}"))
    });
    assert_eq!(
        read.filter(|mqtt| !mqtt.sparkplug().rules.is_empty())
            .count(),
        2
    );
}
