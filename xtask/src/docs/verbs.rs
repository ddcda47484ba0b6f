//! The verbs and options that pages name, against those that the binary's source declares for clap.
//!
//! The source is read as text, since the binary is not built for it: variants of the enum `Verb`, and fields with `long`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;

use super::{
    ADRS, Problem, RFCS, Repository,
    commands::{Command, commands},
    markdown::{Place, heading, lines, spans},
    problem,
};

const MAIN: &str = "cli/src/main.rs";
const PAGE: &str = "docs/reference/verbs.md";

/// What clap adds.
const OF_CLAP: [&str; 2] = ["--help", "--version"];

/// Languages of blocks that hold commands; a block without one may.
const SHELLS: [&str; 5] = ["", "console", "sh", "bash", "shell"];

/// One verb.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verb {
    /// Long options, those of the verbs below it among them.
    options: BTreeSet<String>,
    /// Names of the verbs below it.
    below: BTreeSet<String>,
}

/// What the binary has.
#[derive(Debug, Default, PartialEq, Eq)]
struct Known {
    verbs: BTreeMap<String, Verb>,
    /// Options that every verb has.
    options: BTreeSet<String>,
}

/// Commands that the binary does not have, and verbs and options that the reference leaves out.
pub(super) fn check(repository: &Repository) -> anyhow::Result<Vec<Problem>> {
    let known = Known::read(repository)?;
    let mut problems = Vec::new();
    for (name, page) in repository
        .pages()
        .filter(|(name, _)| !name.starts_with(RFCS) && !name.starts_with(ADRS))
    {
        for line in lines(page) {
            let texts = match line.place {
                Place::Prose => spans(line.text).0,
                Place::Block { info } if is_shell(info) => vec![line.text],
                Place::Fence | Place::Block { .. } => continue,
            };
            let commands = texts.into_iter().flat_map(commands);
            problems.extend(
                commands
                    .filter_map(|found| Some(problem(name, line.number, known.refuses(&found)?))),
            );
        }
    }
    problems.extend(known.left_out(repository.text(PAGE)?));
    Ok(problems)
}

fn is_shell(info: &str) -> bool {
    SHELLS.contains(&info.split_whitespace().next().unwrap_or_default())
}

impl Known {
    fn read(repository: &Repository) -> anyhow::Result<Self> {
        let main = repository.text(MAIN)?;
        let mut known = Self {
            verbs: BTreeMap::new(),
            options: options(main),
        };
        known.options.extend(OF_CLAP.map(str::to_owned));
        for (name, of) in variants(main) {
            let mut verb = Verb::default();
            // `verbs::keys::Verb` has verbs below it, `verbs::run::Args` has none.
            if let Some((module, kind)) = of
                .split_once("verbs::")
                .and_then(|(_, path)| path.split_once("::"))
            {
                let source = repository.text(&format!("cli/src/verbs/{module}.rs"))?;
                let folder = format!("cli/src/verbs/{module}/");
                let parts = repository
                    .ending(".rs")
                    .filter(|(name, _)| name.starts_with(&folder));
                verb.options = parts
                    .map(|(_, part)| part)
                    .chain([source])
                    .flat_map(options)
                    .collect();
                if kind.starts_with("Verb") {
                    verb.below = variants(source).into_iter().map(|(name, _)| name).collect();
                    ensure!(
                        !verb.below.is_empty(),
                        "cli/src/verbs/{module}.rs: no verbs are found in its enum"
                    );
                }
            }
            known.verbs.insert(name, verb);
        }
        ensure!(
            !known.verbs.is_empty(),
            "{MAIN}: no verbs are found in its enum Verb"
        );
        Ok(known)
    }

    /// Why the binary would not take a command.
    fn refuses(&self, command: &Command<'_>) -> Option<String> {
        let (name, rest) = command.verbs.split_first()?;
        let Some(verb) = self.verbs.get(*name) else {
            return Some(format!(
                "forebay has no verb {name:?}, only {}",
                shown(self.verbs.keys())
            ));
        };
        if let Some(below) = rest.first()
            && !verb.below.is_empty()
            && !verb.below.contains(*below)
        {
            return Some(format!(
                "forebay {name} has no verb {below:?}, only {}",
                shown(&verb.below)
            ));
        }
        let is_known =
            |option: &&&str| verb.options.contains(**option) || self.options.contains(**option);
        let unknown = command.options.iter().find(|option| !is_known(option))?;
        Some(format!(
            "forebay {name} has no option {unknown}, only {}",
            shown(&verb.options)
        ))
    }

