//! A payload as a tree, whatever it was written in, with what JSON has no words for beside it.
//!
//! `serde_json` keeps integers up to 64 bits exactly and rounds all other numbers to doubles. Where that is not enough
//! (times with a fraction, longer integers) the digits are looked up in the text again. Binary formats have no text, and hold byte
//! strings and numbers that are not finite: those stand apart, and the tree has a text in their places that says which they are. It
//! begins with U+0000, and a payload's own texts that do stand apart too.

use std::{
    cell::{OnceCell, RefCell},
    collections::BTreeMap,
};

use forebay_schemas::Value as Scalar;
use serde_json::{Value, value::RawValue};
use serde_json_path::{NormalizedPath, PathElement};

use crate::flat::Flat;

/// How a text begins that stands for something else.
pub(crate) const APART: char = '\0';

/// A parsed payload and, where it is JSON, its text.
#[derive(Debug)]
pub(crate) struct Document<'p> {
    text: Option<&'p str>,
    /// Of a JSON object of plain members; its tree is made when somebody asks for it.
    flat: Option<Flat<'p>>,
    root: OnceCell<Value>,
    /// What JSON has no words for, in the order in which the tree names it.
    apart: Vec<Scalar>,
    /// Objects and arrays whose members have been looked up, each split once: a payload of many times stays linear.
    split: RefCell<BTreeMap<Vec<Step>, Members<'p>>>,
}

/// One step into a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Name(String),
    Index(usize),
}

/// The members of an object or array, as written.
#[derive(Debug)]
enum Members<'p> {
    Named(BTreeMap<String, &'p RawValue>),
    Indexed(Vec<&'p RawValue>),
}

impl<'p> Members<'p> {
    fn of(text: &'p str) -> Option<Self> {
        if text.trim_start().starts_with('[') {
            serde_json::from_str(text).ok().map(Self::Indexed)
        } else {
            serde_json::from_str(text).ok().map(Self::Named)
        }
    }

    fn get(&self, step: &Step) -> Option<&'p str> {
        match (self, step) {
            (Self::Named(members), Step::Name(name)) => members.get(name).map(|raw| raw.get()),
            (Self::Indexed(members), Step::Index(index)) => {
                members.get(*index).map(|raw| raw.get())
            }
            _ => None,
        }
    }
}

impl<'p> Document<'p> {
    /// Parses a payload, or says what is wrong with it.
    pub(crate) fn parse(payload: &'p [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(payload)
            .map_err(|error| format!("the payload is not UTF-8: {error}"))?;
        if text.trim().is_empty() {
            return Err("the payload is empty".to_owned());
        }
        let flat = Flat::of(text);
        let root = OnceCell::new();
        if flat.is_none() {
            let tree = serde_json::from_str(text)
                .map_err(|error| format!("the payload is not JSON: {error}"))?;
            root.get_or_init(|| tree);
        }
        Ok(Self {
            text: Some(text),
            flat,
            root,
            apart: Vec::new(),
            split: RefCell::default(),
        })
    }

    /// A payload of a binary format.
    pub(crate) fn of(root: Value, apart: Vec<Scalar>) -> Self {
        Self {
            text: None,
            flat: None,
            root: OnceCell::from(root),
            apart,
            split: RefCell::default(),
        }
    }

    /// The payload as a tree.
    pub(crate) fn root(&self) -> &Value {
        self.root.get_or_init(|| {
            // What is flat is JSON.
            let tree = self.text.map(serde_json::from_str);
            tree.and_then(Result::ok).unwrap_or_default()
        })
    }

    /// The members of a JSON object that has plain ones only.
    pub(crate) fn flat(&self) -> Option<&Flat<'p>> {
        self.flat.as_ref()
    }

    /// What a text of the tree stands for; none for one that stands for itself.
    pub(crate) fn apart(&self, text: &str) -> Option<&Scalar> {
        let index = text.strip_prefix(APART)?.parse::<usize>().ok()?;
        self.apart.get(index)
    }

    /// What stands at a place, as written.
    pub(crate) fn written_at(&self, place: &[Step]) -> Option<&'p str> {
        let text = self.text?;
        let Some((last, parent)) = place.split_last() else {
            return Some(text.trim());
        };
        if let Some(members) = self.split.borrow().get(parent) {
            return members.get(last);
        }
        let members = Members::of(self.written_at(parent)?)?;
        let written = members.get(last);
        self.split.borrow_mut().insert(parent.to_vec(), members);
        written
    }

    /// The digits of a number at a place.
    pub(crate) fn digits(&self, number: &serde_json::Number, place: &[Step]) -> String {
        if number.is_f64()
            && let Some(written) = self.written_at(place)
        {
            return written.to_owned();
        }
        number.to_string()
    }
}

/// The place of a node.
pub(crate) fn steps(path: &NormalizedPath<'_>) -> Vec<Step> {
    path.iter()
        .map(|element| match element {
            PathElement::Name(name) => Step::Name((*name).to_owned()),
            PathElement::Index(index) => Step::Index(*index),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json_path::JsonPath;

    use super::*;

    fn written(payload: &str, path: &str) -> Option<String> {
        let document = Document::parse(payload.as_bytes()).unwrap();
        let path = JsonPath::parse(path).unwrap();
        let place = steps(
            path.query_located(document.root())
                .exactly_one()
                .ok()?
                .location(),
        );
        document.written_at(&place).map(str::to_owned)
    }

    #[test]
    fn numbers_are_found_as_written() {
        let payload = r#" {"a": [1, {"b\"c": 1700000000.123456789}], "a/b~": 1e2, "ü": 18446744073709551617} "#;
        let table = [
            ("$.a[1]['b\"c']", Some("1700000000.123456789")),
            ("$['a/b~']", Some("1e2")),
            ("$.ü", Some("18446744073709551617")),
            ("$.a[0]", Some("1")),
            ("$.none", None),
        ];
        for (path, expected) in table {
            assert_eq!(written(payload, path).as_deref(), expected, "{path}");
        }
        assert_eq!(
            written(r#"{"a":1.5,"a":2.5}"#, "$.a").as_deref(),
            Some("2.5"),
            "the last of two equal names counts"
        );
    }

    #[test]
    fn what_is_no_json_is_an_error_and_no_panic() {
        for payload in [
            "",
            "  ",
            "{",
            "NaN",
            "1e999",
            "\u{feff}1",
            "[1,]",
            &"[".repeat(100_000),
        ] {
            assert!(
                Document::parse(payload.as_bytes()).is_err(),
                "{payload:.20}"
            );
        }
        assert!(
            Document::parse(&[0xff, 0xfe])
                .unwrap_err()
                .starts_with("the payload is not UTF-8")
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_document_or_an_error(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(Document::parse(&payload).map_err(|error| assert!(!error.is_empty())));
        }
    }
}
