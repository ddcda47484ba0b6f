//! Whether the topic keeps what is written: a compacted one keeps the last record of each key, which is one of a lane's many.

use rdkafka::{
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    client::DefaultClientContext,
    error::KafkaError,
};
use tracing::{debug, warn};

use super::cluster::{ANSWER_MAX, Cluster, is_missing};
use crate::StreamError;

pub(super) const CLEANUP_POLICY: &str = "cleanup.policy";

impl Cluster {
    /// Looks at the topic's clean-up policy. A broker that does not tell is no reason to stop.
    ///
    /// # Errors
    /// [`StreamError::KafkaSettings`] if the topic is compacted.
    pub(super) async fn refuse_compacted(&self) -> Result<(), StreamError> {
        let topic = &self.settings.topic;
        match self.cleanup_policy().await {
            Ok(Some(policy)) if policy.split(',').any(|part| part.trim() == "compact") => {
                let why = format!(
                    "kafka topic {topic:?} has {CLEANUP_POLICY} = {policy:?}, which deletes readings: set it to \"delete\", \
                     or name another topic"
                );
                Err(StreamError::KafkaSettings { why })
            }
            Ok(_) => Ok(()),
            // It is made later, by the publisher or by hand.
            Err(error) if is_missing(&error) => {
                debug!(topic, "the topic does not exist yet");
                Ok(())
            }
            Err(error) => {
                warn!(topic, %error, "reading the kafka topic's cleanup.policy failed: make sure that it is \"delete\"");
                Ok(())
            }
        }
    }

    async fn cleanup_policy(&self) -> Result<Option<String>, KafkaError> {
        let admin: AdminClient<DefaultClientContext> = self.settings.client().create()?;
        let options = AdminOptions::new()
            .operation_timeout(Some(ANSWER_MAX))
            .request_timeout(Some(ANSWER_MAX));
        let topic = ResourceSpecifier::Topic(&self.settings.topic);
        let described = admin.describe_configs([&topic], &options).await?;
        let Some(described) = described.into_iter().next() else {
            return Ok(None);
        };
        let described = described.map_err(KafkaError::AdminOp)?;
        Ok(described
            .get(CLEANUP_POLICY)
            .and_then(|entry| entry.value.clone()))
    }
}
