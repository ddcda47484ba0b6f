//! Node ids as a person writes them (Part 6, 5.3.1.10): `ns=2;s=Press.Force`, `nsu=urn:press;i=7`, `i=2258`.
//!
//! A namespace given by its URI is looked up in the server's namespace array at each connection, because a server may
//! renumber its namespaces at each start.

use std::str::FromStr;

use opcua::types::{Identifier, NodeId};

/// Where a tag's value is found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NodeAddress {
    namespace: Namespace,
    identifier: Identifier,
}

#[derive(Debug, Clone, PartialEq)]
enum Namespace {
    Index(u16),
    Uri(String),
}

impl NodeAddress {
    /// Reads a node id; the error says what is expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (namespace, rest) = if let Some(after) = text.strip_prefix("nsu=") {
            let (uri, rest) = after.split_once(';').ok_or_else(|| expected(text))?;
            // Part 6 has `;` and `%` percent-encoded inside the URI.
            let uri = uri
                .replace("%3B", ";")
                .replace("%3b", ";")
                .replace("%25", "%");
            (Namespace::Uri(uri), rest)
        } else if let Some(after) = text.strip_prefix("ns=") {
            let (index, rest) = after.split_once(';').ok_or_else(|| expected(text))?;
            (
                Namespace::Index(index.parse().map_err(|_| expected(text))?),
                rest,
            )
        } else {
            (Namespace::Index(0), text)
        };
        let known = ["i=", "s=", "g=", "b="]
            .iter()
            .any(|kind| rest.starts_with(kind));
        if !known || rest.len() == 2 || namespace == Namespace::Uri(String::new()) {
            return Err(expected(text));
        }
        let identifier = Identifier::from_str(rest).map_err(|()| expected(text))?;
        Ok(Self {
            namespace,
            identifier,
        })
    }

    /// The node id on a server that has this namespace array; else the URI that it lacks.
    pub(crate) fn resolve(&self, namespaces: &[String]) -> Result<NodeId, &str> {
        let index = match &self.namespace {
            Namespace::Index(index) => *index,
            Namespace::Uri(uri) => {
                let found = namespaces.iter().position(|known| known == uri);
                found
                    .and_then(|index| u16::try_from(index).ok())
                    .ok_or(uri.as_str())?
            }
        };
        Ok(NodeId {
            namespace: index,
            identifier: self.identifier.clone(),
        })
    }
}

fn expected(text: &str) -> String {
    format!(
        "{text:?} is not a node id: \"ns=2;s=Press.Force\", \"nsu=urn:press;i=1001\", \"i=2258\", \"ns=3;g=<GUID>\" or \
         \"ns=3;b=<base64>\" is expected"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ids_are_read_as_people_write_them() {
        let namespaces = [
            "http://opcfoundation.org/UA/".to_owned(),
            "urn:x".to_owned(),
            "urn:a;b%".to_owned(),
        ];
        let cases = [
            ("ns=2;s=Press.Force", "ns=2;s=Press.Force"),
            ("ns=2;s=a;b=c", "ns=2;s=a;b=c"),
            ("i=2258", "i=2258"),
            ("ns=1;b=AQI=", "ns=1;b=AQI="),
            ("nsu=urn:x;i=7", "ns=1;i=7"),
            ("nsu=urn:a%3Bb%25;s=q", "ns=2;s=q"),
        ];
        for (text, id) in cases {
            assert_eq!(
                NodeAddress::parse(text)
                    .unwrap()
                    .resolve(&namespaces)
                    .unwrap()
                    .to_string(),
                id,
                "{text}"
            );
        }
        assert_eq!(
            NodeAddress::parse("nsu=urn:y;i=7")
                .unwrap()
                .resolve(&namespaces),
            Err("urn:y")
        );
    }

    #[test]
    fn everything_else_is_refused_with_examples() {
        for text in [
            "",
            "force",
            "ns=2",
            "ns=70000;i=1",
            "ns=2;x=1",
            "ns=2;s=",
            "i=-1",
            "g=7",
            "nsu=;i=1",
            "nsu=urn:x",
        ] {
            assert!(
                NodeAddress::parse(text)
                    .unwrap_err()
                    .contains("is expected"),
                "{text}"
            );
        }
    }
}
