//! What can be asked.

use forebay_gateway::Stage;
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
    /// Where; everywhere where none is named.
    pub(crate) stage: Option<Stage>,
    /// At most so many a second; the others are counted.
    pub(crate) rate: u64,
}

impl Request {
    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::Devices => json!({"ask": "devices"}),
            Self::Reload => json!({"ask": "reload"}),
            Self::Tap(tap) => json!({
                "ask": "tap",
                "series": tap.series,
                "stage": tap.stage.map(stage_name),
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
        let stage = match json["stage"].as_str() {
            None => None,
            Some("decoded") => Some(Stage::Decoded),
            Some("reading") => Some(Stage::Reading),
            Some(other) => return Err(format!("unknown stage {other:?}")),
        };
        Ok(Self {
            series: globs.map(str::to_owned).collect(),
            stage,
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

pub(crate) fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Decoded => "decoded",
        Stage::Reading => "reading",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_asked() {
        let tap = |series: &[&str], stage, rate| {
            let series = series.iter().map(|glob| (*glob).to_owned()).collect();
            Request::Tap(TapRequest {
                series,
                stage,
                rate,
            })
        };
        for request in [
            Request::Devices,
            Request::Reload,
            tap(&[], None, 100),
            tap(&["boiler-*/*", "fan/rpm"], Some(Stage::Decoded), 1),
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
                stage: None,
                rate: 1,
            };
            tap.globs().unwrap()
        };
        assert!(of(&[]).is_match("boiler-1/steam/temp"));
        assert!(of(&["boiler-*/temp"]).is_match("boiler-1/temp"));
        assert!(!of(&["boiler-*/temp"]).is_match("fan/temp"));
    }
}
