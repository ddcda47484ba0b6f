//! Messages that the page of errors quotes: each must stand in the code, so that who searches for it finds both.

use super::{
    Problem, Repository,
    markdown::{Place, lines, spans},
    problem,
};

const PAGE: &str = "docs/reference/errors.md";

/// Stands in a quotation for what differs each time.
const ANYTHING: char = '…';

/// Quotations that no program of ours prints.
pub(super) fn check(repository: &Repository) -> anyhow::Result<Vec<Problem>> {
    let is_production = |name: &str| !name.contains("/tests") && !name.starts_with("xtask/");
    let sources: Vec<String> = repository
        .ending(".rs")
        .filter(|(name, _)| is_production(name))
        .map(|(_, text)| joined(text))
        .collect();
    let mut problems = Vec::new();
    for line in lines(repository.text(PAGE)?) {
        if line.place != Place::Prose {
            continue;
        }
        let Some(message) = quoted(line.text) else {
            continue;
        };
        for part in message
            .split(ANYTHING)
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            if !sources.iter().any(|source| source.contains(part)) {
                problems.push(problem(
                    PAGE,
                    line.number,
                    format!("no program of ours says {part:?}"),
                ));
            }
        }
    }
    Ok(problems)
}

/// The message in the first cell of a row: a code span and nothing else.
fn quoted(line: &str) -> Option<&str> {
    let row = line.strip_prefix("| ")?.trim_start();
    let (found, _) = spans(row);
    let first = found.first().copied()?;
    row.starts_with('`').then_some(first)
}

/// A source whose texts are in one piece, as they are printed.
fn joined(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("\\\n") {
        out.push_str(before);
        rest = after.trim_start();
    }
    out.push_str(rest);
    out.replace("\\\"", "\"")
        .replace("{{", "{")
        .replace("}}", "}")
}
