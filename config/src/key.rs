//! Descriptors of keys: the name, type, default and meaning of a key stand once, beside the code that reads it.
//!
//! A [`Table`] knows the keys of the [`TableKeys`] that it was opened with, and no others: a key that a reader asks for
//! but that no descriptor lists is refused as unknown in every file. So a key that works is described. The reverse, that
//! every described key is read, is a test of the binary, which knows all tables.
//!
//! Descriptors are `const` items; nothing here reads a file or prints a page.

use std::marker::PhantomData;

use crate::{Expanded, FromConstant, FromValue, Shape, Table, TableForm};

/// Any descriptor, whatever the type of its value.
pub trait Describe {
    /// The key's name in its table.
    fn name(&self) -> &'static str;

    /// Everything that a reader of the documents wants to know.
    fn describe(&self) -> KeyInfo;
}

/// A descriptor of a key with a value.
pub trait Key: Describe {
    /// What a reader gets: the value itself where there is a default, else an option.
    type Read;

    /// Reads the key; what is wrong is noted in the table.
    fn read(&self, table: &mut Table<'_>) -> Self::Read;
}

/// What the documents say of one key.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyInfo {
    /// Its name in its table.
    pub name: &'static str,
    /// One or more plain sentences for an operator.
    pub meaning: &'static str,
    /// What a number counts, where the name does not say it.
    pub unit: Option<&'static str>,
    /// Whether it must be there, and what holds where it is not.
    pub presence: Presence,
    /// Which values it takes.
    pub shape: Shape,
}

/// Whether a key must be there.
#[derive(Debug, Clone, PartialEq)]
pub enum Presence {
    /// It must.
    Required,
    /// It may be missing; the text says what holds then, where the meaning does not say it already.
    Optional(Option<&'static str>),
    /// This value holds where it is missing.
    Default(Expanded),
    /// It must not be there; documents do not show it.
    Refused,
}

/// What all descriptors of values have in common.
#[derive(Debug, Clone, Copy)]
struct About {
    name: &'static str,
    meaning: &'static str,
    unit: Option<&'static str>,
    absent: Option<&'static str>,
}

/// A key that must be there. Reading gives none, and notes a problem, where it is missing or wrong.
pub struct Required<T> {
    about: About,
    value: PhantomData<fn() -> T>,
}

/// A key that may be missing. Reading gives none where it is missing, and where it is wrong, which is noted.
pub struct Optional<T> {
    about: About,
    value: PhantomData<fn() -> T>,
}

/// A key with a default. Reading gives the default where it is missing, and where it is wrong, which is noted.
pub struct Defaulted<T: FromConstant> {
    about: About,
    default: T::Constant,
}

/// A key whose value is one of some words; it may be missing.
pub struct Choice<T: 'static> {
    about: About,
    words: &'static [(&'static str, T)],
    /// Words that another release may know, each with what to write in this one.
    refused: &'static [(&'static str, &'static str)],
    is_required: bool,
}

/// A key whose value is one of some words, with a default.
pub struct DefaultedChoice<T: 'static> {
    choice: Choice<T>,
    /// The word that holds where the key is missing.
    word: &'static str,
    /// What that word stands for.
    value: T,
}

/// A key that another release may know. Reading notes what to do about it in this one.
pub struct Refused {
    name: &'static str,
    why: &'static str,
}

/// The keys of a table, in the order in which documents list them.
#[derive(Clone, Copy)]
pub struct TableKeys {
    name: &'static str,
    form: TableForm,
    meaning: &'static str,
    keys: &'static [&'static dyn Describe],
}

impl About {
    const fn new(name: &'static str, meaning: &'static str) -> Self {
        Self {
            name,
            meaning,
            unit: None,
            absent: None,
        }
    }

    fn info(&self, presence: Presence, shape: Shape) -> KeyInfo {
        KeyInfo {
            name: self.name,
            meaning: self.meaning,
            unit: self.unit,
            presence,
            shape,
        }
    }
}

impl<T> Required<T> {
    /// A key of this name.
    pub const fn new(name: &'static str, meaning: &'static str) -> Self {
        Self {
            about: About::new(name, meaning),
            value: PhantomData,
        }
    }

