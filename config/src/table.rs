//! One TOML table that is being read key by key.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hasher as _},
    ops::Range,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    Describe, Document, FromValue, Key, Required, TableKeys, expand::Expanded, fingerprint,
};

/// Names further apart than this are not the same name mistyped.
const TYPOS_MAX: usize = 3;

/// A table: the keys of its [`TableKeys`] are known, and [`Table::finish`] reports the rest. Every reader notes its own
/// errors and then answers nothing, so that one pass finds them all.
pub struct Table<'d> {
    document: &'d Document<'d>,
    name: String,
    at: Range<usize>,
    table: &'d DeTable<'d>,
    /// The lists of known keys; there may be many thousand tables at a time, so names are not copied.
    known: Vec<&'static [&'static dyn Describe]>,
    /// Of the root, what was read from it.
    asked: BTreeSet<&'static str>,
}

impl<'d> Table<'d> {
    /// The root, which no crate describes as a whole: what is read from it is known.
    pub(crate) fn root(document: &'d Document<'_>, table: &'d DeTable<'_>) -> Self {
        Self {
            document,
            name: String::new(),
            at: 0..0,
            table,
            known: Vec::new(),
            asked: BTreeSet::new(),
        }
    }

    /// The table's name as its header has it; empty for the root.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Keys of another reader of this table, such as those of a protocol beside those of all connectors.
    pub fn also(&mut self, keys: &TableKeys) {
        self.known.push(keys.keys());
    }

    /// A key, read as its descriptor says.
    pub fn read<K: Key>(&mut self, key: &K) -> K::Read {
        key.read(self)
    }

    /// A required key that another reader of this table misses: none where it is missing.
    pub fn given<T: FromValue>(&mut self, key: &Required<T>) -> Option<T> {
        self.typed(key.name())
    }

    /// A required key whose value is one of these words, which are known only when the program runs.
    pub fn one_of<T: Clone>(&mut self, key: &Required<String>, words: &[(&str, T)]) -> Option<T> {
        self.word(key.name(), words, &[])
    }

