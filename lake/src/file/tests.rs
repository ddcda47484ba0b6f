//! Round trips, and what an outsider sees of a file.

mod rows;
mod sealed;