    /// What its number counts.
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.about.unit = Some(unit);
        self
    }
}

impl<T> Optional<T> {
    /// A key of this name.
    pub const fn new(name: &'static str, meaning: &'static str) -> Self {
        Self {
            about: About::new(name, meaning),
            value: PhantomData,
        }
    }

    /// What its number counts.
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.about.unit = Some(unit);
        self
    }

    /// What holds where it is missing.
    pub const fn absent(mut self, absent: &'static str) -> Self {
        self.about.absent = Some(absent);
        self
    }
}

impl<T: FromConstant> Defaulted<T> {
    /// A key of this name.
    pub const fn new(name: &'static str, default: T::Constant, meaning: &'static str) -> Self {
        Self {
            about: About::new(name, meaning),
            default,
        }
    }

    /// What its number counts.
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.about.unit = Some(unit);
        self
    }

    /// The value that holds where the key is missing.
    pub fn default(&self) -> T {
        T::from_constant(self.default)
    }
}

impl<T: FromConstant> Defaulted<Vec<T>> {
    /// A key of this name that takes a list.
    pub const fn list(
        name: &'static str,
        default: &'static [T::Constant],
        meaning: &'static str,
    ) -> Self {
        Self {
            about: About::new(name, meaning),
            default,
        }
    }
}

impl<T: Copy + 'static> Choice<T> {
    /// A key of this name that takes these words.
    pub const fn new(
        name: &'static str,
        words: &'static [(&'static str, T)],
        meaning: &'static str,
    ) -> Self {
        Self {
            about: About::new(name, meaning),
            words,
            refused: &[],
            is_required: false,
        }
    }

    /// Says in the documents that the key must be there; its reader words the problem where it is missing.
    pub const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// Words that another release may know, each with the error that says what to write in this one.
    pub const fn refused(mut self, refused: &'static [(&'static str, &'static str)]) -> Self {
        self.refused = refused;
        self
    }

    /// What holds where it is missing.
    pub const fn absent(mut self, absent: &'static str) -> Self {
        self.about.absent = Some(absent);
        self
    }

    /// The first word stands for the value of a missing key.
    pub const fn or_first(self) -> DefaultedChoice<T> {
        let (word, value) = self.words[0];
        DefaultedChoice {
            choice: self,
            word,
            value,
        }
    }

    /// The words and what they stand for.
    pub const fn words(&self) -> &'static [(&'static str, T)] {
        self.words
    }
}

impl<T: Copy + 'static> DefaultedChoice<T> {
    /// The value that holds where the key is missing.
    pub const fn default(&self) -> T {
        self.value
    }
}

impl Refused {
    /// A key of this name, and what an error says of it.
    pub const fn new(name: &'static str, why: &'static str) -> Self {
        Self { name, why }
    }
}

impl TableKeys {
    /// A table `[name]`.
    pub const fn one(
        name: &'static str,
        meaning: &'static str,
        keys: &'static [&'static dyn Describe],
    ) -> Self {
        Self {
            name,
            form: TableForm::One,
            meaning,
            keys,
        }
    }

    /// A table `[[name]]` that may stand there several times.
    pub const fn many(
        name: &'static str,
        meaning: &'static str,
        keys: &'static [&'static dyn Describe],
    ) -> Self {
        Self {
            name,
            form: TableForm::Many,
            meaning,
            keys,
        }
    }

    /// Whether this key is one of them.
    pub fn lists(&self, key: &dyn Describe) -> bool {
        self.names().any(|name| name == key.name())
    }

    /// Its keys and sub-tables.
    pub(crate) fn keys(&self) -> &'static [&'static dyn Describe] {
        self.keys
    }

    /// The names of its keys and sub-tables.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name())
    }
}

