//! Kept lists of each kind and damaged ones: tags or reasons, no panic and no hang.

use forebay_fuzz::{corpus, fuzz};
use forebay_tags::{ListFormat, Outcome, read, toml};

/// Which kinds of rows came, or which error.
fn kinds(format: ListFormat, text: &[u8]) -> Vec<String> {
    let rows = match read(format, text) {
        Ok(rows) => rows,
        Err(error) => return vec![words(&error.to_string())],
    };
    let (text, lines) = toml(&rows);
    assert!(lines.len() <= text.lines().count());
    let kind = |outcome: &Outcome| match outcome {
        Outcome::Tag(_) => "tag".to_owned(),
        Outcome::LeftOut(why) => words(why),
    };
    rows.iter().map(|row| kind(&row.outcome)).collect()
}

/// A text without what it quotes and counts.
fn words(text: &str) -> String {
    let outside = text.split('"').step_by(2).collect::<String>();
    outside
        .chars()
        .filter(|c| c.is_alphabetic())
        .take(40)
        .collect()
}

#[test]
fn fuzz_plain() {
    fuzz(corpus!("plain"), |list| kinds(ListFormat::Plain, list));
}

#[test]
fn fuzz_kepware() {
    fuzz(corpus!("kepware"), |list| kinds(ListFormat::Kepware, list));
}

#[test]
fn fuzz_ignition() {
    fuzz(corpus!("ignition"), |list| {
        kinds(ListFormat::Ignition, list)
    });
}

#[test]
fn fuzz_sparkplug() {
    fuzz(corpus!("sparkplug"), |birth| {
        kinds(ListFormat::SparkplugBirth, birth)
    });
}

#[test]
fn fuzz_nodeset() {
    fuzz(corpus!("nodeset"), |list| kinds(ListFormat::NodeSet2, list));
}
