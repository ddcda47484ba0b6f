//! Kafka between edge and lake: the gateway publishes its spools, the compactor's processes share the partitions.
//!
//! Invariants: a lane's epoch is sent in order into the partition chosen when it opened, by a producer that leaves no
//! hole, and the spool forgets only what the broker has acknowledged (E2); a consumer keeps its own place, so the offset
//! that the group remembers is for dashboards alone, and what the broker has deleted shows as a damaged place (E5); a
//! reader fails as soon as its partition is taken away (E6). What a record holds is the business of `forebay_schemas`.

mod cluster;
mod course;
mod group;
mod keys;
mod places;
mod policy;
mod producer;
mod publish;
mod record;
mod settings;
mod source;
mod split;
mod topic;
mod transit;
mod window;

pub use self::{
    group::KafkaGroup,
    keys::{Compression, KIND, Mechanism, STREAM},
    publish::{LogFactory, publish},
    settings::{KafkaSettings, Sasl, Tls},
};