impl KeyInfo {
    /// The keys of two parts that are read from one table, such as those that all connectors have and those of one
    /// protocol. A key of both is taken from the first; a sub-table of both is joined.
    #[must_use]
    pub fn joined(first: Vec<Self>, second: Vec<Self>) -> Vec<Self> {
        let mut joined = first;
        for other in second {
            let Some(same) = joined.iter_mut().find(|info| info.name == other.name) else {
                joined.push(other);
                continue;
            };
            if let (Shape::Table { keys, .. }, Shape::Table { keys: more, .. }) =
                (&mut same.shape, other.shape)
            {
                *keys = Self::joined(std::mem::take(keys), more);
            }
        }
        joined
    }
}

impl<T: FromValue> Describe for Required<T> {
    fn name(&self) -> &'static str {
        self.about.name
    }

    fn describe(&self) -> KeyInfo {
        self.about.info(Presence::Required, T::shape())
    }
}

impl<T: FromValue> Key for Required<T> {
    type Read = Option<T>;

    fn read(&self, table: &mut Table<'_>) -> Option<T> {
        if table.has(self) {
            return table.typed(self.about.name);
        }
        table.missing(self.about.name, T::EXPECTED);
        None
    }
}

impl<T: FromValue> Describe for Optional<T> {
    fn name(&self) -> &'static str {
        self.about.name
    }

    fn describe(&self) -> KeyInfo {
        self.about
            .info(Presence::Optional(self.about.absent), T::shape())
    }
}

impl<T: FromValue> Key for Optional<T> {
    type Read = Option<T>;

    fn read(&self, table: &mut Table<'_>) -> Option<T> {
        table.typed(self.about.name)
    }
}

impl<T: FromConstant> Describe for Defaulted<T> {
    fn name(&self) -> &'static str {
        self.about.name
    }

    fn describe(&self) -> KeyInfo {
        self.about
            .info(Presence::Default(T::written(self.default)), T::shape())
    }
}

impl<T: FromConstant> Key for Defaulted<T> {
    type Read = T;

    fn read(&self, table: &mut Table<'_>) -> T {
        table
            .typed(self.about.name)
            .unwrap_or_else(|| self.default())
    }
}

impl<T: Copy + 'static> Describe for Choice<T> {
    fn name(&self) -> &'static str {
        self.about.name
    }

    fn describe(&self) -> KeyInfo {
        let presence = if self.is_required {
            Presence::Required
        } else {
            Presence::Optional(self.about.absent)
        };
        let words = self.words.iter().map(|(word, _)| *word).collect();
        self.about.info(presence, Shape::Words(words))
    }
}

impl<T: Copy + 'static> Key for Choice<T> {
    type Read = Option<T>;

    fn read(&self, table: &mut Table<'_>) -> Option<T> {
        table.word(self.about.name, self.words, self.refused)
    }
}

impl<T: Copy + 'static> Describe for DefaultedChoice<T> {
    fn name(&self) -> &'static str {
        self.choice.about.name
    }

    fn describe(&self) -> KeyInfo {
        KeyInfo {
            presence: Presence::Default(Expanded::Text(self.word.to_owned())),
            ..self.choice.describe()
        }
    }
}

impl<T: Copy + 'static> Key for DefaultedChoice<T> {
    type Read = T;

    fn read(&self, table: &mut Table<'_>) -> T {
        self.choice.read(table).unwrap_or(self.value)
    }
}

impl Describe for Refused {
    fn name(&self) -> &'static str {
        self.name
    }

    fn describe(&self) -> KeyInfo {
        KeyInfo {
            name: self.name,
            meaning: self.why,
            unit: None,
            presence: Presence::Refused,
            shape: Shape::AnyOf(Vec::new()),
        }
    }
}

impl Key for Refused {
    type Read = ();

    fn read(&self, table: &mut Table<'_>) {
        if table.has(self) {
            table.problem(self, self.why);
        }
    }
}

impl Describe for TableKeys {
    fn name(&self) -> &'static str {
        self.name
    }

    fn describe(&self) -> KeyInfo {
        let all = self.keys.iter().map(|key| key.describe());
        let keys = all
            .filter(|info| info.presence != Presence::Refused)
            .collect();
        KeyInfo {
            name: self.name,
            meaning: self.meaning,
            unit: None,
            presence: Presence::Optional(None),
            shape: Shape::Table {
                form: self.form,
                keys,
            },
        }
    }
}
