//! One module a verb.

pub(crate) mod alerts;
pub(crate) mod completions;
#[cfg(feature = "lake")]
pub(crate) mod demo;
#[cfg(feature = "lake")]
pub(crate) mod import;
#[cfg(feature = "lake")]
pub(crate) mod imports;
pub(crate) mod init;
#[cfg(feature = "lake")]
pub(crate) mod jobs;
pub(crate) mod keys;
#[cfg(feature = "lake")]
pub(crate) mod query;
#[cfg(feature = "lake")]
pub(crate) mod repair;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod validate;
#[cfg(feature = "lake")]
pub(crate) mod verify;
