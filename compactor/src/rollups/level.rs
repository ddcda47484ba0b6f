//! The lengths of time by which readings are rolled up.

use forebay_schemas::table::{READINGS_1H, READINGS_1M, Table};

/// A length of time by which readings are rolled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RollupLevel {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl RollupLevel {
    /// From the shortest to the longest; each is a multiple of the one before it, and a day is one of the longest.
    pub const ALL: [Self; 2] = [Self::Minute, Self::Hour];

    /// As the configuration calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "1m",
            Self::Hour => "1h",
        }
    }

    /// Where its rows are.
    pub fn table(self) -> &'static Table {
        match self {
            Self::Minute => &READINGS_1M,
            Self::Hour => &READINGS_1H,
        }
    }

    /// Its length in µs.
    pub(crate) fn width(self) -> i64 {
        match self {
            Self::Minute => 60_000_000,
            Self::Hour => 3_600_000_000,
        }
    }
}

/// The levels that are kept; none by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RollupLevels {
    minute: bool,
    hour: bool,
}

impl RollupLevels {
    /// Every level.
    pub const ALL: Self = Self {
        minute: true,
        hour: true,
    };

    /// No level.
    pub const NONE: Self = Self {
        minute: false,
        hour: false,
    };

    /// These levels.
    pub fn of(levels: &[RollupLevel]) -> Self {
        Self {
            minute: levels.contains(&RollupLevel::Minute),
            hour: levels.contains(&RollupLevel::Hour),
        }
    }

    /// Those that are kept, the shortest first.
    pub fn all(self) -> impl Iterator<Item = RollupLevel> {
        RollupLevel::ALL
            .into_iter()
            .filter(move |level| self.has(*level))
    }

    /// Whether a level is kept.
    pub fn has(self, level: RollupLevel) -> bool {
        match level {
            RollupLevel::Minute => self.minute,
            RollupLevel::Hour => self.hour,
        }
    }

    /// The names of their tables.
    pub(crate) fn tables(self) -> Vec<String> {
        self.all()
            .map(|level| level.table().name.to_owned())
            .collect()
    }
}
