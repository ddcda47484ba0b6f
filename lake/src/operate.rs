//! What is done to whole tables beside adding rows: merging, cleaning up, replacing, erasing, deleting by
//! age, verifying, and repairing.

pub(crate) mod erase;
pub(crate) mod expire;
pub(crate) mod imports;
mod leaving;
pub(crate) mod maintain;
pub(crate) mod merge;
pub(crate) mod rebuild;
pub(crate) mod replace;
pub(crate) mod verify;
