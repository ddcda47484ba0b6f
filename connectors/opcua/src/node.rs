//! Node ids as a person writes them (Part 6, 5.3.1.10): `ns=2;s=Press.Force`, `nsu=urn:press;i=7`, `i=2258`.
//!
//! A namespace given by its URI is looked up in the server's namespace array at each connection, because a server may
//! renumber its namespaces at each start. Kept as text alone, and taken apart when it is asked for: a connector may have a hundred
//! thousand of them.

use std::{borrow::Cow, str::FromStr};

use opcua::types::{Identifier, NodeId};

/// Where a tag's value is found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NodeAddress(Box<str>);

#[derive(Debug, PartialEq)]
enum Namespace<'a> {
    Index(u16),
    Uri(Cow<'a, str>),
}

impl NodeAddress {
    /// Reads a node id; the error says what is expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let is_sound = split(text).is_some_and(|(namespace, rest)| {
            let known = ["i=", "s=", "g=", "b="]
                .iter()
                .any(|kind| rest.starts_with(kind));
            known
                && rest.len() > 2
                && namespace != Namespace::Uri("".into())
                && Identifier::from_str(rest).is_ok()
        });
        is_sound
            .then(|| Self(text.into()))
            .ok_or_else(|| expected(text))
    }

    /// It as it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The number of its namespace on a server that has this namespace array; else the URI that it lacks.
    pub(crate) fn namespace(&self, namespaces: &[String]) -> Result<u16, String> {
        match split(&self.0) {
            Some((Namespace::Uri(uri), _)) => {
                let found = namespaces.iter().position(|known| *known == uri);
                found
                    .and_then(|index| u16::try_from(index).ok())
                    .ok_or_else(|| uri.into_owned())
            }
            Some((Namespace::Index(index), _)) => Ok(index),
            // It was read once.
            None => Ok(0),
        }
    }

    /// The node, where its namespace has this number.
    pub(crate) fn node(&self, namespace: u16) -> NodeId {
        let identifier = split(&self.0).map(|(_, rest)| Identifier::from_str(rest));
        match identifier {
            Some(Ok(identifier)) => NodeId {
                namespace,
                identifier,
            },
            // It was read once.
            _ => NodeId::null(),
        }
    }

    /// The node id on a server that has this namespace array; else the URI that it lacks.
    pub(crate) fn resolve(&self, namespaces: &[String]) -> Result<NodeId, String> {
        self.namespace(namespaces)
            .map(|namespace| self.node(namespace))
    }
}

/// The namespace, and the identifier with its kind.
fn split(text: &str) -> Option<(Namespace<'_>, &str)> {
    if let Some(after) = text.strip_prefix("nsu=") {
        let (uri, rest) = after.split_once(';')?;
        // Part 6 has `;` and `%` percent-encoded inside the URI.
        let uri = if uri.contains('%') {
            let uri = uri.replace("%3B", ";").replace("%3b", ";");
            Cow::Owned(uri.replace("%25", "%"))
        } else {
            Cow::Borrowed(uri)
        };
        Some((Namespace::Uri(uri), rest))
    } else if let Some(after) = text.strip_prefix("ns=") {
        let (index, rest) = after.split_once(';')?;
        Some((Namespace::Index(index.parse().ok()?), rest))
    } else {
        Some((Namespace::Index(0), text))
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
            Err("urn:y".to_owned())
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
