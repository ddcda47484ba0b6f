//! A whole plant: foreign devices, an edge, Apache Kafka, two compactors, an S3 store, and PyArrow as the judge.

mod chance;
mod changes;
mod end_to_end;
#[allow(dead_code, reason = "the stream's own tests have it do more")]
#[path = "../../../stream/tests/kafka_broker/mod.rs"]
mod kafka_broker;
mod kills;
mod life;
mod rig;
mod row;
