//! What can be asked.

use forebay_gateway::{Closeness, STEPS, Stage, Tapped};
use globset::{Glob, GlobSet, GlobSetBuilder};
use serde_json::{Value as Json, json};

/// Lines a second unless said otherwise: what a person can follow.
pub(crate) const RATE: u64 = 100;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// How each device does.
    Devices,
    /// Readings as they pass.
    Tap(TapRequest),
    /// The configuration is to be read again.
    Reload,
}

/// Which readings are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TapRequest {
    /// Globs over `device/tag`; all where there is none.
    pub(crate) series: Vec<String>,
    /// Where.
    pub(crate) shown: Shown,
    /// At most so many a second; the others are counted.
    pub(crate) rate: u64,
}

/// Which stages are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Shown {
    /// Values as they were decoded, and readings.
    #[default]
    Ends,
    /// Payloads as they come.
    Raw,
    Decoded,
    /// Behind each step.
    Steps,
    /// Behind the steps of this key.
    Step(&'static str),
    Reading,
    All,
}

impl Shown {
    /// # Errors
    /// A stage that there is none of; for people.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "ends" => Self::Ends,
            "raw" => Self::Raw,
            "decoded" => Self::Decoded,
            "steps" => Self::Steps,
            "reading" => Self::Reading,
            "all" => Self::All,
            step => {
                let step = STEPS.iter().find(|known| **known == step);
                let steps = || STEPS.join(", ");
                Self::Step(step.ok_or_else(|| {
                    format!(
                        "raw, decoded, steps, reading, all or a step is expected: {}",
                        steps()
                    )
                })?)
            }
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ends => "ends",
            Self::Raw => "raw",
            Self::Decoded => "decoded",
            Self::Steps => "steps",
            Self::Step(step) => step,
            Self::Reading => "reading",
            Self::All => "all",
        }
    }

    /// What the gateway has to show for it.
    pub(crate) fn closeness(self) -> Closeness {
        Closeness {
            raw: matches!(self, Self::Raw | Self::All),
            steps: matches!(self, Self::Steps | Self::Step(_) | Self::All),
        }
    }

    /// Whether this is wanted of what passes, which others may look at more closely.
    pub(crate) fn takes(self, tapped: &Tapped) -> bool {
        let stage = match tapped {
            Tapped::Raw(_) => return matches!(self, Self::Raw | Self::All),
            Tapped::Value(value) => value.stage,
        };
        match (self, stage) {
            (Self::All, _) => true,
            (Self::Ends | Self::Decoded, Stage::Decoded) => true,
            (Self::Ends | Self::Reading, Stage::Reading) => true,
            (Self::Steps, Stage::Step(_)) => true,
            (Self::Step(wanted), Stage::Step(place)) => wanted == place.step,
            _ => false,
        }
    }
}

impl Request {
    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::Devices => json!({"ask": "devices"}),
            Self::Reload => json!({"ask": "reload"}),
            Self::Tap(tap) => json!({
                "ask": "tap",
                "series": tap.series,
                "stage": tap.shown.name(),
                "rate": tap.rate,
            }),
        }
    }

    /// # Errors
    /// What is wrong, for who asked.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let json: Json = serde_json::from_str(line).map_err(|error| error.to_string())?;
        match json["ask"].as_str() {
            Some("devices") => Ok(Self::Devices),
            Some("reload") => Ok(Self::Reload),
            Some("tap") => Ok(Self::Tap(TapRequest::parse(&json)?)),
            _ => Err("unknown request: the running gateway is another release".to_owned()),
        }
    }
}

impl TapRequest {
    fn parse(json: &Json) -> Result<Self, String> {
        let series = json["series"].as_array().map(Vec::as_slice);
        let globs = series.unwrap_or_default().iter().filter_map(Json::as_str);
        let shown = json["stage"].as_str().map(Shown::parse);
        Ok(Self {
            series: globs.map(str::to_owned).collect(),
            shown: shown.transpose()?.unwrap_or_default(),
            rate: json["rate"].as_u64().unwrap_or(RATE).max(1),
        })
    }

    /// # Errors
    /// A pattern that is none.
    pub(crate) fn globs(&self) -> Result<GlobSet, globset::Error> {
        let mut globs = GlobSetBuilder::new();
        let all = ["*".to_owned()];
        let series = match self.series.is_empty() {
            true => &all[..],
            false => &self.series,
        };
        for glob in series {
            globs.add(Glob::new(glob)?);
        }
        globs.build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_asked() {
        let tap = |series: &[&str], shown, rate| {
            let series = series.iter().map(|glob| (*glob).to_owned()).collect();
            Request::Tap(TapRequest {
                series,
                shown,
                rate,
            })
        };
        for request in [
            Request::Devices,
            Request::Reload,
            tap(&[], Shown::Ends, 100),
            tap(&["boiler-*/*", "fan/rpm"], Shown::Decoded, 1),
            tap(&[], Shown::Step("deadband"), 1),
            tap(&[], Shown::All, 1),
        ] {
            let line = request.to_json().to_string();
            assert_eq!(Request::parse(&line), Ok(request), "{line}");
        }
        for bad in [
            "",
            "{}",
            r#"{"ask":"shut down"}"#,
            r#"{"ask":"tap","stage":"x"}"#,
        ] {
            assert!(Request::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn globs_are_over_device_and_tag() {
        let of = |series: &[&str]| {
            let series = series.iter().map(|glob| (*glob).to_owned()).collect();
            let tap = TapRequest {
                series,
                shown: Shown::Ends,
                rate: 1,
            };
            tap.globs().unwrap()
        };
        assert!(of(&[]).is_match("boiler-1/steam/temp"));
        assert!(of(&["boiler-*/temp"]).is_match("boiler-1/temp"));
        assert!(!of(&["boiler-*/temp"]).is_match("fan/temp"));
    }
}
