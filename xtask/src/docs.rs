//! What the documents say, held against the repository: links and anchors, placeholders, verbs and their options, paths that
//! comments name, the columns of the tables, the quoted messages and files, and phrases that readers stumble over.
//!
//! Invariants: files are only read and nothing is built, so it takes a second; each problem names its file and line; all
//! come in one pass. It does not judge whether a sentence is true.

mod commands;
mod markdown;
mod messages;
mod paths;
mod phrases;
mod quotes;
mod tables;
#[cfg(test)]
mod tests;
mod verbs;

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};

/// Files that are read; of all others only the names count.
const TEXTS: [&str; 7] = ["md", "rs", "toml", "py", "yml", "yaml", "txt"];

/// Pages of what does not exist yet.
const RFCS: &str = "docs/rfcs/";

/// Records of decisions, true when they were made.
const ADRS: &str = "docs/adr/";

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    file: String,
    /// From 1.
    line: usize,
    message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// The files of a checkout by their paths from its root, with the texts of those that are read.
struct Repository {
    files: BTreeMap<String, String>,
}

/// Checks the documents of this checkout, and prints every problem on stderr.
///
/// # Errors
/// When there is a problem, and when the files cannot be listed.
pub(crate) fn check() -> anyhow::Result<()> {
    let problems = problems(&Repository::read(&root())?)?;
    for problem in &problems {
        eprintln!("{problem}");
    }
    ensure!(
        problems.is_empty(),
        "{} problems in the documents",
        problems.len()
    );
    Ok(())
}

fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// Everything that is wrong, in order.
fn problems(repository: &Repository) -> anyhow::Result<Vec<Problem>> {
    let mut problems = markdown::links(repository);
    problems.extend(phrases::check(repository));
    problems.extend(paths::check(repository));
    problems.extend(quotes::check(repository));
    problems.extend(verbs::check(repository)?);
    problems.extend(tables::check(repository)?);
    problems.extend(messages::check(repository)?);
    problems.sort();
    problems.dedup();
    Ok(problems)
}

impl Repository {
    /// Reads what git tracks, and what it would track: a new page is checked before it is added.
    fn read(root: &Path) -> anyhow::Result<Self> {
        let mut list = Command::new("git");
        list.current_dir(root).args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]);
        let listed = list
            .output()
            .context("cannot start git: is it installed?")?;
        if !listed.status.success() {
            bail!(
                "{list:?}: {}",
                String::from_utf8_lossy(&listed.stderr).trim()
            );
        }
        let names = String::from_utf8(listed.stdout).context("a file's name is not UTF-8")?;
        let mut files = BTreeMap::new();
        for name in names.split_terminator('\0') {
            let path = root.join(name);
            // Deleted, and still in the index.
            if !path.exists() {
                continue;
            }
            let is_read = name
                .rsplit_once('.')
                .is_some_and(|(_, end)| TEXTS.contains(&end));
            let text = if is_read {
                fs::read(&path).with_context(|| format!("read {name}"))?
            } else {
                Vec::new()
            };
            files.insert(name.to_owned(), String::from_utf8_lossy(&text).into_owned());
        }
        Ok(Self { files })
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        let owned = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Self {
            files: owned.collect(),
        }
    }

    /// Whether there is a file of this path, or a folder with files.
    fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let folder = format!("{path}/");
        path.is_empty() || self.files.contains_key(path) || self.starts_some(&folder)
    }

    /// Whether some file's path begins like this.
    fn starts_some(&self, start: &str) -> bool {
        self.files
            .range(start.to_owned()..)
            .next()
            .is_some_and(|(name, _)| name.starts_with(start))
    }

    /// A file's text; an error that names it where it is not there.
    fn text(&self, name: &str) -> anyhow::Result<&str> {
        self.files
            .get(name)
            .map(String::as_str)
            .with_context(|| format!("{name} is missing"))
    }

    /// Every file that ends like this, with its text.
    fn ending<'r>(&'r self, end: &'r str) -> impl Iterator<Item = (&'r str, &'r str)> {
        let all = self
            .files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        all.filter(move |(name, _)| name.ends_with(end))
    }

    /// Every page.
    fn pages(&self) -> impl Iterator<Item = (&str, &str)> {
        self.ending(".md")
    }
}

fn problem(file: &str, line: usize, message: impl Into<String>) -> Problem {
    Problem {
        file: file.to_owned(),
        line,
        message: message.into(),
    }
}