    /// A number that is the same as long as the table says the same, `${…}` replaced, whatever its layout and comments: by it a
    /// reload knows what was changed. Not for keeping: it may differ between releases.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        fingerprint::of_table(self.document, self.table, &mut hasher);
        hasher.finish()
    }

    /// The fingerprints of the tables and keys in it, by name.
    pub fn fingerprints(&self) -> BTreeMap<String, u64> {
        let of = |(name, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
            let mut hasher = DefaultHasher::new();
            fingerprint::of_value(self.document, value, &mut hasher);
            (name.get_ref().to_string(), hasher.finish())
        };
        self.table.iter().map(of).collect()
    }

    /// A path that the file does not name, such as a default: a relative one starts from the file's own folder too.
    pub fn beside(&self, path: impl AsRef<Path>) -> PathBuf {
        self.document.folder().join(path)
    }

    /// A sub-table, `[name.key]`.
    pub fn table(&mut self, keys: &TableKeys) -> Option<Table<'d>> {
        let value = self.value(keys.name())?;
        match value.get_ref() {
            DeValue::Table(table) => Some(self.child(keys, value.span(), table)),
            _ => self.noted(keys.name(), value, Err("a table is expected".to_owned())),
        }
    }

    /// The tables of `[[name.key]]`; none where it is missing.
    pub fn tables(&mut self, keys: &TableKeys) -> Vec<Table<'d>> {
        let Some(value) = self.value(keys.name()) else {
            return Vec::new();
        };
        let shown = self.shown(keys.name());
        let DeValue::Array(array) = value.get_ref() else {
            self.document.problem(
                value.span(),
                format!("{shown}: one or more tables [[…]] are expected"),
            );
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in array.iter() {
            match item.get_ref() {
                DeValue::Table(table) => tables.push(self.child(keys, item.span(), table)),
                _ => self
                    .document
                    .problem(item.span(), format!("{shown}: a table is expected")),
            }
        }
        tables
    }

    /// Whether the key is there and its value is a table: of a key that takes a table or something else.
    pub fn is_table(&mut self, key: &dyn Describe) -> bool {
        self.value(key.name())
            .is_some_and(|value| matches!(value.get_ref(), DeValue::Table(_)))
    }

    /// Whether the key is there.
    pub fn has(&mut self, key: &dyn Describe) -> bool {
        self.value(key.name()).is_some()
    }

    /// Notes a problem with a key's value, or with the table where the key is missing.
    pub fn problem(&self, key: &dyn Describe, message: impl AsRef<str>) {
        let name = key.name();
        let at = self
            .table
            .get(name)
            .map_or_else(|| self.at.clone(), Spanned::span);
        self.document
            .problem(at, format!("{}: {}", self.shown(name), message.as_ref()));
    }

    /// Every key that no descriptor lists is an error. To be called last.
    pub fn finish(self) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !self.known_names().any(|known| known == name) {
                let near = nearest(name, self.known_names());
                let known = if near.is_empty() {
                    let all: BTreeSet<&str> = self.known_names().collect();
                    let all: Vec<&str> = all.into_iter().collect();
                    format!("; known here: {}", all.join(", "))
                } else {
                    near
                };
                self.document.problem(
                    key.span(),
                    format!("{}: unknown key{known}", self.shown(name)),
                );
            }
        }
    }

    fn known_names(&self) -> impl Iterator<Item = &'static str> {
        let listed = self.known.iter().flat_map(|keys| keys.iter());
        listed
            .map(|key| key.name())
            .chain(self.asked.iter().copied())
    }

    /// A key's value as this type; a wrong value is noted and answers none.
    pub(crate) fn typed<T: FromValue>(&mut self, key: &'static str) -> Option<T> {
        let value = self.value(key)?;
        let expanded = Expanded::of(self.document, value);
        let read = expanded.and_then(|expanded| T::from_value(&expanded));
        Some(self.noted(key, value, read)?.beside(self.document.folder()))
    }

    /// A table of names, each with a value of this type; what is wrong is noted and answers none.
    pub(crate) fn mapping<T: FromValue>(
        &mut self,
        key: &'static str,
    ) -> Option<BTreeMap<String, T>> {
        let value = self.value(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            return self.noted(key, value, Err("a table of names is expected".to_owned()));
        };
        let mut read = BTreeMap::new();
        for (name, value) in table.iter() {
            let name: &str = name.get_ref();
            let expanded = Expanded::of(self.document, value);
            let typed = expanded.and_then(|expanded| T::from_value(&expanded));
            let typed = self.noted(&format!("{key}.{name}"), value, typed);
            read.extend(typed.map(|typed| (name.to_owned(), typed)));
        }
        (read.len() == table.len()).then_some(read)
    }

    /// A key's value as what the word in it stands for; any other value is noted and answers none.
    pub(crate) fn word<T: Clone>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        refused: &[(&str, &str)],
    ) -> Option<T> {
        let value = self.value(key)?;
        let read = Expanded::of(self.document, value).and_then(|expanded| {
            let text = String::from_value(&expanded)?;
            if let Some((_, why)) = refused.iter().find(|(word, _)| *word == text) {
                return Err((*why).to_owned());
            }
            let found = words
                .iter()
                .find(|(word, _)| *word == text)
                .map(|(_, choice)| choice.clone());
            let all = words
                .iter()
                .map(|(word, _)| *word)
                .chain(refused.iter().map(|(word, _)| *word));
            found.ok_or_else(|| none_of(&text, all))
        });
        self.noted(key, value, read)
    }

    /// Notes that a key is missing.
    pub(crate) fn missing(&self, key: &str, expected: &str) {
        self.document.problem(
            self.at.clone(),
            format!("{}: {key} is missing, {expected} is expected", self.name),
        );
    }

    fn value(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        if self.name.is_empty() {
            self.asked.insert(key);
        }
        self.table.get(key)
    }

    fn child(&self, keys: &TableKeys, at: Range<usize>, table: &'d DeTable<'d>) -> Table<'d> {
        Table {
            document: self.document,
            name: self.shown(keys.name()),
            at,
            table,
            known: vec![keys.keys()],
            asked: BTreeSet::new(),
        }
    }

    fn noted<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        read: Result<T, String>,
    ) -> Option<T> {
        read.map_err(|message| {
            self.document
                .problem(value.span(), format!("{}: {message}", self.shown(key)))
        })
        .ok()
    }

    fn shown(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }
}

/// The error for a word that is not among these.
fn none_of<'n>(text: &str, words: impl Iterator<Item = &'n str> + Clone) -> String {
    let all: Vec<String> = words.clone().map(|word| format!("{word:?}")).collect();
    format!(
        "{text:?} is not one of {}{}",
        all.join(", "),
        nearest(text, words)
    )
}

/// "; did you mean …?" to end an error with, or nothing where no known name is near.
pub fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let near = known
        .map(|other| (strsim::osa_distance(name, other), other))
        .min();
    match near {
        Some((distance, other)) if distance <= TYPOS_MAX.min(name.chars().count() / 2) => {
            format!("; did you mean {other:?}?")
        }
        _ => String::new(),
    }
}
