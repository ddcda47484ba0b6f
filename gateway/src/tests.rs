//! The steps and the runtime, with a connector that the test drives and a real spool.

mod arrivals;
mod bounds;
mod events;
mod held;
mod messages;
mod outages;
mod panics;
mod patterns;
mod pipeline;
mod receipts;
mod reload;
mod reports;
mod runtime;
mod settings;
mod steps;
mod tap;
mod windows;
