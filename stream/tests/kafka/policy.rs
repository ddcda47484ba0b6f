//! Topics that do not keep what is written.

use crate::{
    secure::check_refused,
    support::{broker, topic_name},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_is_refused_by_name() {
    let broker = broker().await;
    for policy in ["compact", "delete,compact"] {
        let topic = topic_name();
        broker
            .create(&topic, 1, &[("cleanup.policy", policy)])
            .await;
        let settings = broker.settings(&topic);
        check_refused(
            settings,
            &format!("kafka topic \"{topic}\" has cleanup.policy = \"{policy}\""),
        )
        .await;
    }
}
