//! Kafka between edge and lake against a real Apache Kafka.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod kafka_broker;
#[path = "kafka/support.rs"]
mod support;

#[path = "kafka/conforms.rs"]
mod conforms;
