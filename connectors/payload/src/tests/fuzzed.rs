//! Kept payloads and damaged ones, for every decoder: values or a fault that says why, no panic and no hang.

use forebay_fuzz::{corpus, fuzz};

use super::*;

fn selections() -> [Selection; 3] {
    [
        at("$.v"),
        Selection {
            arrays: Arrays::Tags,
            ..at("$")
        },
        Selection {
            arrays: Arrays::Tags,
            quality: Some(PayloadPath::parse("$.q").unwrap()),
            unit: Some(PayloadPath::parse("$.u").unwrap()),
            ..timed("$", "$.ts", TimeForm::Unit(TimeUnit::Seconds))
        },
    ]
}

/// What kinds of values came, or which fault.
fn kinds(selections: &[Selection], read: Result<Payload<'_>, Fault>) -> Vec<String> {
    let payload = match read {
        Ok(payload) => payload,
        Err(fault) => return vec![words(&fault)],
    };
    let mut kinds = Vec::new();
    for selection in selections {
        let outcomes = selection.decode(&payload);
        assert!(!outcomes.is_empty(), "a payload comes to something");
        for outcome in outcomes.iter().take(20) {
            kinds.push(match outcome {
                Ok(decoded) => format!(
                    "{:?} {} {:?}",
                    decoded.value.as_ref().map(Value::value_type),
                    decoded.time.is_some(),
                    decoded.status.quality
                ),
                Err(fault) => words(fault),
            });
        }
    }
    kinds
}

/// A fault without what it quotes and counts.
fn words(fault: &Fault) -> String {
    assert!(!fault.0.is_empty(), "a fault says why");
    let outside: String = fault.0.split('"').step_by(2).collect();
    outside
        .chars()
        .filter(|c| c.is_alphabetic())
        .take(40)
        .collect()
}

#[test]
fn fuzz_json() {
    let selections = selections();
    fuzz(corpus!("json"), move |bytes| {
        kinds(&selections, Payload::parse(Format::Json, bytes))
    });
}

#[test]
fn fuzz_raw() {
    let selections = selections();
    fuzz(corpus!("raw"), move |bytes| {
        kinds(&selections, Payload::parse(Format::Raw, bytes))
    });
}

#[test]
fn fuzz_cbor() {
    let selections = selections();
    fuzz(corpus!("cbor"), move |bytes| {
        kinds(&selections, Payload::parse(Format::Cbor, bytes))
    });
}

#[test]
fn fuzz_message_pack() {
    let selections = selections();
    fuzz(corpus!("message_pack"), move |bytes| {
        kinds(&selections, Payload::parse(Format::MessagePack, bytes))
    });
}

#[test]
fn fuzz_protobuf() {
    let selections = selections();
    let reading = MessageType::of(&binary::descriptor_set(), "plant.Reading").unwrap();
    fuzz(corpus!("protobuf"), move |bytes| {
        kinds(&selections, Payload::parse_message(&reading, bytes))
    });
}
