//! Kafka between edge and lake against a real Apache Kafka.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what a test cannot set up ends it"
)]

mod kafka_broker;
#[path = "kafka/support.rs"]
mod support;

#[path = "kafka/conforms.rs"]
mod conforms;
#[path = "kafka/group.rs"]
mod group;
#[path = "kafka/limits.rs"]
mod limits;
#[path = "kafka/policy.rs"]
mod policy;
#[path = "kafka/publishing.rs"]
mod publishing;
#[path = "kafka/secure.rs"]
mod secure;
#[path = "kafka/source.rs"]
mod source;
#[path = "kafka/topic.rs"]
mod topic;
#[path = "kafka/traced.rs"]
mod traced;
