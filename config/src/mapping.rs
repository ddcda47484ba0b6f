//! A key whose value is a table of names that the user chooses, such as `feeders = { f01 = ["f01-*"] }`.

use std::{collections::BTreeMap, marker::PhantomData};

use crate::{Describe, FromValue, Key, KeyInfo, Presence, Shape, Table};

/// A table whose keys are names and whose values are of one type; it must be there. Reading gives none, and notes a
/// problem for each wrong value, where it is missing or wrong.
pub struct Mapping<T> {
    name: &'static str,
    meaning: &'static str,
    value: PhantomData<fn() -> T>,
}

impl<T> Mapping<T> {
    /// A key of this name.
    pub const fn new(name: &'static str, meaning: &'static str) -> Self {
        Self {
            name,
            meaning,
            value: PhantomData,
        }
    }
}

impl<T: FromValue> Describe for Mapping<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn describe(&self) -> KeyInfo {
        KeyInfo {
            name: self.name,
            meaning: self.meaning,
            unit: None,
            presence: Presence::Required,
            shape: Shape::Mapping(Box::new(T::shape())),
        }
    }
}

impl<T: FromValue> Key for Mapping<T> {
    type Read = Option<BTreeMap<String, T>>;

    fn read(&self, table: &mut Table<'_>) -> Self::Read {
        if table.has(self) {
            return table.mapping(self.name);
        }
        table.missing(self.name, "a table of names { name = … }");
        None
    }
}
