//! One parsed file and the problems found in it so far.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use forebay_schemas::ErrorKind;
use toml::de::{DeTable, Error};

use crate::{ConfigErrors, Problem, Table};

/// A shorter text is no secret and stands in many a word: it is veiled only where a message quotes it alone.
const VEILED_ANYWHERE_CHARS: usize = 4;

/// Where `${VAR}` gets its values: the process's environment, or a test's.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One file under way to its typed settings.
pub struct Document<'a> {
    file: PathBuf,
    text: &'a str,
    environment: Environment<'a>,
    problems: RefCell<BTreeSet<(usize, Problem)>>,
    /// What came from outside, and the `${…}` in whose place it stands.
    replaced: RefCell<BTreeMap<String, String>>,
}

impl ConfigErrors {
    /// A file that is wrong stays wrong until someone mends it.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Reject
    }
}

impl<'a> Document<'a> {
    /// The document of a file's text.
    pub fn new(file: &Path, text: &'a str, environment: Environment<'a>) -> Self {
        Self {
            file: file.to_owned(),
            text,
            environment,
            problems: RefCell::default(),
            replaced: RefCell::default(),
        }
    }

    /// Reads settings out of the file's root table; what `settings` does not ask for is an error.
    ///
    /// # Errors
    /// Everything that is wrong, at once. `settings` answers `None` where something it needs is wrong.
    pub fn read<T>(
        &self,
        settings: impl FnOnce(&mut Table<'_>) -> Option<T>,
    ) -> Result<T, ConfigErrors> {
        let (parsed, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            self.syntax(error);
        }
        // A file that could not be parsed whole would only give errors that follow from the first.
        let read = if errors.is_empty() {
            let mut root = Table::root(self, parsed.get_ref());
            let read = settings(&mut root);
            root.finish();
            read
        } else {
            None
        };
        let problems = self.problems.take().into_iter();
        let problems: Vec<Problem> = problems.map(|(_, problem)| self.veiled(problem)).collect();
        match read {
            Some(settings) if problems.is_empty() => Ok(settings),
            _ => Err(ConfigErrors {
                file: self.file.clone(),
                problems,
            }),
        }
    }

    /// Reads some of the file's tables alone, for who needs no others: whatever else the file holds, even what is no TOML,
    /// does not count.
    ///
    /// # Errors
    /// As [`Document::read`], of these tables.
    pub fn read_only<T>(
        &self,
        tables: &[&str],
        settings: impl FnOnce(&mut Table<'_>) -> Option<T>,
    ) -> Result<T, ConfigErrors> {
        let alone = alone(self.text, tables);
        Document::new(&self.file, &alone, self.environment).read(settings)
    }

    /// The folder that relative paths in the file start from.
    pub(crate) fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }

    pub(crate) fn file_text(&self, path: &str) -> Result<String, String> {
        let path = self.folder().join(path);
        fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))
    }

    /// Notes that a value came from outside: no error shows it, for any key may hold a secret, also by mistake.
    pub(crate) fn replaced(&self, value: &str, by: &str) {
        self.replaced
            .borrow_mut()
            .insert(value.to_owned(), format!("${{{by}}}"));
    }

    /// The problem with `${…}` where its message shows what was put in its place.
    fn veiled(&self, problem: Problem) -> Problem {
        let Problem {
            line,
            column,
            mut message,
        } = problem;
        let replaced = self.replaced.borrow();
        // The longest first: one may hold another.
        let mut values: Vec<(&String, &String)> = replaced
            .iter()
            .filter(|(value, _)| !value.is_empty())
            .collect();
        values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        for (value, shown) in values {
            let quoted = format!("{value:?}");
            if value.chars().count() < VEILED_ANYWHERE_CHARS {
                message = message.replace(&quoted, &format!("\"{shown}\""));
            } else {
                message = message
                    .replace(&quoted[1..quoted.len() - 1], shown)
                    .replace(value.as_str(), shown);
            }
        }
        Problem {
            line,
            column,
            message,
        }
    }

    /// Notes a problem at these bytes of the text.
    pub(crate) fn problem(&self, at: Range<usize>, message: impl Into<String>) {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        self.problems.borrow_mut().insert((
            at.start,
            Problem {
                line,
                column,
                message: message.into(),
            },
        ));
    }

    fn syntax(&self, error: &Error) {
        self.problem(error.span().unwrap_or(0..0), error.message());
    }
}

/// A text in which all lines are blank but those of some tables: problems keep their places.
fn alone(text: &str, tables: &[&str]) -> String {
    let is_wanted = |path: &str| {
        let first = path.split('.').next().unwrap_or_default();
        tables.contains(&first.trim().trim_matches(['"', '\'']))
    };
    let mut table: Option<bool> = None;
    let mut kept = String::with_capacity(text.len());
    for line in text.lines() {
        if let Some(path) = header(line) {
            table = Some(is_wanted(path));
        }
        // In front of the first table stand keys of the root, such as lake.url.
        let keep =
            table.unwrap_or_else(|| line.split_once('=').is_some_and(|(key, _)| is_wanted(key)));
        if keep {
            kept.push_str(line);
        }
        kept.push('\n');
    }
    kept
}

/// The dotted name in a line that begins a table or one of an array of tables, also where it is only half typed.
fn header(line: &str) -> Option<&str> {
    let inner = line.trim_start().strip_prefix('[')?;
    let inner = inner.strip_prefix('[').unwrap_or(inner);
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let Some((path, rest)) = inner.split_once(']') else {
        return Some(inner.trim()).filter(|path| !path.is_empty() && path.chars().all(is_name));
    };
    let rest = rest.strip_prefix(']').unwrap_or(rest).trim_start();
    (rest.is_empty() || rest.starts_with('#')).then_some(path)
}
