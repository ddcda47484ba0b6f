//! Placeholders that nobody filled in, and phrases of another language in English words (docs/STYLE.md, "Language").

use super::{
    ADRS, Problem, Repository,
    markdown::{Place, lines, spans},
    problem,
};

/// What stands where something is missing.
const PLACEHOLDERS: [&str; 4] = ["@@", "TODO", "TBD", "FIXME"];

/// Each with better words.
const PHRASES: [(&str, &str); 6] = [
    (
        "is told",
        "\"is reported\", or a sentence whose subject acts",
    ),
    (
        "are told",
        "\"are reported\", or a sentence whose subject acts",
    ),
    ("anew", "\"again\""),
    ("by itself", "nothing, or what does it"),
    ("by themselves", "nothing, or what does it"),
    ("that is none", "\"invalid\", or what it lacks"),
];

/// Pages that were written before the rule and are history, or a list of faults.
const SPARED: [&str; 3] = ["CHANGELOG.md", "docs/ROADMAP.md", "benches/README.md"];

/// Placeholders in every page, phrases in those that are kept up.
pub(super) fn check(repository: &Repository) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, page) in repository.pages() {
        let is_kept_up = !name.starts_with(ADRS) && !SPARED.contains(&name);
        for line in lines(page) {
            let (_, prose) = spans(line.text);
            for word in PLACEHOLDERS.into_iter().filter(|word| prose.contains(word)) {
                problems.push(problem(
                    name,
                    line.number,
                    format!("the placeholder {word} is not filled in"),
                ));
            }
            if !is_kept_up || line.place != Place::Prose {
                continue;
            }
            for (phrase, better) in PHRASES
                .into_iter()
                .filter(|(phrase, _)| has_words(&prose, phrase))
            {
                problems.push(problem(
                    name,
                    line.number,
                    format!("{phrase:?} is not plain English: write {better}"),
                ));
            }
        }
    }
    problems
}

/// Whether these words stand in a text, not as a part of others.
fn has_words(text: &str, words: &str) -> bool {
    let text = text.to_lowercase();
    let is_apart = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    text.match_indices(words).any(|(at, found)| {
        is_apart(text[..at].chars().next_back())
            && is_apart(text[at + found.len()..].chars().next())
    })
}
