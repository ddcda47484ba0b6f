//! A whole plant: foreign devices, an edge, Apache Kafka, two compactors, an S3 store, and PyArrow as the judge.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what a test cannot set up ends it")]

#[path = "chain/chance.rs"]
mod chance;
#[path = "chain/end_to_end.rs"]
mod end_to_end;
#[allow(dead_code, reason = "the stream's own tests have it do more")]
#[path = "../../stream/tests/kafka_broker/mod.rs"]
mod kafka_broker;
#[path = "chain/kills.rs"]
mod kills;
#[path = "chain/life.rs"]
mod life;
#[path = "chain/rig.rs"]
mod rig;
#[path = "chain/row.rs"]
mod row;
#[allow(dead_code, unused_imports, reason = "the site serves other tests too")]
mod site;
