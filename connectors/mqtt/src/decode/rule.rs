//! One `[[connector.tag]]`: which topics it reads, what of a payload, and of which series.

use forebay_connectors::{Declared, RuleId, Sample, SampleKind};
use forebay_payload::{Decoded, Fault, Outcome, Selection};
use forebay_schemas::{DeviceId, InvalidName, Status, TagName, Value};

use super::{Fallback, PayloadKind, topics::Names};
use crate::topic::{Captured, Template};

/// A rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: RuleId,
    pub(crate) template: Template,
    /// The device where the topic does not name it.
    pub(crate) device: Option<DeviceId>,
    /// The tag where the topic does not name it.
    pub(crate) tag: Option<TagName>,
    /// How its payloads are written.
    pub(crate) kind: PayloadKind,
    /// What of a payload it reads.
    pub(crate) selection: Selection,
}

/// What names the series of a message's samples.
#[derive(Debug)]
pub(super) struct Naming<'m> {
    pub(super) names: &'m Names,
    pub(super) topic: &'m str,
    pub(super) fallback: &'m Fallback,
}

impl Rule {
    /// Its series where neither device nor tag comes out of the topic.
    pub(super) fn declared(&self) -> Option<Declared> {
        if self.template.has_device() || self.template.has_tag() {
            return None;
        }
        Some(Declared {
            rule: self.id,
            device: self.device.clone()?,
            tag: self.tag.clone()?,
        })
    }

    /// The sample of what was decoded; a fault where its series has no valid name.
    pub(super) fn sample(&self, series: &Naming<'_>, decoded: Outcome) -> Result<Sample, Fault> {
        let Decoded {
            field,
            time,
            value,
            unit,
            status,
            is_faulty: _,
        } = decoded?;
        let tag = match (series.names.tag.clone()?, field) {
            (Some(tag), None) => tag,
            (Some(tag), Some(field)) => tag_name(&format!("{tag}.{field}"))?,
            (None, Some(field)) => tag_name(&field)?,
            (None, None) => {
                return Err(Fault(
                    "the value is not an object, and neither the topic nor the rule names the tag"
                        .to_owned(),
                ));
            }
        };
        Ok(Sample {
            rule: self.id,
            device: device(series)?,
            tag,
            event_time: time,
            value,
            unit,
            status,
            kind: SampleKind::Update,
        })
    }

    /// The sample of a fault.
    pub(super) fn bad_sample(
        &self,
        series: &Naming<'_>,
        value: Option<Value>,
        reason: String,
    ) -> Sample {
        let device = device(series).unwrap_or_else(|_| series.fallback.device.clone());
        let tag = series.names.tag.clone().ok().flatten();
        let tag = tag.or_else(|| TagName::new(series.topic).ok());
        let tag = tag.unwrap_or_else(|| series.fallback.tag.clone());
        let status = Status::bad(None, reason);
        Sample {
            rule: self.id,
            device,
            tag,
            event_time: None,
            value,
            unit: None,
            status,
            kind: SampleKind::Update,
        }
    }

    /// The names of what the rule makes of a topic, before any name of the payload.
    pub(super) fn names(&self, captured: Captured<'_>) -> Names {
        let in_topic = |error: InvalidName| Fault(format!("in the topic: {error}"));
        let device = match captured.device {
            Some(name) => DeviceId::new(name).map(Some).map_err(in_topic),
            None => Ok(self.device.clone()),
        };
        let tag = match captured.tag {
            Some(name) => TagName::new(name).map(Some).map_err(in_topic),
            None => Ok(self.tag.clone()),
        };
        Names { device, tag }
    }
}

fn device(series: &Naming<'_>) -> Result<DeviceId, Fault> {
    let named = series.names.device.clone()?;
    Ok(named.unwrap_or_else(|| series.fallback.device.clone()))
}

impl Naming<'_> {
    /// Device and tag of what the rule makes of the topic; none where a name is not valid.
    pub(super) fn place(&self) -> Option<(DeviceId, Option<TagName>)> {
        Some((device(self).ok()?, self.names.tag.clone().ok()?))
    }
}

fn tag_name(name: &str) -> Result<TagName, Fault> {
    TagName::new(name).map_err(|error| Fault(format!("in the payload: {error}")))
}
