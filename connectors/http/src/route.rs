//! Which bodies a rule reads, and which series it makes of them.

use std::fmt;

use forebay_connectors::{Declared, RuleId, Sample, SampleKind};
use forebay_payload::Selection;
use forebay_schemas::{DeviceId, Status, TagName, Timestamp, Value};
use percent_encoding::percent_decode_str;
use thiserror::Error;

use crate::refusal::Refusal;

/// How bodies are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Raw,
    Line,
    Csv,
}

/// A segment of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Word(String),
    Device,
    Tag,
}

/// A path with places for names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Segment>);

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum TemplateError {
    #[error("a path begins with a slash")]
    NoSlash,
    #[error("the segment {0:?} is neither a word, {{device}} nor {{tag}}")]
    Segment(String),
    #[error("{{{0}}} stands there twice")]
    Twice(&'static str),
}

/// Names that a path gives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Captured {
    pub(crate) device: Option<DeviceId>,
    pub(crate) tag: Option<TagName>,
}

/// One `[[connector.tag]]`.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: RuleId,
    pub(crate) template: Template,
    pub(crate) format: Format,
    /// The device where neither path nor body names it.
    pub(crate) device: Option<DeviceId>,
    pub(crate) tag: Option<TagName>,
    /// What names the device within a body.
    pub(crate) device_tag: String,
    /// What of a JSON or raw body is read.
    pub(crate) selection: Selection,
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let path = text.strip_prefix('/').ok_or(TemplateError::NoSlash)?;
        let mut segments = Vec::new();
        for segment in path.split('/') {
            segments.push(match segment {
                "{device}" => Segment::Device,
                "{tag}" => Segment::Tag,
                word if !word.contains(['{', '}', '?', '#', '%']) => Segment::Word(word.to_owned()),
                other => return Err(TemplateError::Segment(other.to_owned())),
            });
        }
        for (name, place) in [("device", Segment::Device), ("tag", Segment::Tag)] {
            if segments.iter().filter(|segment| **segment == place).count() > 1 {
                return Err(TemplateError::Twice(name));
            }
        }
        Ok(Self(segments))
    }

    pub(crate) fn has_device(&self) -> bool {
        self.0.contains(&Segment::Device)
    }

    pub(crate) fn has_tag(&self) -> bool {
        self.0.contains(&Segment::Tag)
    }

    /// The names in a path; none where it does not fit.
    ///
    /// # Errors
    /// A segment that is no name.
    pub(crate) fn captures(&self, path: &str) -> Result<Option<Captured>, Refusal> {
        let Some(path) = path.strip_prefix('/') else {
            return Ok(None);
        };
        let found: Vec<&str> = path.split('/').collect();
        if found.len() != self.0.len() {
            return Ok(None);
        }
        let mut captured = Captured::default();
        for (segment, found) in self.0.iter().zip(found) {
            let name = percent_decode_str(found).decode_utf8();
            let invalid = |error: String| Refusal::bad(format!("in the path: {error}"));
            match segment {
                Segment::Word(word) if *word != found => return Ok(None),
                Segment::Word(_) => {}
                Segment::Device => {
                    let name = name.map_err(|error| invalid(error.to_string()))?;
                    let device =
                        DeviceId::new(&name).map_err(|error| invalid(error.to_string()))?;
                    captured.device = Some(device);
                }
                Segment::Tag => {
                    let name = name.map_err(|error| invalid(error.to_string()))?;
                    let tag = TagName::new(&name).map_err(|error| invalid(error.to_string()))?;
                    captured.tag = Some(tag);
                }
            }
        }
        Ok(Some(captured))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|segment| match segment {
            Segment::Word(word) => write!(f, "/{word}"),
            Segment::Device => f.write_str("/{device}"),
            Segment::Tag => f.write_str("/{tag}"),
        })
    }
}

impl Rule {
    /// Its series where configuration alone names it.
    pub(crate) fn declared(&self) -> Option<Declared> {
        let names_itself = matches!(self.format, Format::Line | Format::Csv);
        if names_itself || self.template.has_device() || self.template.has_tag() {
            return None;
        }
        Some(Declared {
            rule: self.id,
            device: self.device.clone()?,
            tag: self.tag.clone()?,
        })
    }

    /// What it brings, in words that last as long as it brings the same.
    pub(crate) fn brings(&self) -> String {
        let device = self.device.as_ref().map_or("-", DeviceId::as_str);
        let tag = self.tag.as_ref().map_or("-", TagName::as_str);
        let value = self.selection.value_path();
        format!("{} {device} {tag} {value}", self.template)
    }

    /// A sample of a device that was named, or of the rule's.
    pub(crate) fn sample(
        &self,
        device: Option<DeviceId>,
        tag: TagName,
        time: Option<Timestamp>,
        content: (Option<Value>, Status),
    ) -> Result<Sample, Refusal> {
        let device = device.or_else(|| self.device.clone()).ok_or_else(|| {
            let by = &self.device_tag;
            Refusal::bad(format!("the device is not known: {by:?} is missing"))
        })?;
        let (value, status) = content;
        Ok(Sample {
            rule: self.id,
            device,
            tag,
            event_time: time,
            value,
            unit: None,
            status,
            kind: SampleKind::Update,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_gives_names_or_does_not_fit() {
        let template = Template::parse("/v1/{device}/x/{tag}").unwrap();
        /// A path, and device and tag where it fits.
        type Case<'a> = (&'a str, Result<Option<(&'a str, &'a str)>, &'a str>);
        let table: [Case<'_>; 8] = [
            ("/v1/pump%201/x/temp%2Fin", Ok(Some(("pump 1", "temp/in")))),
            ("/v1/pümpe/x/t", Ok(Some(("pümpe", "t")))),
            ("/v1/pump/y/t", Ok(None)),
            ("/v1/pump/x", Ok(None)),
            ("/v1/pump/x/t/", Ok(None)),
            ("v1/pump/x/t", Ok(None)),
            ("/v1//x/t", Err("must not be empty")),
            ("/v1/%FF/x/t", Err("invalid utf-8")),
        ];
        for (path, expected) in table {
            let found = template.captures(path);
            match (found, expected) {
                (Ok(None), Ok(None)) => {}
                (Ok(Some(captured)), Ok(Some((device, tag)))) => {
                    assert_eq!(captured.device.unwrap().as_str(), device);
                    assert_eq!(captured.tag.unwrap().as_str(), tag);
                }
                (Err(refusal), Err(what)) => assert!(refusal.reason.contains(what), "{refusal:?}"),
                (found, _) => panic!("{path}: {found:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for (text, expected) in [
            ("x", TemplateError::NoSlash),
            ("/{dev}", TemplateError::Segment("{dev}".into())),
            ("/a?b", TemplateError::Segment("a?b".into())),
            ("/{tag}/{tag}", TemplateError::Twice("tag")),
        ] {
            assert_eq!(Template::parse(text), Err(expected), "{text}");
        }
    }
}
