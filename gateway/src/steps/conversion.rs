//! Conversion to the unit of a rule, from the unit that a series' readings have.

use std::sync::Arc;

use forebay_schemas::Reading;

use super::series::doubt;
use crate::{
    rule::{Rule, ToUnit},
    ucum::{Conversion, UnitError},
};

/// What was found for the unit that the last reading had.
#[derive(Debug, Clone, Default)]
pub(super) struct SeriesConversion(Option<Box<FoundConversion>>);

/// How to convert from a unit.
#[derive(Debug, Clone)]
struct FoundConversion {
    from: Arc<str>,
    found: Result<Conversion, UnitError>,
}

impl SeriesConversion {
    /// From the reading's unit to that of the rule.
    pub(super) fn of(&mut self, reading: &Reading, rule: &Rule) -> Option<Conversion> {
        match rule.to_unit.as_ref()? {
            ToUnit::Known(known) => Some(known.conversion),
            ToUnit::Each(code) => {
                let from = reading.unit.as_ref()?;
                if self.0.as_ref().is_none_or(|known| known.from != *from) {
                    self.0 = Some(Box::new(FoundConversion {
                        from: from.clone(),
                        found: Conversion::between(from, code),
                    }));
                }
                let known = self.0.as_ref()?;
                known.found.as_ref().ok().copied()
            }
        }
    }

    /// The unit of a value that came in `from`: a value that could not be converted keeps its own, and is uncertain.
    pub(super) fn name_unit(&self, reading: &mut Reading, from: Option<Arc<str>>, code: &Arc<str>) {
        let known = self.0.as_ref().map(|known| &known.found);
        let failed = match (known, from) {
            (Some(Err(error)), Some(_)) => error.to_string(),
            (Some(Ok(_)), Some(_)) => {
                reading.unit = Some(code.clone());
                return;
            }
            _ => "the source gives no unit".to_owned(),
        };
        if reading.value.is_some() {
            doubt(&mut reading.status, || format!("not converted: {failed}"));
        }
    }
}
