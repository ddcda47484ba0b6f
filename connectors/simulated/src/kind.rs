//! The connector of kind "simulated": signals that are made up, with faults if they are asked for, and files that are replayed.
//!
//! - All chance comes from the seed: the same configuration gives the same values, noise and faults at every start and on every
//!   machine, as long as the gateway takes each in time.
//! - A file is read as it is replayed, some rows ahead: how long it is does not matter to memory.
//! - No row of a file is left out: what cannot be read is a bad reading that says so, and rows that the gateway had no room for
//!   come late.
//!
//! Its one link is that to its file; without a file the link is always up. It does not make bad readings for a lost link, and it
//! writes nothing.

mod config;
mod connector;
mod fault;
mod keys;
mod pass;
mod random;
mod replay;
mod signal;

pub use config::SimulatedKind;
