//! How far a reading can be trusted.

use thiserror::Error;

/// The three classes of OPC UA (Part 8, A.4.3), to which every protocol's own codes are mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Quality {
    /// To be used.
    #[default]
    Good,
    /// To be used with care: a substitute, a sensor out of calibration, a value past its range.
    Uncertain,
    /// Not to be used; usually without a value.
    Bad,
}

/// A number that is no quality.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0} is no quality: 0 is good, 1 uncertain, 2 bad")]
pub struct UnknownQuality(pub u32);

impl Quality {
    /// 0 good, 1 uncertain, 2 bad: the number in the table and on the wire.
    pub fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Uncertain => 1,
            Self::Bad => 2,
        }
    }
}

impl TryFrom<u32> for Quality {
    type Error = UnknownQuality;

    fn try_from(code: u32) -> Result<Self, UnknownQuality> {
        match code {
            0 => Ok(Self::Good),
            1 => Ok(Self::Uncertain),
            2 => Ok(Self::Bad),
            other => Err(UnknownQuality(other)),
        }
    }
}

/// Quality with the source's own words for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Status {
    /// The class.
    pub quality: Quality,
    /// The source's own code (OPC UA StatusCode, Modbus exception code, …).
    pub code: Option<i64>,
    /// Why the quality is not good, for people.
    pub reason: Option<String>,
}

impl Status {
    /// A reading to be used.
    pub const GOOD: Status = Status {
        quality: Quality::Good,
        code: None,
        reason: None,
    };

    /// A reading not to be used, and why.
    pub fn bad(code: Option<i64>, reason: impl Into<String>) -> Status {
        Status {
            quality: Quality::Bad,
            code,
            reason: Some(reason.into()),
        }
    }
}
