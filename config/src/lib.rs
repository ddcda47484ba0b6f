//! Reading of `forebay.toml`: every key typed, all errors in one pass, each with its place and what was expected.
//!
//! A crate reads its own tables through [`Table`]: what it asks for is known, and what nobody asked for is an error that
//! names the nearest known key. The crate knows no key of its own.

mod document;
mod expand;
mod problem;
mod table;
#[cfg(test)]
mod tests;
mod units;
mod value;

pub use document::{Document, Environment};
pub use expand::Expanded;
pub use problem::{ConfigErrors, Problem};
pub use table::{Table, nearest};
pub use value::{Bytes, FromValue, Secret};
