//! One message of a node or device, and the samples that come of it.

use std::sync::Arc;

use forebay_connectors::{RuleId, Sample, SampleKind};
use forebay_schemas::{DeviceId, Quality, Status, TagName, Timestamp, Value};

use super::device_name;
use crate::{
    decode::Incoming,
    sparkplug::{
        NodeId, SparkplugSettings,
        births::{KnownMetric, Metrics, Owner},
        payload::{Metric, Payload, Properties},
        value::{Flattener, status_of},
        wire::Malformed,
    },
};

/// Values that a message may have once arrays, data sets and templates are flattened.
const PARTS_MAX: usize = 65_536;
const DOUBT: &str =
    "messages of the node may have been missed: named by its last birth, a rebirth is asked for";

pub(super) struct EdgeMessage<'m> {
    settings: &'m SparkplugSettings,
    pub(super) id: &'m NodeId,
    pub(super) owner: Owner,
    device: DeviceId,
    message: Incoming<'m>,
    flattener: Flattener,
    pub(super) is_doubtful: bool,
    /// Names of parts that may still be remembered.
    pub(super) room: usize,
    is_kept: bool,
    pub(super) samples: Vec<Sample>,
}

impl<'m> EdgeMessage<'m> {
    pub(super) fn new(
        settings: &'m SparkplugSettings,
        id: &'m NodeId,
        device: Option<&str>,
        message: Incoming<'m>,
    ) -> Self {
        Self {
            settings,
            id,
            owner: device.map(Arc::from),
            device: device_name(settings, id, device),
            message,
            flattener: Flattener::new(PARTS_MAX),
            is_doubtful: false,
            room: 0,
            is_kept: false,
            samples: Vec::new(),
        }
    }

