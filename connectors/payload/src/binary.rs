//! What the decoders of binary formats share: a cursor over borrowed bytes, and the tree that they build.
//!
//! A length is believed only as far as bytes are there for it, so a short payload cannot ask for much memory. Nesting is bounded.

use forebay_schemas::Value;
use serde_json::{Number, Value as Json};

use crate::document::{APART, Document};

/// Arrays and maps within each other, as serde_json has it for JSON.
const DEPTH_MAX: usize = 128;

/// Bytes that are still to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'p> {
    rest: &'p [u8],
    format: &'static str,
}

impl<'p> Cursor<'p> {
    /// `format` is the format's name in reasons.
    pub(crate) fn new(bytes: &'p [u8], format: &'static str) -> Self {
        Self {
            rest: bytes,
            format,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Why the payload is not what its format says.
    pub(crate) fn fault(&self, what: &str) -> String {
        format!("the payload is not {}: {what}", self.format)
    }

    /// The next `length` bytes, however many the payload claims.
    pub(crate) fn take(&mut self, length: u64) -> Result<&'p [u8], String> {
        let length = usize::try_from(length).ok();
        match length.and_then(|length| self.rest.split_at_checked(length)) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.fault("it ends too early")),
        }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, String> {
        self.take(1).map(|byte| byte[0])
    }

    /// A big-endian unsigned integer of 1, 2, 4 or 8 bytes.
    pub(crate) fn unsigned(&mut self, bytes: u64) -> Result<u64, String> {
        let taken = self.take(bytes)?;
        Ok(taken
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub(crate) fn text(&mut self, length: u64) -> Result<&'p str, String> {
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|error| self.fault(&format!("a text: {error}")))
    }

    /// Refuses a count of items of which not even the first bytes can be there.
    pub(crate) fn check_count(&self, items: u64) -> Result<u64, String> {
        if items > self.rest.len() as u64 {
            return Err(self.fault("it ends too early"));
        }
        Ok(items)
    }
}

/// A tree under construction.
#[derive(Debug, Default)]
pub(crate) struct TreeBuilder {
    depth: usize,
    apart: Vec<Value>,
}

impl TreeBuilder {
    pub(crate) fn finish<'p>(self, root: Json) -> Document<'p> {
        Document::of(root, self.apart)
    }

    /// Reads what stands one level further down.
    pub(crate) fn within(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Json, String>,
    ) -> Result<Json, String> {
        if self.depth == DEPTH_MAX {
            return Err(format!("the payload is nested more than {DEPTH_MAX} deep"));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    pub(crate) fn text(&mut self, text: &str) -> Json {
        if text.starts_with(APART) {
            return self.keep(Value::Text(text.to_owned()));
        }
        text.into()
    }

    pub(crate) fn bytes(&mut self, bytes: Vec<u8>) -> Json {
        self.keep(Value::Bytes(bytes))
    }

    pub(crate) fn float(&mut self, number: f64) -> Json {
        match Number::from_f64(number) {
            Some(number) => Json::Number(number),
            None => self.keep(Value::F64(number)),
        }
    }

    fn keep(&mut self, value: Value) -> Json {
        let index = self.apart.len();
        self.apart.push(value);
        format!("{APART}{index}").into()
    }
}
