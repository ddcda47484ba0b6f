//! Messages to samples, by the rules of the configuration.
//!
//! Every rule that matches a topic gives at least one sample. What cannot be decoded gives a sample of bad quality that
//! names the fault; the first of a message carries the payload's bytes, so that nothing is lost and nothing kept twice.

mod rule;
#[cfg(test)]
mod tests;

use forebay_connectors::{Declared, Sample};
use forebay_schemas::{DeviceId, Status, TagName, Timestamp, Value};

use rule::{Captures, Content, Outcome};
pub(crate) use rule::{Format, Rule, TimePath};

/// Device and tag of a sample whose own are not known.
#[derive(Debug, Clone)]
pub(crate) struct Fallback {
    pub(crate) device: DeviceId,
    pub(crate) tag: TagName,
}

/// The rules of one connector.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) format: Format,
    pub(crate) rules: Vec<Rule>,
    pub(crate) fallback: Fallback,
    /// Longer payloads are not decoded and are kept up to this length.
    pub(crate) payload_bytes_max: usize,
}

/// A message as the broker sent it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incoming<'m> {
    pub(crate) topic: &'m str,
    /// The payload, cut after `payload_bytes_max` or later.
    pub(crate) payload: &'m [u8],
    /// Its length before it was cut.
    pub(crate) payload_bytes: usize,
}

/// One value of one tag, or why there is none.
#[derive(Debug, Clone, PartialEq)]
struct Decoded {
    /// The names inside an object, joined by dots; none for a value of its own.
    field: Option<String>,
    time: Option<Timestamp>,
    value: Option<Value>,
    status: Status,
}

/// A payload, or part of it, that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault(String);

impl Rules {
    /// The samples of a message; none where no rule matches its topic.
    pub(crate) fn samples(&self, message: Incoming<'_>) -> Vec<Sample> {
        let mut samples = Vec::new();
        let mut content = None;
        let mut payload_kept = false;
        for rule in &self.rules {
            let Some(captured) = rule.template.captures(message.topic) else { continue };
            let content = content.get_or_insert_with(|| self.content(message));
            let series = Captures { captured, topic: message.topic, fallback: &self.fallback };
            let decoded = match content {
                Ok(content) => rule.decode(content),
                Err(fault) => vec![Err(fault.clone())],
            };
            for outcome in decoded {
                let sample = rule.sample(&series, outcome).unwrap_or_else(|Fault(reason)| {
                    let value = (!payload_kept).then(|| self.kept(message));
                    payload_kept = true;
                    rule.bad_sample(&series, value, reason)
                });
                samples.push(sample);
            }
        }
        samples
    }

    /// The series that are known before any message.
    pub(crate) fn declared(&self) -> Vec<Declared> {
        self.rules.iter().filter_map(Rule::declared).collect()
    }

    fn content<'m>(&self, message: Incoming<'m>) -> Result<Content<'m>, Fault> {
        if message.payload_bytes > self.payload_bytes_max {
            let (bytes, max) = (message.payload_bytes, self.payload_bytes_max);
            return Err(Fault(format!("the payload has {bytes} bytes, more than max_payload ({max})")));
        }
        Content::read(self.format, message.payload)
    }

    fn kept(&self, message: Incoming<'_>) -> Value {
        let length = message.payload.len().min(self.payload_bytes_max);
        Value::Bytes(message.payload[..length].to_vec())
    }
}

/// What a rule makes of a payload: as many as it selects values.
type Outcomes = Vec<Outcome>;
