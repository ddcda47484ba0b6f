//! Alerts that reach people: rules over what the gateway and the lake say, and routes to who must hear of it.
//!
//! Facts come in ([`FactSource`], which the binary implements: this crate knows neither gateway nor lake), rules judge them,
//! each alert moves through its states ([`State`]), and what is to be sent of it waits on disk until its receiver took it.
//!
//! Invariants kept here:
//! - An alert is stored before it is sent. A kill loses none; what is sent twice carries the same id.
//! - A receiver that is away holds up its own route alone, and gets what it missed, in order, when it is back.
//! - Everything is bounded: alerts of a rule, deliveries of a route, silences, requests.
//! - What cannot be read is unknown, and unknown is not right: its alerts neither fire nor end.
//!
//! It does not escalate, keep rotas, or group: an Alertmanager and the services behind webhooks do that.

mod book;
mod delivery;
mod error;
mod fact;
mod instance;
mod instant;
mod keys;
mod plan;
mod request;
mod route;
mod rule;
mod send;
mod service;
mod settings;
mod silence;
mod store;

pub use book::{Book, Changed};
pub use delivery::{Delivery, Event, Queue, Sender};
pub use error::AlertError;
pub use fact::{Fact, FactSource, Facts, Measure, TakenUp};
pub use instance::{Acknowledgement, Instance, State};
pub use instant::{in_words, rfc3339};
pub use keys::{ALERT, ALERTS, ROUTE};
pub use plan::{Planned, Repeats, Subscription};
pub use request::{Refused, Request};
pub use route::Route;
pub use rule::{Filters, Limit, Rule, Severity, Subject, Timing};
pub use service::{AlertProgress, AlertRun, Standing, Uniform, ask, run};
pub use settings::{AlertSettings, route_kinds};
pub use silence::{Matchers, Silence, misfits};
pub use store::StateFolder;
