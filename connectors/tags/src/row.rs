//! A row of a list and what became of it.

use crate::Tag;

/// A row of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Where it stands, for people: `line 7`, `Pumps/P1/Speed`, `ns=1;i=6001`.
    pub place: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A tag.
    Tag(Tag),
    /// Nothing, and why.
    LeftOut(String),
}

impl Row {
    pub(crate) fn new(place: impl Into<String>, outcome: Result<Tag, String>) -> Self {
        Self {
            place: place.into(),
            outcome: match outcome {
                Ok(tag) => Outcome::Tag(tag),
                Err(why) => Outcome::LeftOut(why),
            },
        }
    }
}
