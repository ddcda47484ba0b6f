//! A key's value, where "missing" and "wrong" are not the same: a missing value may come from elsewhere, a wrong one is noted
//! and must not be replaced.

use forebay_config::{Key, Table};

/// It.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given<T> {
    Missing,
    /// Noted already.
    Wrong,
    Value(T),
}

impl<T> Given<T> {
    /// Reads a key; a required one may be missing here.
    pub(crate) fn read<K: Key<Read = Option<T>>>(table: &mut Table<'_>, key: &K) -> Self {
        if !table.has(key) {
            return Self::Missing;
        }
        table.read(key).map_or(Self::Wrong, Self::Value)
    }

    /// What holds where it is missing.
    pub(crate) fn or(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Missing => other(),
            known => known,
        }
    }

    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }

    pub(crate) fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong)
    }

    pub(crate) fn as_value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Missing | Self::Wrong => None,
        }
    }

    pub(crate) fn into_value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Missing | Self::Wrong => None,
        }
    }
}
