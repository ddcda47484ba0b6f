//! One TOML table that is being read key by key.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{Document, FromValue, expand::Expanded};

/// Names further apart than this are not the same name mistyped.
const TYPOS_MAX: usize = 3;

/// A table: what is asked for is known, and [`Table::finish`] reports the rest. Every reader notes its own errors and
/// then answers nothing, so that one pass finds them all.
pub struct Table<'d> {
    document: &'d Document<'d>,
    name: String,
    at: Range<usize>,
    table: &'d DeTable<'d>,
    asked: BTreeMap<&'static str, bool>,
}

impl<'d> Table<'d> {
    pub(crate) fn root(document: &'d Document<'_>, table: &'d DeTable<'_>) -> Self {
        Self { document, name: String::new(), at: 0..0, table, asked: BTreeMap::new() }
    }

    /// The table's name as its header has it; empty for the root.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A key that must be there.
    pub fn required<T: FromValue>(&mut self, key: &'static str) -> Option<T> {
        if self.has(key) {
            return self.optional(key);
        }
        self.document.problem(self.at.clone(), format!("{}: {key} is missing, {} is expected", self.name, T::EXPECTED));
        None
    }

    /// A key that may be missing; a wrong value is noted and answers none.
    pub fn optional<T: FromValue>(&mut self, key: &'static str) -> Option<T> {
        let value = self.value(key)?;
        let expanded = Expanded::of(self.document, value);
        let read = expanded.and_then(|expanded| T::from_value(&expanded));
        self.noted(key, value, read)
    }

    /// A key with a default.
    pub fn or<T: FromValue>(&mut self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// A path; a relative one starts from the file's own folder.
    pub fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        let path: PathBuf = self.optional(key)?;
        Some(self.beside(path))
    }

    /// A path that the file does not name, such as a default: a relative one starts from the file's own folder too.
    pub fn beside(&self, path: impl AsRef<Path>) -> PathBuf {
        self.document.folder().join(path)
    }

    /// A key whose value is one of these words.
    pub fn choice<T: Clone>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let value = self.value(key)?;
        let read = Expanded::of(self.document, value).and_then(|expanded| {
            let text = String::from_value(&expanded)?;
            words.iter().find(|(word, _)| *word == text).map(|(_, choice)| choice.clone()).ok_or_else(|| {
                let all: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
                let near = nearest(&text, words.iter().map(|(word, _)| *word));
                format!("{text:?} is none of {}{near}", all.join(", "))
            })
        });
        self.noted(key, value, read)
    }

    /// A sub-table, `[name.key]`.
    pub fn table(&mut self, key: &'static str) -> Option<Table<'d>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(self.child(key, value.span(), table)),
            _ => self.noted(key, value, Err("a table is expected".to_owned())),
        }
    }

    /// The tables of `[[name.key]]`; none where it is missing.
    pub fn tables(&mut self, key: &'static str) -> Vec<Table<'d>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(array) = value.get_ref() else {
            self.document.problem(value.span(), format!("{}: one or more tables [[…]] are expected", self.shown(key)));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in array.iter() {
            match item.get_ref() {
                DeValue::Table(table) => tables.push(self.child(key, item.span(), table)),
                _ => self.document.problem(item.span(), format!("{}: a table is expected", self.shown(key))),
            }
        }
        tables
    }

    /// Whether the key is there; then it is known.
    pub fn has(&mut self, key: &'static str) -> bool {
        self.asked.insert(key, true);
        self.table.contains_key(key)
    }

    /// Notes a problem with a key's value, or with the table where the key is missing.
    pub fn problem(&self, key: &str, message: impl AsRef<str>) {
        let at = self.table.get(key).map_or_else(|| self.at.clone(), Spanned::span);
        self.document.problem(at, format!("{}: {}", self.shown(key), message.as_ref()));
    }

    /// Every key that nobody asked for is an error. To be called last.
    pub fn finish(self) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !self.asked.contains_key(name) {
                let near = nearest(name, self.asked.keys().copied());
                let known = if near.is_empty() {
                    let all: Vec<&str> = self.asked.keys().copied().collect();
                    format!("; known here: {}", all.join(", "))
                } else {
                    near
                };
                self.document.problem(key.span(), format!("{}: unknown key{known}", self.shown(name)));
            }
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.asked.insert(key, true);
        self.table.get(key)
    }

    fn child(&self, key: &str, at: Range<usize>, table: &'d DeTable<'d>) -> Table<'d> {
        Table { document: self.document, name: self.shown(key), at, table, asked: BTreeMap::new() }
    }

    fn noted<T>(&self, key: &str, value: &Spanned<DeValue<'_>>, read: Result<T, String>) -> Option<T> {
        read.map_err(|message| self.document.problem(value.span(), format!("{}: {message}", self.shown(key)))).ok()
    }

    fn shown(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

/// "; did you mean …?" to end an error with, or nothing where no known name is near.
pub fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let near = known.map(|other| (strsim::osa_distance(name, other), other)).min();
    match near {
        Some((distance, other)) if distance <= TYPOS_MAX.min(name.chars().count() / 2) => {
            format!("; did you mean {other:?}?")
        }
        _ => String::new(),
    }
}
