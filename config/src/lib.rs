//! Reading of `forebay.toml`: every key typed, all errors in one pass, each with its place and what was expected.
//!
//! A crate reads its own tables through [`Table`], by descriptors that say what each key means: what no descriptor lists
//! is an error that names the nearest known key. The crate knows no key of its own.

mod constant;
mod document;
mod expand;
mod fingerprint;
mod key;
mod mapping;
mod problem;
mod shape;
mod table;
#[cfg(test)]
mod tests;
mod units;
mod value;

pub use constant::FromConstant;
pub use document::{Document, Environment};
pub use expand::Expanded;
pub use key::{
    Choice, Defaulted, DefaultedChoice, Describe, Key, KeyInfo, Optional, Presence, Refused,
    Required, TableKeys,
};
pub use mapping::Mapping;
pub use problem::{ConfigErrors, Problem};
pub use shape::{Shape, TableForm};
pub use table::{Table, nearest};
pub use value::{Bytes, FromValue, Secret};