    /// The payload, or why it cannot be read.
    pub(super) fn read(&self) -> Result<Payload<'m>, String> {
        let (bytes, max) = (self.message.payload_bytes, self.settings.payload_bytes_max);
        if bytes > max {
            return Err(format!(
                "the payload has {bytes} bytes, more than max_payload ({max})"
            ));
        }
        Payload::read(self.message.payload)
            .map_err(|Malformed| "the payload is not Sparkplug B".to_owned())
    }

    /// Keeps the payload in a bad reading, once for the message.
    pub(super) fn keep(&mut self, reason: &str) {
        let length = self
            .message
            .payload
            .len()
            .min(self.settings.payload_bytes_max);
        let bytes = (!self.is_kept).then(|| Value::Bytes(self.message.payload[..length].to_vec()));
        self.is_kept = true;
        let tag = self.settings.fallback.1.clone();
        // A rule's steps are not for payloads; the first is where such readings are filed.
        let rule = self.settings.rules.first().map(|rule| rule.id);
        self.samples.push(Sample {
            rule: rule.unwrap_or_default(),
            device: self.device.clone(),
            tag,
            event_time: None,
            value: bytes,
            unit: None,
            status: Status::bad(None, reason),
            kind: SampleKind::Update,
        });
    }

    /// What a birth says of a metric.
    pub(super) fn known(&self, metric: &Metric<'_>) -> KnownMetric {
        let unit = metric.properties().unwrap_or_default().unit;
        KnownMetric {
            alias: metric.alias,
            datatype: metric.datatype,
            unit: unit.map(Arc::from),
            parts: Default::default(),
            members: Default::default(),
        }
    }

    /// The samples of a metric in a birth: what holds now.
    pub(super) fn birth_value(
        &mut self,
        name: &str,
        known: &mut KnownMetric,
        metric: &Metric<'_>,
        sent_millis: Option<u64>,
    ) {
        let first = self.samples.len();
        self.value(name, known, metric, sent_millis);
        if !metric.is_historical {
            for sample in &mut self.samples[first..] {
                sample.kind = SampleKind::Snapshot;
            }
        }
    }

    /// The samples of a metric.
    pub(super) fn value(
        &mut self,
        name: &str,
        known: &mut KnownMetric,
        metric: &Metric<'_>,
        sent_millis: Option<u64>,
    ) {
        let Some(rule) = self.settings.rule(self.device.as_str(), name) else {
            return;
        };
        let mut made = self.sample(rule, known, metric, sent_millis);
        let parts = match metric.value {
            Some(value) if !metric.is_null => {
                let datatype = metric.datatype.or(known.datatype);
                self.flattener.parts(datatype, value, &known.members)
            }
            _ => {
                // Quality says more than null does.
                if made.status.quality == Quality::Good {
                    made.status = Status::bad(made.status.code, "null value");
                }
                return self.all_of(name, known, &made);
            }
        };
        let parts = match parts {
            Ok(parts) => parts,
            Err(reason) => {
                made.status = Status::bad(None, reason);
                return self.all_of(name, known, &made);
            }
        };
        if self.is_doubtful && made.status.quality == Quality::Good {
            made.status = Status {
                quality: Quality::Uncertain,
                code: made.status.code,
                reason: Some(DOUBT.to_owned()),
            };
        }
        for (member, datatype) in self.flattener.take_members() {
            let is_new = !known.members.contains_key(&member);
            if !is_new || self.room > 0 {
                self.room -= usize::from(is_new);
                known.members.insert(member, datatype);
            }
        }
        for part in parts {
            let mut sample = Sample {
                value: part.value,
                ..made.clone()
            };
            if part.status != Status::GOOD {
                sample.status = part.status;
            }
            self.push(name, &part.name, sample);
            if !part.name.is_empty() && self.room > 0 && known.parts.insert(part.name) {
                self.room -= 1;
            }
        }
    }

    /// A sample of a metric without its value: time, unit, and the quality that its properties say.
    fn sample(
        &self,
        rule: RuleId,
        known: &KnownMetric,
        metric: &Metric<'_>,
        sent_millis: Option<u64>,
    ) -> Sample {
        let properties = metric.properties();
        let Properties { quality, unit } = properties.unwrap_or_default();
        let unit = unit.map(Arc::from).or_else(|| known.unit.clone());
        let status = match (properties, quality) {
            (Err(Malformed), _) => Status::bad(None, "the metric's properties are malformed"),
            (Ok(_), Some(code)) => status_of(code),
            (Ok(_), None) => Status::GOOD,
        };
        Sample {
            rule,
            device: self.device.clone(),
            tag: self.settings.fallback.1.clone(),
            event_time: time(metric.timestamp.or(sent_millis)),
            value: None,
            unit,
            status,
            kind: SampleKind::Update,
        }
    }

    /// The same for every part of a metric that has come before.
    fn all_of(&mut self, name: &str, known: &KnownMetric, sample: &Sample) {
        if known.parts.is_empty() {
            return self.push(name, "", sample.clone());
        }
        for part in &known.parts {
            self.push(name, part, sample.clone());
        }
    }

    /// Bad readings for metrics of the node or of a device.
    pub(super) fn all_bad(
        &mut self,
        owner: &Owner,
        metrics: &Metrics,
        millis: Option<u64>,
        reason: &str,
    ) {
        let device = device_name(self.settings, self.id, owner.as_deref());
        for (name, known) in metrics {
            let Some(rule) = self.settings.rule(device.as_str(), name) else {
                continue;
            };
            let bad = Sample {
                rule,
                device: device.clone(),
                tag: self.settings.fallback.1.clone(),
                event_time: time(millis),
                value: None,
                unit: None,
                status: Status::bad(None, reason),
                kind: SampleKind::Update,
            };
            self.all_of(name, known, &bad);
        }
    }

    fn push(&mut self, name: &str, part: &str, mut sample: Sample) {
        let tag = if part.is_empty() {
            TagName::new(name)
        } else {
            TagName::new(&format!("{name}/{part}"))
        };
        match tag {
            Ok(tag) => {
                sample.tag = tag;
                self.samples.push(sample);
            }
            Err(error) => self.keep(&format!("in the payload: {error}")),
        }
    }
}

/// Milliseconds since 1970; none where they are out of range.
fn time(millis: Option<u64>) -> Option<Timestamp> {
    let nanos = i64::try_from(millis?).ok()?.checked_mul(1_000_000)?;
    Some(Timestamp::from_nanos(nanos))
}
