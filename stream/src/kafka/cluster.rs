//! What is asked of Kafka besides records: who it is, where partitions begin and end, and what its errors mean.
//!
//! Every question runs outside the reactor and has a time-out. That nobody answers is passing, and waited for; that we
//! are refused before we were ever let in is a mistake in the settings, and an error.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::task::spawn_blocking;
use tracing::{debug, info, warn};

use super::settings::KafkaSettings;
use crate::StreamError;

pub(super) const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A first answer is waited for in short turns, so that a refusal is seen soon.
const CONTACT_TURN: Duration = Duration::from_millis(500);
const TURNS_BETWEEN_WARNINGS: u32 = 20;

/// Passes the client library's messages on; none of them is an error of ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        pass_on(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "kafka client error");
    }
}

impl ConsumerContext for Quiet {}

/// The client library's log lines; it repeats itself at each attempt, so nothing there is more than a warning.
pub(super) fn pass_on(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => {
            warn!(facility, message, "kafka client");
        }
        _ => debug!(facility, message, "kafka client"),
    }
}

/// The mend for an error that waiting does not mend; none for all others.
pub(super) fn mend(code: RDKafkaErrorCode) -> Option<&'static str> {
    use RDKafkaErrorCode as Code;
    Some(match code {
        Code::Authentication | Code::SaslAuthenticationFailed => {
            "check mechanism, user and password in [stream.sasl], and whether the broker wants [stream.tls]"
        }
        Code::SSL => {
            "check ca_file, cert_file and key_file in [stream.tls], and whether the broker speaks TLS there"
        }
        Code::UnsupportedSASLMechanism => "choose another mechanism in [stream.sasl]",
        Code::TopicAuthorizationFailed => {
            "allow this user the topic: WRITE to publish, READ to consume, DESCRIBE"
        }
        Code::GroupAuthorizationFailed => "allow this user READ on the consumer group",
        Code::ClusterAuthorizationFailed => "allow this user IDEMPOTENT_WRITE on the cluster",
        _ => return None,
    })
}

/// Whether this user may not do this at all. A refusal of the user itself may be a passing one, once it has been let in:
/// a broker that starts knows no users yet.
pub(super) fn is_denied(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code(error),
        Some(
            Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
        )
    )
}

/// Kafka's code for what went wrong; also in answers to an administrator's questions, where the client library names none.
pub(super) fn code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    }
}

/// Whether the topic is not there.
pub(super) fn is_missing(error: &KafkaError) -> bool {
    code(error) == Some(RDKafkaErrorCode::UnknownTopicOrPartition)
}

/// Kafka, once it has answered.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) settings: Arc<KafkaSettings>,
    /// The cluster's id, for ever.
    pub(super) id: Arc<str>,
    client: Arc<BaseConsumer<Quiet>>,
}

impl Cluster {
    /// Waits until Kafka answers for the first time, and refuses a topic that does not keep readings. Drop it to give up.
    pub(super) async fn connect(settings: Arc<KafkaSettings>) -> Result<Self, StreamError> {
        settings.check_files()?;
        let mut config = settings.client();
        config.set("allow.auto.create.topics", "false");
        let client: BaseConsumer<Quiet> = config
            .create_with_context(Quiet)
            .map_err(KafkaSettings::refused)?;
        let client = Arc::new(client);
        for turn in 0_u32.. {
            let asked = client.clone();
            let topic = settings.topic.clone();
            let id = off_reactor(move || first_answer(&asked, &topic)).await?;
            match id {
                Ok(Some(id)) => {
                    info!(
                        cluster = id,
                        brokers = settings.brokers_shown(),
                        "connected to kafka"
                    );
                    let cluster = Self {
                        settings,
                        id: id.into(),
                        client,
                    };
                    cluster.refuse_compacted().await?;
                    return Ok(cluster);
                }
                Ok(None) if turn % TURNS_BETWEEN_WARNINGS == 0 => {
                    warn!(
                        brokers = settings.brokers_shown(),
                        "kafka unavailable, retrying"
                    );
                }
                Ok(None) => {}
                Err((code, mend)) => {
                    let (brokers, why) = (settings.brokers_shown(), code.to_string());
                    return Err(StreamError::KafkaRefused { brokers, why, mend });
                }
            }
        }
        Err(StreamError::Closed)
    }

    /// Offset of the oldest record of a partition, and the one that its next record will get.
    pub(super) async fn bounds(&self, partition: u32) -> Result<(u64, u64), StreamError> {
        let topic = self.settings.topic.clone();
        let asked =
            self.ask(move |client| client.fetch_watermarks(&topic, partition as i32, ANSWER_MAX));
        let (low, high) = asked
            .await?
            .map_err(|source| self.error("find the ends of", source))?;
        Ok((low.max(0) as u64, high.max(0) as u64))
    }

    /// What went wrong with the topic: a refusal, or something that may pass.
    pub(super) fn error(&self, op: &'static str, source: KafkaError) -> StreamError {
        match code(&source).and_then(|code| Some((code, mend(code)?))) {
            Some((code, mend)) => self.refusal(code, mend),
            None => StreamError::Kafka {
                op,
                topic: self.settings.topic.clone(),
                source,
            },
        }
    }

    /// What only a person can mend.
    pub(super) fn refusal(&self, code: RDKafkaErrorCode, mend: &'static str) -> StreamError {
        StreamError::KafkaRefused {
            brokers: self.settings.brokers_shown(),
            why: code.to_string(),
            mend,
        }
    }

    /// Asks the client outside the reactor.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&BaseConsumer<Quiet>) -> T + Send + 'static,
    ) -> Result<T, StreamError> {
        let client = self.client.clone();
        off_reactor(move || question(&client)).await
    }
}

type Refusal = (RDKafkaErrorCode, &'static str);

fn first_answer(client: &BaseConsumer<Quiet>, topic: &str) -> Result<Option<String>, Refusal> {
    // The id alone is waited for but not asked for: it comes with the metadata.
    match client.fetch_metadata(Some(topic), CONTACT_TURN) {
        Ok(_) => return Ok(client.client().fetch_cluster_id(CONTACT_TURN)),
        Err(error) => debug!(%error, "no answer from kafka"),
    }
    while let Some(Err(error)) = client.poll(Duration::ZERO) {
        let refusal = error
            .rdkafka_error_code()
            .and_then(|code| Some((code, mend(code)?)));
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
    }
    Ok(None)
}

async fn off_reactor<T: Send + 'static>(
    ask: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StreamError> {
    spawn_blocking(ask).await.map_err(|_| StreamError::Closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client library names no code for answers to an administrator's questions.
    #[test]
    fn what_an_administrator_is_answered_is_understood() {
        let asked = |code| KafkaError::AdminOp(code);
        assert!(is_missing(&asked(
            RDKafkaErrorCode::UnknownTopicOrPartition
        )));
        assert!(is_missing(&KafkaError::MetadataFetch(
            RDKafkaErrorCode::UnknownTopicOrPartition
        )));
        assert!(!is_missing(&asked(RDKafkaErrorCode::OperationTimedOut)));
        assert!(is_denied(&asked(
            RDKafkaErrorCode::ClusterAuthorizationFailed
        )));
    }
}
