//! To which unit values are converted.

use std::sync::Arc;

use crate::ucum::{Conversion, UnitError};

/// A conversion, as configured.
#[derive(Debug, Clone, PartialEq)]
pub enum ToUnit {
    /// From the unit that the rule names.
    Known(KnownConversion),
    /// From each reading's own unit, to this code.
    Each(Arc<str>),
}

/// A conversion between two known units.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownConversion {
    pub(crate) code: Arc<str>,
    pub(crate) conversion: Conversion,
}

impl ToUnit {
    /// From one UCUM code to another.
    pub(crate) fn known(from: &str, to: &str) -> Result<Self, UnitError> {
        Conversion::between(from, to).map(|conversion| {
            Self::Known(KnownConversion {
                code: to.into(),
                conversion,
            })
        })
    }
}
