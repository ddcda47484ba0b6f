//! The keys of a connector with `format = "sparkplug_b"` and of its tags.

use forebay_config::{Describe, Table};
use forebay_connectors::{Context, NAME, RuleId};
use forebay_schemas::{DeviceId, TagName, path_segment};
use globset::{Glob, GlobMatcher};

use crate::{
    keys,
    sparkplug::{DevicePattern, MetricRule, NAMESPACE, SparkplugSettings, state_topic},
    topic,
};

/// Keys of a tag that speak of topics and payloads.
const OF_PAYLOADS: [&dyn Describe; 5] = [
    &keys::TOPIC,
    &keys::TAG_NAME,
    &keys::TAG_FORMAT,
    &forebay_payload::keys::VALUE,
    &forebay_payload::keys::TIME,
];

/// Reads the keys; `device` is the connector's key of that name.
pub(super) fn sparkplug(
    connector: &mut Table<'_>,
    tags: &mut [Table<'_>],
    device: Option<&DeviceId>,
    payload_bytes_max: usize,
    context: &Context,
) -> Option<SparkplugSettings> {
    let name = connector.given(&NAME).unwrap_or_else(|| "mqtt".to_owned());
    let host_id = host_id(connector);
    let rebirth = connector.read(&keys::REBIRTH);
    let pattern = device.map_or(DevicePattern::DEFAULT, DeviceId::as_str);
    let pattern = DevicePattern::parse(pattern)
        .map_err(|reason| connector.problem(&keys::DEVICE, reason))
        .ok();
    if connector.has(&keys::WILL) && connector.has(&keys::HOST_ID) {
        connector.problem(
            &keys::WILL,
            "host_id has a will of its own, STATE: leave out one of the two",
        );
        return None;
    }
    if tags.is_empty() {
        connector.problem(
            &keys::KEYS.tag,
            "at least one [[connector.tag]] is expected, such as metric = \"*\"",
        );
        return None;
    }
    let rules: Vec<_> = tags
        .iter_mut()
        .enumerate()
        .map(|(place, tag)| rule(RuleId(place), tag))
        .collect();
    let fallback = (
        DeviceId::new(&name)
            .or_else(|_| DeviceId::new("mqtt"))
            .ok()?,
        TagName::new("payload").ok()?,
    );
    Some(SparkplugSettings {
        host_id: host_id?,
        device: pattern?,
        rules: rules.into_iter().collect::<Option<_>>()?,
        rebirth,
        folder: context.data_dir.join("sparkplug").join(path_segment(&name)),
        payload_bytes_max,
        fallback,
    })
}

/// The name under which STATE is published; the outer none where it is wrong.
fn host_id(connector: &mut Table<'_>) -> Option<Option<String>> {
    let Some(host_id) = connector.read(&keys::HOST_ID) else {
        return (!connector.has(&keys::HOST_ID)).then_some(None);
    };
    if host_id.is_empty() || host_id.contains(['/', '+', '#', '\0']) {
        connector.problem(
            &keys::HOST_ID,
            "a text without /, + and # is expected: it is a level of a topic",
        );
        return None;
    }
    Some(Some(host_id))
}

fn rule(id: RuleId, tag: &mut Table<'_>) -> Option<MetricRule> {
    let metric = tag.read(&keys::METRIC);
    let device = tag.read(&keys::TAG_DEVICE);
    for key in OF_PAYLOADS {
        if tag.has(key) {
            tag.problem(key, "it has no meaning with format = \"sparkplug_b\"");
            return None;
        }
    }
    let Some(metric) = metric else {
        if !tag.has(&keys::METRIC) {
            tag.problem(
                &keys::METRIC,
                "metric is missing: a pattern of metrics such as \"*\" or \"Line 1/*\"",
            );
        }
        return None;
    };
    let words = match &device {
        Some(device) => format!("{metric} of {device}"),
        None => metric.clone(),
    };
    let metric = pattern(tag, &keys::METRIC, &metric);
    let device = device.map(|device| pattern(tag, &keys::TAG_DEVICE, device.as_str()));
    Some(MetricRule {
        id,
        metric: metric?,
        device: match device {
            Some(device) => Some(device?),
            None => None,
        },
        words,
    })
}

fn pattern(tag: &Table<'_>, key: &dyn Describe, text: &str) -> Option<GlobMatcher> {
    match Glob::new(text) {
        Ok(glob) => Some(glob.compile_matcher()),
        Err(error) => {
            tag.problem(key, format!("{text:?} is not a pattern: {error}"));
            None
        }
    }
}

/// What is subscribed to without the key `topics`, and with it the host's own STATE too.
pub(super) fn topics(given: Option<Vec<String>>, host_id: Option<&str>) -> Vec<String> {
    let mut topics = given.unwrap_or_else(|| vec![format!("{NAMESPACE}/#")]);
    if let Some(host_id) = host_id {
        let state = state_topic(host_id);
        if !topics.iter().any(|filter| topic::covers(filter, &state)) {
            topics.push(state);
        }
    }
    topics
}

/// Notes keys of Sparkplug B where the connector has another format.
pub(super) fn refuse(connector: &mut Table<'_>, tags: &mut [Table<'_>]) {
    const REASON: &str = "it has no meaning without format = \"sparkplug_b\"";
    if connector.read(&keys::HOST_ID).is_some() {
        connector.problem(&keys::HOST_ID, REASON);
    }
    // Its default says nothing that would be wrong.
    connector.read(&keys::REBIRTH);
    for tag in tags {
        if tag.read(&keys::METRIC).is_some() {
            tag.problem(&keys::METRIC, REASON);
        }
    }
}