    /// Verbs and options that the page of verbs does not describe, and headings of verbs that are not there.
    fn left_out(&self, page: &str) -> Vec<Problem> {
        let mut sections: BTreeMap<String, (usize, String)> = BTreeMap::new();
        let mut current = None;
        for line in lines(page) {
            if let Some((2, text)) = heading(&line) {
                current = spans(&text).0.first().map(|name| (*name).to_owned());
                if let Some(name) = &current {
                    sections.insert(name.clone(), (line.number, String::new()));
                }
            } else if let Some((_, text)) = current.as_ref().and_then(|name| sections.get_mut(name))
            {
                text.push_str(line.text);
                text.push('\n');
            }
        }
        let mut problems = Vec::new();
        for (name, verb) in &self.verbs {
            let Some((line, text)) = sections.remove(name) else {
                problems.push(problem(PAGE, 1, format!("the verb {name} has no section")));
                continue;
            };
            let words: BTreeSet<&str> = text
                .split(|c: char| !(c.is_alphanumeric() || c == '-'))
                .collect();
            let missing = verb
                .options
                .iter()
                .chain(&verb.below)
                .filter(|word| !words.contains(word.as_str()));
            problems.extend(
                missing.map(|word| problem(PAGE, line, format!("{name}: {word} is not described"))),
            );
        }
        problems.extend(sections.iter().map(|(name, (line, _))| {
            problem(
                PAGE,
                *line,
                format!(
                    "forebay has no verb {name:?}, only {}",
                    shown(self.verbs.keys())
                ),
            )
        }));
        problems
    }
}

fn shown<'n>(names: impl IntoIterator<Item = &'n String>) -> String {
    names
        .into_iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The variants of a source's enum `Verb`, as clap names them, each with what stands behind its name.
fn variants(source: &str) -> Vec<(String, &str)> {
    let Some((_, body)) = source.split_once("enum Verb {\n") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut depth = 0_usize;
    for line in body.lines() {
        let text = line.trim();
        let is_variant = depth == 0 && text.starts_with(|c: char| c.is_ascii_uppercase());
        if is_variant {
            let end = text
                .find(|c: char| !c.is_ascii_alphanumeric())
                .unwrap_or(text.len());
            found.push((kebab(&text[..end]), &text[end..]));
        }
        if text.starts_with("//") || text.starts_with('#') {
            continue;
        }
        depth += text.matches('{').count();
        match depth.checked_sub(text.matches('}').count()) {
            Some(left) => depth = left,
            None => break,
        }
    }
    found
}

/// The long options of a source's clap fields.
fn options(source: &str) -> BTreeSet<String> {
    let mut options = BTreeSet::new();
    let mut attribute: Option<String> = None;
    let mut is_long = false;
    for line in source.lines().map(str::trim) {
        if let Some(open) = attribute.as_mut().filter(|open| !open.ends_with(")]")) {
            open.push_str(line);
        } else if line.starts_with("#[arg(") {
            attribute = Some(line.to_owned());
        } else if is_long && !line.starts_with("///") && !line.starts_with('#') {
            let name = line
                .trim_start_matches("pub(crate) ")
                .split(':')
                .next()
                .unwrap_or_default();
            options.insert(format!("--{}", name.replace('_', "-")));
            is_long = false;
        }
        let Some(whole) = attribute.take_if(|whole| whole.ends_with(")]")) else {
            continue;
        };
        match long_name(&whole) {
            Some("") => is_long = true,
            Some(name) => drop(options.insert(format!("--{name}"))),
            None => {}
        }
    }
    options
}

/// The name that an attribute gives its option; empty where the field's own name counts.
fn long_name(attribute: &str) -> Option<&str> {
    let (_, behind) = attribute
        .split_once("long")
        .filter(|(before, _)| before.ends_with(['(', ' ', ',']))?;
    match behind.strip_prefix(" = \"") {
        Some(name) => name.split('"').next(),
        None => behind.starts_with([',', ')']).then_some(""),
    }
}

fn kebab(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}
