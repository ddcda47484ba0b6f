//! One `[[connector.tag]]`.

use std::fmt::Write as _;

/// A value in a tag's table.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Two numbers, low and high.
    Range(f64, f64),
}

/// A tag: keys and values in the order in which they are to be read, and what a person should know of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tag {
    /// Its keys.
    pub keys: Vec<(String, Value)>,
    /// What stands above it as a comment: the other tool's description, and what it does not take along.
    pub notes: Vec<String>,
    /// What of the other tool's list changes values and is not taken over: it stands above the tag too, and is to be said aloud.
    pub missing: Vec<String>,
}

impl Tag {
    pub(crate) fn set(&mut self, key: &str, value: Value) {
        self.keys.push((key.to_owned(), value));
    }

    pub(crate) fn text(&mut self, key: &str, text: impl Into<String>) {
        self.set(key, Value::Text(text.into()));
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let found = self.keys.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value)
    }

    /// As it stands in forebay.toml.
    pub fn toml(&self) -> String {
        let mut text = "[[connector.tag]]\n".to_owned();
        let notes = self.notes.iter().chain(&self.missing);
        for note in notes.flat_map(|note| note.lines()) {
            let note: String = note.chars().filter(|c| !c.is_control()).collect();
            text += &format!("# {note}\n");
        }
        for (key, value) in &self.keys {
            text += &format!("{key} = {}\n", value.toml());
        }
        text
    }
}

impl Value {
    fn toml(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => format!("{number:?}"),
            Self::Bool(truth) => truth.to_string(),
            Self::Range(low, high) => format!("[{low:?}, {high:?}]"),
        }
    }
}

/// A basic string of TOML 1.0.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            c if c.is_control() => {
                // A string takes what it is given.
                write!(quoted, "\\u{:04X}", u32::from(c)).ok();
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_written_so_that_toml_reads_it_back() {
        let mut tag = Tag::default();
        tag.note("Discharge\npressure");
        tag.text("name", "P1 \"out\" \\ 2\t");
        tag.set("address", Value::Integer(3));
        tag.set("scale", Value::Float(0.1));
        tag.set("x", Value::Bool(true));
        tag.set("clamp", Value::Range(-1.0, 2.5));
        tag.missing.push("y is not taken over".to_owned());
        assert_eq!(
            tag.toml(),
            "[[connector.tag]]\n# Discharge\n# pressure\n# y is not taken over\nname = \"P1 \\\"out\\\" \\\\ 2\\u0009\"\naddress = 3\n\
             scale = 0.1\nx = true\nclamp = [-1.0, 2.5]\n"
        );
    }
}
