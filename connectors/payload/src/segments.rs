//! Which names of a payload become part of a tag: those that a JSONPath leaves open.
//!
//! `$.data.*.value` finds several values; what tells them apart are the names at the places of `*`, of filters and of lists,
//! and behind `..` all names. They follow the tag, joined by dots. Places in an array are names, counted from 0, where each item of
//! an array is a tag of its own; else the values of an array are one series.

use crate::{document::Step, selection::Arrays};

/// A segment of a JSONPath.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Segment {
    /// It names one member.
    Fixed,
    /// It may find several.
    Open,
    /// It may lie at any depth.
    Deep,
}

/// The segments of a JSONPath.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segments(Vec<Segment>);

impl Segments {
    /// Of a path that `serde_json_path` takes.
    pub(crate) fn of(path: &str) -> Self {
        let mut rest = path.trim_start_matches('$').trim_start();
        let mut segments = Vec::new();
        while !rest.is_empty() {
            if rest.starts_with("..") {
                segments.push(Segment::Deep);
                break;
            }
            let (segment, after) = match rest.strip_prefix('[') {
                Some(inside) => bracket(inside),
                None => {
                    let name = &rest[1..];
                    let end = name.find(['.', '[']).unwrap_or(name.len());
                    let is_open = name[..end].trim() == "*";
                    (
                        if is_open {
                            Segment::Open
                        } else {
                            Segment::Fixed
                        },
                        &name[end..],
                    )
                }
            };
            segments.push(segment);
            rest = after.trim_start();
        }
        Self(segments)
    }

    /// The names at the open places of a value.
    pub(crate) fn names(&self, place: &[Step], arrays: Arrays) -> Vec<String> {
        let deep = self
            .0
            .iter()
            .position(|segment| *segment == Segment::Deep)
            .unwrap_or(usize::MAX);
        let is_open = |i: usize| i >= deep || self.0.get(i) == Some(&Segment::Open);
        let open = place.iter().enumerate().filter(|(i, _)| is_open(*i));
        open.filter_map(|(_, step)| match (step, arrays) {
            (Step::Name(name), _) => Some(name.clone()),
            (Step::Index(index), Arrays::Tags) => Some(index.to_string()),
            (Step::Index(_), Arrays::Values) => None,
        })
        .collect()
    }
}

/// A segment in brackets, and what follows it.
fn bracket(inside: &str) -> (Segment, &str) {
    let (mut quote, mut escaped, mut depth) = (None, false, 1);
    let mut end = inside.len();
    for (at, c) in inside.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            end = at;
            break;
        }
    }
    let selector = inside[..end].trim();
    // A name or place; `*`, `?…`, `a, b` and `1:2` may find several.
    let is_name = selector.starts_with(['\'', '"']) && closes_at_end(selector);
    let is_index = selector.parse::<i64>().is_ok();
    let segment = if is_name || is_index {
        Segment::Fixed
    } else {
        Segment::Open
    };
    (segment, inside.get(end + 1..).unwrap_or_default())
}

/// Whether a quoted name is all that there is.
fn closes_at_end(selector: &str) -> bool {
    let mut chars = selector.char_indices();
    let Some((_, quote)) = chars.next() else {
        return false;
    };
    let mut escaped = false;
    for (at, c) in chars {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8() == selector.len(),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use serde_json_path::JsonPath;

    use super::*;
    use crate::document::steps;

    #[test]
    fn what_a_path_leaves_open_names_its_values() {
        let payload = r#"{"data":{"p":{"value":1},"t.x":{"value":2}},"list":[{"v":3},{"v":4}],"a]b":{"c":5}}"#;
        let root: serde_json::Value = serde_json::from_str(payload).unwrap();
        let table: [(&str, &[&str]); 11] = [
            ("$.data.*.value", &["p", "t.x"]),
            ("$.data[*].value", &["p", "t.x"]),
            ("$['data']['p','t.x'].value", &["p", "t.x"]),
            ("$.data[?@.value > 1].value", &["t.x"]),
            ("$.list[*].v", &["", ""]),
            ("$.list[0:2].v", &["", ""]),
            ("$.list[0].v", &[""]),
            ("$.data.p.value", &[""]),
            ("$..value", &["data.p.value", "data.t.x.value"]),
            ("$['a]b']['c']", &[""]),
            ("$['a]b'].*", &["c"]),
        ];
        for (path, expected) in table {
            let found = JsonPath::parse(path).unwrap().query_located(&root).all();
            let segments = Segments::of(path);
            let names: Vec<_> = found
                .iter()
                .map(|node| {
                    let place = steps(node.location());
                    segments.names(&place, Arrays::Values).join(".")
                })
                .collect();
            assert_eq!(names, expected, "{path}");
        }
        let items = JsonPath::parse("$.list[*].v").unwrap();
        let names: Vec<_> = items
            .query_located(&root)
            .all()
            .iter()
            .map(|node| {
                Segments::of("$.list[*].v")
                    .names(&steps(node.location()), Arrays::Tags)
                    .join(".")
            })
            .collect();
        assert_eq!(names, ["0", "1"], "each item is a tag");
    }
}
