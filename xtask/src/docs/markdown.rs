//! As much of Markdown as the checks need: fenced blocks, code spans, links, headings and their anchors.

use std::collections::{BTreeMap, BTreeSet};

use super::{Problem, Repository, problem};

/// The shortest fence.
const FENCE_MIN: usize = 3;

/// Where a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'t> {
    /// Outside of fenced blocks.
    Prose,
    /// The line that opens or closes one.
    Fence,
    /// Inside one; the words behind its opening fence.
    Block { info: &'t str },
}

/// One line of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'t> {
    /// From 1.
    pub(super) number: usize,
    pub(super) text: &'t str,
    pub(super) place: Place<'t>,
}

/// The lines of a page.
pub(super) fn lines(page: &str) -> Vec<Line<'_>> {
    let mut open: Option<(char, usize, &str)> = None;
    let mut lines = Vec::new();
    for (before, text) in page.lines().enumerate() {
        let fence = fence(text);
        let place = match (open, fence) {
            (None, Some((mark, length, info))) => {
                open = Some((mark, length, info));
                Place::Fence
            }
            (None, None) => Place::Prose,
            (Some((mark, length, _)), Some((found, long, "")))
                if found == mark && long >= length =>
            {
                open = None;
                Place::Fence
            }
            (Some((_, _, info)), _) => Place::Block { info },
        };
        lines.push(Line {
            number: before + 1,
            text,
            place,
        });
    }
    lines
}

/// The mark of a fence, its length and the words behind it.
fn fence(line: &str) -> Option<(char, usize, &str)> {
    let line = line.trim_start();
    let mark = line
        .chars()
        .next()
        .filter(|mark| matches!(mark, '`' | '~'))?;
    let rest = line.trim_start_matches(mark);
    let length = line.len() - rest.len();
    let is_fence = length >= FENCE_MIN && !rest.contains('`');
    is_fence.then(|| (mark, length, rest.trim()))
}

/// The code spans of a line, and the line with blanks in their place.
pub(super) fn spans(line: &str) -> (Vec<&str>, String) {
    let mut spans = Vec::new();
    let mut prose = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('`') {
        let (before, ticked) = rest.split_at(at);
        prose.push_str(before);
        let inside = ticked.trim_start_matches('`');
        let ticks = &ticked[..ticked.len() - inside.len()];
        match closing(inside, ticks.len()) {
            Some(end) => {
                spans.push(trimmed(&inside[..end]));
                prose.push(' ');
                rest = &inside[end + ticks.len()..];
            }
            None => {
                prose.push_str(ticks);
                rest = inside;
            }
        }
    }
    prose.push_str(rest);
    (spans, prose)
}

/// Where a run of just so many ticks begins.
fn closing(text: &str, ticks: usize) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = text[from..].find('`') {
        let start = from + at;
        let rest = text[start..].trim_start_matches('`');
        let length = text.len() - start - rest.len();
        if length == ticks {
            return Some(start);
        }
        from = start + length;
    }
    None
}

/// A code span may stand off its ticks by a blank on both sides.
fn trimmed(span: &str) -> &str {
    span.strip_prefix(' ')
        .and_then(|span| span.strip_suffix(' '))
        .unwrap_or(span)
}

/// The level and the text of a heading.
pub(super) fn heading(line: &Line<'_>) -> Option<(usize, String)> {
    if line.place != Place::Prose {
        return None;
    }
    let text = line.text.trim_start_matches('#');
    let level = line.text.len() - text.len();
    let text = text
        .strip_prefix(' ')
        .filter(|_| (1..=6).contains(&level))?;
    Some((level, without_links(text.trim())))
}

/// A heading's text with links replaced by what they show.
fn without_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        out.push_str(&before.replacen('[', "", 1));
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    out.push_str(rest);
    out
}

/// The anchors of a page, as GitHub makes them.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    for (_, text) in lines(page).iter().filter_map(heading) {
        let is_kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let kept: String = text.to_lowercase().chars().filter(is_kept).collect();
        let slug = kept.replace(' ', "-");
        let seen = times.entry(slug.clone()).or_default();
        anchors.insert(if *seen == 0 {
            slug
        } else {
            format!("{slug}-{seen}")
        });
        *seen += 1;
    }
    anchors
}

/// The targets of a line's links, definitions of references among them.
fn targets(prose: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    let mut rest = prose;
    while let Some((_, after)) = rest.split_once("](") {
        let (target, behind) = after.split_once(')').unwrap_or((after, ""));
        targets.extend(target.split_whitespace().next());
        rest = behind;
    }
    if prose.starts_with('[')
        && let Some((_, target)) = prose.split_once("]: ")
    {
        targets.extend(target.split_whitespace().next());
    }
    targets
}

/// Links that lead nowhere, in every page.
pub(super) fn links(repository: &Repository) -> Vec<Problem> {
    let anchors: BTreeMap<&str, BTreeSet<String>> = repository
        .pages()
        .map(|(name, page)| (name, anchors(page)))
        .collect();
    let mut problems = Vec::new();
    for (name, page) in repository.pages() {
        for line in lines(page) {
            if line.place != Place::Prose {
                continue;
            }
            let (_, prose) = spans(line.text);
            for target in targets(&prose) {
                if let Some(why) = broken(repository, &anchors, name, target) {
                    problems.push(problem(name, line.number, format!("link {target}: {why}")));
                }
            }
        }
    }
    problems
}

/// Why a link leads nowhere.
fn broken(
    repository: &Repository,
    anchors: &BTreeMap<&str, BTreeSet<String>>,
    page: &str,
    target: &str,
) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (target, None),
    };
    let Some(file) = resolved(page, path) else {
        return Some("it leads out of the repository".to_owned());
    };
    if !repository.has(&file) {
        return Some(format!("there is no {file}"));
    }
    let anchor = anchor?;
    match anchors.get(file.as_str()) {
        Some(known) if known.contains(anchor) => None,
        Some(_) => Some(format!("{file} has no heading for #{anchor}")),
        None => Some(format!("{file} is no page with headings")),
    }
}

/// The path from the root that a page's relative path means; none where it leads out of the repository.
fn resolved(page: &str, path: &str) -> Option<String> {
    if path.is_empty() {
        return Some(page.to_owned());
    }
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
