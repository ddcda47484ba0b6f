//! The keys of a `[[connector.tag]]`.

use forebay_config::{Describe, Table};
use forebay_connectors::RuleId;
use forebay_payload::{Format, Layout, Selection};
use forebay_schemas::DeviceId;

use super::format::Formats;
use crate::{
    decode::{PayloadKind, Rule},
    keys,
    topic::{self, Template},
};

/// All rules, or none where one is wrong.
pub(super) fn rules(
    connector: &mut Table<'_>,
    tags: &mut [Table<'_>],
    formats: &Formats,
    device: Option<&DeviceId>,
) -> Option<Vec<Rule>> {
    if tags.is_empty() {
        connector.problem(
            &keys::KEYS.tag,
            "at least one [[connector.tag]] with a topic is expected",
        );
        return None;
    }
    let topics = connector.read(&keys::TOPICS);
    let mut rules = Vec::new();
    for (i, tag) in tags.iter_mut().enumerate() {
        rules.push(rule(RuleId(i), tag, formats, device, topics.as_deref()));
    }
    rules.into_iter().collect()
}

fn rule(
    id: RuleId,
    tag: &mut Table<'_>,
    formats: &Formats,
    connector_device: Option<&DeviceId>,
    topics: Option<&[String]>,
) -> Option<Rule> {
    let text = tag.read(&keys::TOPIC);
    let name = tag.read(&keys::TAG_NAME);
    let device = tag.read(&keys::TAG_DEVICE);
    let kind = formats.of_tag(tag);
    let layout = kind.as_ref().map_or(Layout::Tree, Layout::from);
    let selection = Selection::configure(tag, layout);
    let Some(text) = text else {
        if !tag.has(&keys::TOPIC) {
            tag.problem(&keys::TOPIC, "topic is missing");
        }
        return None;
    };
    let template = match Template::parse(&text) {
        Ok(template) => template,
        Err(error) => {
            tag.problem(&keys::TOPIC, format!("{text:?}: {error}"));
            return None;
        }
    };
    let filter = template.filter();
    let mut good = true;
    let mut wrong = |key: &dyn Describe, message: &str| {
        tag.problem(key, message);
        good = false;
    };
    if topics.is_some_and(|topics| !topics.iter().any(|topic| topic::overlap(topic, &filter))) {
        wrong(
            &keys::TOPIC,
            &format!("{text:?} matches nothing that topics subscribes to"),
        );
    }
    if template.has_tag() && name.is_some() {
        wrong(
            &keys::TAG_NAME,
            "the topic names the tag with {tag}: leave out one of the two",
        );
    }
    if template.has_device() && device.is_some() {
        wrong(
            &keys::TAG_DEVICE,
            "the topic names the device with {device}: leave out one of the two",
        );
    }
    if !template.has_device() && device.is_none() && connector_device.is_none() {
        wrong(
            &keys::TOPIC,
            "the device is not known: write {device} in the topic, or the key device here or in the connector",
        );
    }
    if kind == Some(PayloadKind::Plain(Format::Raw)) && !template.has_tag() && name.is_none() {
        wrong(
            &keys::TOPIC,
            "the tag is not known: write {tag} in the topic, or the key name",
        );
    }
    let device = device.or_else(|| connector_device.cloned());
    let (kind, selection) = (kind?, selection?);
    good.then_some(Rule {
        id,
        template,
        device,
        tag: name,
        kind,
        selection,
    })
}
