//! One module a verb.

pub(crate) mod import;
pub(crate) mod keys;
pub(crate) mod query;
pub(crate) mod verify;
