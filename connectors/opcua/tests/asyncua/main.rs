//! The connector against servers that we did not write: asyncua's, and some that are none.

mod harness;
mod link;
mod security;
mod values;
