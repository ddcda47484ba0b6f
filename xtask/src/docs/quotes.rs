//! Code that pages quote, against the files that it comes from.
//!
//! A block with `quote=PATH` behind its language holds lines of that file. The blocks of one page with the same path, in their
//! order and with an empty line between two of them, are the whole file: what a reader puts together is what is built.

use std::collections::BTreeMap;

use super::{
    Problem, Repository,
    markdown::{Line, Place, lines},
    problem,
};

const MARK: &str = "quote=";

/// Lines that differ, each with what the file has there.
pub(super) fn check(repository: &Repository) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, page) in repository.pages() {
        for (path, quoted) in quotes(page) {
            let first = quoted.first().map_or(1, |line| line.number);
            match repository.text(path) {
                Ok(text) => problems.extend(difference(name, path, &quoted, text)),
                Err(error) => problems.push(problem(name, first, error.to_string())),
            }
        }
    }
    problems
}

/// The quoted lines of a page, by the file that they are from; an empty line between two blocks.
fn quotes(page: &str) -> BTreeMap<&str, Vec<Line<'_>>> {
    let mut quotes: BTreeMap<&str, Vec<Line<'_>>> = BTreeMap::new();
    for line in lines(page) {
        let Place::Block { info } = line.place else {
            continue;
        };
        let Some(path) = info
            .split_whitespace()
            .find_map(|word| word.strip_prefix(MARK))
        else {
            continue;
        };
        let quoted = quotes.entry(path).or_default();
        if let Some(last) = quoted.last().copied()
            && last.number + 1 < line.number
        {
            quoted.push(Line { text: "", ..last });
        }
        quoted.push(line);
    }
    quotes
}

/// The first line that is not as in the file.
fn difference(page: &str, path: &str, quoted: &[Line<'_>], text: &str) -> Option<Problem> {
    let mut last = 1;
    let mut expected = text.lines();
    for line in quoted {
        last = line.number;
        match expected.next() {
            Some(expected) if expected == line.text => {}
            Some(expected) => {
                return Some(problem(page, last, format!("{path} has {expected:?} here")));
            }
            None => return Some(problem(page, last, format!("{path} ends before this line"))),
        }
    }
    let missing = expected.next()?;
    Some(problem(
        page,
        last,
        format!("{path} goes on with {missing:?}"),
    ))
}
