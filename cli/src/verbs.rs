//! One module a verb.

pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod import;
pub(crate) mod imports;
pub(crate) mod init;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod query;
pub(crate) mod repair;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod validate;
pub(crate) mod verify;
