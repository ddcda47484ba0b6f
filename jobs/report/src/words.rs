//! Names of columns as headings.

/// The end of a column's name that makes its numbers per cent.
const PERCENT: &str = "_percent";

/// `open_warnings` as `Open warnings`; what a unit says is left out.
pub(crate) fn heading(name: &str) -> String {
    let name = name.strip_suffix(PERCENT).unwrap_or(name);
    let text = spaced(name);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => text,
    }
}

/// `first_seen` as `first seen`.
pub(crate) fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

/// Whether a column's numbers are per cent.
pub(crate) fn is_percent(name: &str) -> bool {
    name.ends_with(PERCENT)
}
