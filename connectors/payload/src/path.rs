//! A JSONPath, and the member that it names where it needs no tree.

use std::fmt;

use serde_json::Value as Json;
use serde_json_path::{JsonPath, LocatedNode};

use crate::payload::Fault;

/// A path into a payload.
#[derive(Debug, Default)]
pub(crate) struct PayloadPath {
    path: JsonPath,
    /// The member of the payload itself that it names, and nothing else.
    member: Option<String>,
}

impl PayloadPath {
    /// The path in a text (RFC 9535).
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let path = JsonPath::parse(text).map_err(|error| {
            Fault(format!(
                "{text:?} is not a JSONPath such as \"$.v\": {error}"
            ))
        })?;
        let member = member(&path.to_string()).map(str::to_owned);
        Ok(Self { path, member })
    }

    /// The nodes that it finds.
    pub(crate) fn nodes<'d>(&self, root: &'d Json) -> Vec<LocatedNode<'d>> {
        self.path.query_located(root).all()
    }

    /// The one member that it names; none where only the tree can tell what it finds.
    pub(crate) fn member(&self) -> Option<&str> {
        self.member.as_deref()
    }
}

impl fmt::Display for PayloadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

/// The name in `$.name` or `$['name']`.
fn member(path: &str) -> Option<&str> {
    let rest = path.strip_prefix('$')?;
    let is_plain = |name: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
    };
    let dotted = rest.strip_prefix('.').filter(|name| is_plain(name));
    dotted.or_else(|| {
        let quoted = rest.strip_prefix("['")?.strip_suffix("']")?;
        is_plain(quoted).then_some(quoted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_one_name_needs_no_tree() {
        let table = [
            ("$.v", Some("v")),
            ("$['flow-rate_2']", Some("flow-rate_2")),
            ("$[\"ü\"]", Some("ü")),
            ("$", None),
            ("$.*", None),
            ("$..v", None),
            ("$.a.b", None),
            ("$['a']['b']", None),
            ("$['a','b']", None),
            ("$['a.b']", None),
            ("$[0]", None),
        ];
        for (path, expected) in table {
            let parsed = PayloadPath::parse(path).unwrap();
            assert_eq!(parsed.member(), expected, "{path}");
        }
    }
}
