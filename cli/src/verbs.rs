//! One module a verb.

pub(crate) mod alerts;
pub(crate) mod completions;
#[cfg(feature = "lake")]
pub(crate) mod demo;
pub(crate) mod devices;
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
pub(crate) mod reload;
#[cfg(feature = "lake")]
pub(crate) mod repair;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod tags;
pub(crate) mod tap;
pub(crate) mod validate;
#[cfg(feature = "lake")]
pub(crate) mod verify;
