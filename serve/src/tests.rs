//! The role as its clients meet it: psql, psycopg, and bytes that no client would send.
//!
//! The lake has two sites, quartz and basalt. Every text of a row names its site, and every number tells it: what shows
//! the one to a user of the other is a leak, wherever it stands.

mod bounds;
mod clients;
mod dialect;
mod fence;
pub(crate) mod fixture;
mod grafana;
mod hostile;
mod portals;
mod raw;
mod statements;
mod stop;
mod tls;
mod views;
mod web;
