//! How many partitions the topic has, and its creation where it is missing.
//!
//! Invariants: a topic is created only if the settings name a number of partitions, and never compacted; two gateways that create it at
//! once both go on. A topic that is there is never changed.

use std::time::Duration;

use forebay_schemas::ErrorKind;
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::Consumer as _,
    error::{KafkaError, RDKafkaErrorCode},
    types::RDKafkaRespErr,
};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::{
    cluster::{ANSWER_MAX, Cluster, code},
    policy::CLEANUP_POLICY,
    settings::KafkaSettings,
};
use crate::StreamError;

/// How often, and how many times, a new topic is looked for: brokers hear of it one after another.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOKS_MAX: u32 = 20;
/// Where nobody creates the topic.
const CREATE_IT: &str =
    "the topic does not exist: create it, or set partitions in [stream] where it is published";
/// Where a publisher creates the topic.
const NOT_YET: &str = "the topic does not exist yet: the first gateway that publishes creates it";

/// What to say of a topic that is not there, while it is waited for.
pub(super) fn missing(settings: &KafkaSettings) -> &'static str {
    if settings.partitions.is_none() {
        CREATE_IT
    } else {
        NOT_YET
    }
}

/// The mend for a topic that cannot be created; none where it may go better later.
fn mend(code: RDKafkaErrorCode) -> Option<&'static str> {
    use RDKafkaErrorCode as Code;
    Some(match code {
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            "allow this user CREATE on the topic, or create the topic and set partitions = 0 in [stream]"
        }
        Code::InvalidTopic => {
            "choose another topic in [stream]: kafka does not take a name that differs from another only in '.' and '_'"
        }
        Code::UnsupportedFeature | Code::UnsupportedVersion => {
            "the broker is older than Kafka 2.4 and has no default number of replicas: create the topic, and set \
             partitions = 0 in [stream]"
        }
        Code::PolicyViolation | Code::InvalidPartitions | Code::InvalidConfig => {
            "the brokers do not allow such a topic: set another number of partitions in [stream], or create the topic"
        }
        _ => return None,
    })
}

impl Cluster {
    /// How many partitions the topic has; creates it if it is missing and the settings say so.
    ///
    /// # Errors
    /// `Retry` if Kafka cannot be reached, or the topic is missing; `Fatal` if it cannot be created until a person mends
    /// something.
    pub(super) async fn partitions(&self) -> Result<u32, StreamError> {
        if let Some(count) = self.count_partitions().await? {
            return Ok(count);
        }
        if let Some(wanted) = self.settings.partitions {
            self.create(wanted).await?;
            for _ in 0..LOOKS_MAX {
                sleep(LOOK_EVERY).await;
                match self.count_partitions().await {
                    Ok(Some(count)) => return Ok(count),
                    Ok(None) => {}
                    Err(error) if error.kind() == ErrorKind::Retry => {
                        debug!(%error, "the new kafka topic cannot be looked up yet, retrying");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Err(self.error(
            "look up",
            KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition),
        ))
    }

    /// How many partitions the topic has; `None` if it is missing.
    async fn count_partitions(&self) -> Result<Option<u32>, StreamError> {
        let topic = self.settings.topic.clone();
        let asked = self.ask(move |client| {
            let metadata = client.fetch_metadata(Some(&topic), ANSWER_MAX)?;
            let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
                return Ok(None);
            };
            match found.error() {
                None => Ok(Some(found.partitions().len() as u32).filter(|count| *count > 0)),
                Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => Ok(None),
                Some(code) => Err(KafkaError::MetadataFetch(code.into())),
            }
        });
        asked.await?.map_err(|source| self.error("look up", source))
    }

    async fn create(&self, partitions: u16) -> Result<(), StreamError> {
        let settings = &self.settings;
        let admin: AdminClient<DefaultClientContext> =
            settings.client().create().map_err(KafkaSettings::refused)?;
        // -1 replicas: as many as the broker makes by default (KIP-464).
        let topic = NewTopic::new(
            &settings.topic,
            i32::from(partitions),
            TopicReplication::Fixed(-1),
        );
        // The broker's default may be another.
        let topic = topic.set(CLEANUP_POLICY, "delete");
        let options = AdminOptions::new()
            .operation_timeout(Some(ANSWER_MAX))
            .request_timeout(Some(ANSWER_MAX));
        let answers = admin
            .create_topics([&topic], &options)
            .await
            .map_err(|source| self.not_created(source))?;
        let topic = &settings.topic;
        match answers.into_iter().next() {
            Some(Ok(_)) => info!(
                topic,
                partitions, "created the kafka topic, with the brokers' default replication"
            ),
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {
                info!(
                    topic,
                    "the kafka topic was created by another gateway meanwhile"
                );
            }
            Some(Err((_, code))) => return Err(self.not_created(KafkaError::AdminOp(code))),
            None => return Err(self.not_created(KafkaError::NoMessageReceived)),
        }
        Ok(())
    }

    fn not_created(&self, source: KafkaError) -> StreamError {
        let topic = &self.settings.topic;
        match code(&source) {
            Some(RDKafkaErrorCode::InvalidReplicationFactor) => {
                warn!(
                    topic,
                    "the kafka topic cannot be created while fewer brokers run than default.replication.factor"
                );
            }
            Some(code) => {
                if let Some(mend) = mend(code) {
                    return self.refusal(code, mend);
                }
            }
            None => {}
        }
        self.error("create", source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_must_mend_is_told_from_what_passes() {
        use RDKafkaErrorCode as Code;
        for (code, expected) in [
            (
                Code::TopicAuthorizationFailed,
                "allow this user CREATE on the topic",
            ),
            (
                Code::ClusterAuthorizationFailed,
                "allow this user CREATE on the topic",
            ),
            (Code::InvalidTopic, "choose another topic"),
            (Code::UnsupportedFeature, "older than Kafka 2.4"),
            (Code::UnsupportedVersion, "older than Kafka 2.4"),
            (Code::PolicyViolation, "do not allow such a topic"),
        ] {
            assert!(
                mend(code).is_some_and(|mend| mend.contains(expected)),
                "{code:?}"
            );
        }
        for code in [
            Code::InvalidReplicationFactor,
            Code::OperationTimedOut,
            Code::NotController,
        ] {
            assert_eq!(mend(code), None, "{code:?} may pass");
        }
    }

    #[test]
    fn who_waits_for_a_topic_is_told_who_creates_it() {
        let mut settings = KafkaSettings::new(vec!["k:1".to_owned()]);
        assert_eq!(
            (settings.partitions, missing(&settings)),
            (Some(6), NOT_YET)
        );
        settings.partitions = None;
        assert_eq!(missing(&settings), CREATE_IT);
    }
}
