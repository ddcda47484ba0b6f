//! Documents that comments name: each must be there.

use super::{Problem, Repository, problem};

/// How files of a kind begin a comment.
const COMMENTS: [(&str, &str); 5] = [
    (".rs", "//"),
    (".toml", "#"),
    (".py", "#"),
    (".yml", "#"),
    (".yaml", "#"),
];

const FOLDER: &str = "docs/";

/// Paths that lead nowhere.
pub(super) fn check(repository: &Repository) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (end, mark) in COMMENTS {
        for (name, text) in repository.ending(end) {
            for (before, line) in text.lines().enumerate() {
                let Some((_, comment)) = line.split_once(mark) else {
                    continue;
                };
                let named = paths(comment)
                    .into_iter()
                    .filter(|path| !is_there(repository, path));
                problems.extend(
                    named.map(|path| problem(name, before + 1, format!("there is no {path}"))),
                );
            }
        }
    }
    problems
}

/// The documents that a comment names.
fn paths(comment: &str) -> Vec<&str> {
    let is_of_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    let mut paths = Vec::new();
    for (at, _) in comment.match_indices(FOLDER) {
        // A longer path, such as a module's name on a site of documentation.
        if comment[..at].chars().next_back().is_some_and(is_of_path) {
            continue;
        }
        let path = comment[at..]
            .split(|c| !is_of_path(c))
            .next()
            .unwrap_or_default();
        paths.push(path.trim_end_matches('.'));
    }
    paths
}

/// A record may be named by its number alone.
fn is_there(repository: &Repository, path: &str) -> bool {
    repository.has(path)
        || (path.starts_with("docs/adr/0") && repository.starts_some(&format!("{path}-")))
}
