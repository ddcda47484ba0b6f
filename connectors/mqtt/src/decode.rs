//! Messages to samples, by the rules of the configuration.
//!
//! Each rule says how the payloads of its topics are written. A value is named by the topic, by the names that the value's path leaves open, and by the fields of an object. Every rule that matches a topic gives at least one sample. What cannot be decoded gives a sample of bad quality that
//! names the fault; the first of a message carries the payload's bytes, so that nothing is lost and nothing kept twice.

mod fanout;
mod payload_kind;
mod rule;
#[cfg(test)]
mod tests;
mod topics;

use forebay_connectors::{Declared, RuleId, Sample};
use forebay_payload::{Arrays, Fault, Outcome, Payload};
use forebay_schemas::{DeviceId, TagName, Value};

use crate::topic::overlap;

pub(crate) use fanout::Fanout;
use fanout::{Place, Scope};
pub(crate) use payload_kind::PayloadKind;
use rule::Naming;
pub(crate) use rule::Rule;
use topics::Match;

/// Device and tag of a sample whose own are not known.
#[derive(Debug, Clone)]
pub(crate) struct Fallback {
    pub(crate) device: DeviceId,
    pub(crate) tag: TagName,
}

/// The rules of one connector.
#[derive(Debug)]
pub(crate) struct Rules {
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

impl Rules {
    /// The samples of a message; none where no rule matches its topic. With what cannot be read, every series that the rule
    /// made of the topic before turns bad.
    pub(crate) fn samples(&self, message: Incoming<'_>, fanout: &mut Fanout) -> Vec<Sample> {
        let mut samples: Vec<(Scope, Sample)> = Vec::new();
        // Each kind of payload is read once, however many rules decode it.
        let mut contents: Vec<(&PayloadKind, Result<Payload<'_>, Fault>)> = Vec::new();
        let mut kept = Some(());
        let matches = fanout.topics.matches(&self.rules, message.topic);
        for Match { rule, names } in matches.iter() {
            let rule = &self.rules[*rule];
            let read = contents.iter().position(|(kind, _)| **kind == rule.kind);
            let read = read.unwrap_or_else(|| {
                contents.push((&rule.kind, self.read(&rule.kind, message)));
                contents.len() - 1
            });
            let series = Naming {
                names,
                topic: message.topic,
                fallback: &self.fallback,
            };
            let decoded = match &contents[read].1 {
                Ok(payload) => rule.selection.decode(payload),
                Err(fault) => vec![Err(fault.clone())],
            };
            // Once for all of a message's samples.
            let mut payload = || kept.take().map(|()| self.kept(message));
            let first = samples.len();
            let of_rule = decoded
                .into_iter()
                .map(|outcome| made(rule, &series, outcome, &mut payload));
            samples.extend(of_rule);
            if let Some((device, tag)) = series.place() {
                let place = Place {
                    rule: rule.id,
                    topic: message.topic,
                    device: &device,
                    tag: tag.as_ref(),
                    is_only: rule.template.is_one_topic(),
                };
                let spread = fanout.spread(place, &samples[first..]);
                samples.extend(spread.into_iter().map(|sample| (Scope::Alone, sample)));
            }
        }
        samples.into_iter().map(|(_, sample)| sample).collect()
    }

    /// What a rule brings, in words that last as long as it brings the same; `topics` are subscribed to.
    pub(crate) fn brings(&self, rule: RuleId, topics: &[String]) -> Option<String> {
        let rule = self.rules.get(rule.0)?;
        let filter = rule.template.filter();
        let topics: Vec<&str> = topics
            .iter()
            .map(String::as_str)
            .filter(|topic| overlap(topic, &filter))
            .collect();
        let Rule {
            template,
            device,
            tag,
            selection,
            ..
        } = rule;
        let value = selection.value_path();
        // In the words of releases without the key where it has its default: what was kept under them stays known.
        let arrays = match selection.arrays() {
            Arrays::Values => "",
            Arrays::Tags => " each item a tag",
        };
        let name = |name: Option<&str>| name.unwrap_or("-").to_owned();
        let (device, tag) = (
            name(device.as_ref().map(DeviceId::as_str)),
            name(tag.as_ref().map(TagName::as_str)),
        );
        Some(format!(
            "{} {device} {tag} {value}{arrays} of {}",
            template.text(),
            topics.join(" ")
        ))
    }

    /// The series that are known before any message.
    pub(crate) fn declared(&self) -> Vec<Declared> {
        self.rules.iter().filter_map(Rule::declared).collect()
    }

    fn read<'m>(&self, kind: &PayloadKind, message: Incoming<'m>) -> Result<Payload<'m>, Fault> {
        if message.payload_bytes > self.payload_bytes_max {
            let (bytes, max) = (message.payload_bytes, self.payload_bytes_max);
            return Err(Fault(format!(
                "the payload has {bytes} bytes, more than max_payload ({max})"
            )));
        }
        kind.parse(message.payload)
    }

    fn kept(&self, message: Incoming<'_>) -> Value {
        let length = message.payload.len().min(self.payload_bytes_max);
        Value::Bytes(message.payload[..length].to_vec())
    }
}

/// The sample of an outcome, and how much of the payload it speaks for where it is bad.
fn made(
    rule: &Rule,
    series: &Naming<'_>,
    outcome: Outcome,
    payload: &mut impl FnMut() -> Option<Value>,
) -> (Scope, Sample) {
    let scope = match &outcome {
        Ok(decoded) if decoded.field.is_some() => Scope::Field,
        Ok(_) => Scope::Value,
        Err(_) => Scope::Topic,
    };
    let is_faulty = matches!(&outcome, Ok(decoded) if decoded.is_faulty);
    match rule.sample(series, outcome) {
        Ok(mut sample) => {
            if is_faulty {
                sample.value = payload();
            }
            (scope, sample)
        }
        Err(Fault(reason)) => {
            // A field without a valid name says nothing of its neighbours.
            let scope = if scope == Scope::Field {
                Scope::Alone
            } else {
                Scope::Topic
            };
            (scope, rule.bad_sample(series, payload(), reason))
        }
    }
}
