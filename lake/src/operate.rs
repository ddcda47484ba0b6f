//! What is done to whole tables beside adding rows: merging, cleaning up, erasing, verifying, and repairing.

pub(crate) mod erase;
pub(crate) mod imports;
pub(crate) mod maintain;
pub(crate) mod merge;
pub(crate) mod rebuild;
pub(crate) mod verify;
