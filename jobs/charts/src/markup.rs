//! A writer of HTML and SVG that escapes.
//!
//! Invariant: whatever is not a constant of the program is escaped, in text and in attributes alike. There is no way to
//! write raw text that was not known when the program was compiled.

use std::fmt::{self, Display, Write};

/// A piece of HTML or SVG.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Markup(String);

/// An attribute's name and value.
pub(crate) type Attribute<'a> = (&'static str, &'a dyn Display);

impl Markup {
    /// Writes a constant as it is.
    pub(crate) fn raw(&mut self, constant: &'static str) {
        self.0.push_str(constant);
    }

    /// Writes an opening tag.
    pub(crate) fn open(&mut self, tag: &'static str, attributes: &[Attribute<'_>]) {
        self.tag(tag, attributes);
        self.0.push('>');
    }

    /// Writes a closing tag.
    pub(crate) fn close(&mut self, tag: &'static str) {
        self.0.push_str("</");
        self.0.push_str(tag);
        self.0.push('>');
    }

    /// Writes an element of SVG without content.
    pub(crate) fn empty(&mut self, tag: &'static str, attributes: &[Attribute<'_>]) {
        self.tag(tag, attributes);
        self.0.push_str("/>");
    }

    /// Writes an element that holds a text.
    pub(crate) fn leaf(
        &mut self,
        tag: &'static str,
        attributes: &[Attribute<'_>],
        text: impl Display,
    ) {
        self.open(tag, attributes);
        self.text(text);
        self.close(tag);
    }

    /// Writes a text.
    pub(crate) fn text(&mut self, text: impl Display) {
        write_escaped(&mut self.0, &text);
    }

    /// Writes another piece.
    pub(crate) fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// What was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What was written.
    pub fn into_string(self) -> String {
        self.0
    }

    fn tag(&mut self, tag: &'static str, attributes: &[Attribute<'_>]) {
        self.0.push('<');
        self.0.push_str(tag);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            write_escaped(&mut self.0, value);
            self.0.push('"');
        }
    }
}

fn write_escaped(into: &mut String, value: &dyn Display) {
    // Writing to a String fails only where a Display fails, and then what it has written so far stands.
    write!(Escaped(into), "{value}").ok();
}

/// Escapes what is written through it.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // No document may hold these, and no reader should be led by what reverses the order of its letters.
                '\0'..='\x08' | '\x0b'..='\x1f' | '\x7f'..='\u{9f}' => self.0.push('\u{fffd}'),
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => {
                    self.0.push('\u{fffd}');
                }
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

/// A length in pixels, with one decimal at most.
#[derive(Clone, Copy)]
pub(crate) struct Px(pub(crate) f64);

impl Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0 * 10.0).round();
        if tenths % 10.0 == 0.0 {
            write!(f, "{:.0}", tenths / 10.0 + 0.0)
        } else {
            write!(f, "{:.1}", tenths / 10.0)
        }
    }
}

/// The outline of a line or an area: `M`, `L` and `Z` of SVG.
#[derive(Default)]
pub(crate) struct Outline(String);

impl Outline {
    pub(crate) fn move_to(&mut self, x: f64, y: f64) {
        self.step('M', x, y);
    }

    pub(crate) fn line_to(&mut self, x: f64, y: f64) {
        self.step('L', x, y);
    }

    pub(crate) fn close(&mut self) {
        self.0.push('Z');
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn step(&mut self, letter: char, x: f64, y: f64) {
        write!(self.0, "{letter}{} {}", Px(x), Px(y)).ok();
    }
}

impl Display for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
