//! Kept bodies and damaged ones, of each format: samples or a refusal that says why, no panic and no hang.

use axum::http::Uri;
use forebay_connectors::RuleId;
use forebay_fuzz::{corpus, fuzz};
use forebay_payload::Selection;
use forebay_schemas::{DeviceId, Value};

use crate::{
    request::samples,
    route::{Captured, Format, Rule, Template},
};

fn rule(format: Format) -> Rule {
    Rule {
        id: RuleId(0),
        template: Template::parse("/in").unwrap(),
        format,
        device: DeviceId::new("gate").ok(),
        tag: None,
        device_tag: "host".to_owned(),
        selection: Selection::default(),
    }
}

/// A decoder of bodies: what kinds of samples came, or why the body is refused.
fn kinds(format: Format) -> impl FnMut(&[u8]) -> Vec<String> + Send + 'static {
    let rule = rule(format);
    let uri = Uri::from_static("/in");
    move |body| {
        let made = match samples(&uri, &[(&rule, Captured::default())], body) {
            Ok(made) => made,
            Err(refusal) => {
                assert!(refusal.status.is_client_error());
                let outside: String = refusal.reason.split('"').step_by(2).collect();
                return vec![
                    outside
                        .chars()
                        .filter(|c| c.is_alphabetic())
                        .take(40)
                        .collect(),
                ];
            }
        };
        assert!(made.len() <= body.len().max(1), "bounded by the body");
        let kind = |value: &Option<Value>| format!("{:?}", value.as_ref().map(Value::value_type));
        made.iter()
            .take(20)
            .map(|sample| kind(&sample.value))
            .collect()
    }
}

#[test]
fn fuzz_line() {
    fuzz(corpus!("line"), kinds(Format::Line));
}

#[test]
fn fuzz_csv() {
    fuzz(corpus!("csv"), kinds(Format::Csv));
}

#[test]
fn fuzz_json() {
    fuzz(corpus!("json"), kinds(Format::Json));
}

#[test]
fn fuzz_raw() {
    fuzz(corpus!("raw"), kinds(Format::Raw));
}
