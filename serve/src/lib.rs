//! The lake as a database that is read only: SQL over PostgreSQL's wire protocol and over HTTP.
//!
//! Invariants kept here: a user sees the rows of the user's own sites and no others, whatever the statement (`fence`);
//! nothing is changed (`guard`); a query is bounded in time, memory, rows and depth, and so is what a client that has
//! not signed in can make this program do (`pg`, `http`, `doorway`, `lockout`).
//!
//! It deliberately does not write, spill to the disk, or keep anything of a query but its audit line.

mod ages;
mod audit;
mod catalog;
mod dialect;
mod doorway;
mod engine;
mod error;
mod fence;
mod functions;
mod guard;
mod http;
mod lake;
mod latest;
mod lockout;
mod only_child;
mod pg;
mod rollups;
mod scram;
mod secrets;
mod server;
mod settings;
mod sites;
mod tls;
mod user;
mod views;
mod waiting;

#[cfg(test)]
mod tests;

pub use ages::{DeviceWays, Way};
pub use audit::ServeProgress;
pub use error::ServeError;
pub use lake::LakeReader;
pub use server::{Addresses, serve};
pub use settings::{Limits, RollupUse, ServeSettings, TlsFiles, UserSettings, keys::SERVE};
pub use sites::SiteSet;
pub use waiting::{WaitingWindow, WaitingWindows};
