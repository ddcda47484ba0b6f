//! An MQTT broker: one message at QoS 1 for each delivery, arrived when the broker has acknowledged it.

use std::time::Duration;

use forebay_config::Secret;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS, TlsConfiguration, Transport};

use super::{SendError, failed, farewell, in_time, tls::Trust};
use crate::{Delivery, Sender};

/// Our packets; a body is a few kB.
const PACKET_BYTES_MAX: usize = 256 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A broker and a topic.
#[derive(Debug, Clone)]
pub(crate) struct Mqtt {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// None: without TLS.
    pub(crate) tls: Option<Trust>,
    /// May hold `{gateway}`, `{site}`, `{alert}`, `{severity}`.
    pub(crate) topic: String,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
}

impl Mqtt {
    pub(super) async fn send(
        &self,
        delivery: &Delivery,
        sender: &Sender,
    ) -> Result<String, SendError> {
        // A session of its own for each try: two tries that overlap must not throw each other out.
        let mut options = MqttOptions::new(
            format!("forebay-alerts-{}", &delivery.id[..8]),
            &self.host,
            self.port,
        );
        options.set_keep_alive(KEEP_ALIVE);
        options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
        if let Some(user) = &self.user {
            let password = self.password.as_ref().map_or("", Secret::expose);
            options.set_credentials(user, password);
        }
        if let Some(trust) = &self.tls {
            let config = TlsConfiguration::Rustls(trust.client_config().await?);
            options.set_transport(Transport::tls_with_config(config));
        }
        let (client, mut events) = AsyncClient::new(options, 4);
        let topic = self.topic_of(delivery, sender);
        let body = delivery.body(sender).to_string();
        let published = async {
            client
                .publish(&topic, QoS::AtLeastOnce, false, body)
                .await
                .map_err(|error| failed("publishing", error))?;
            loop {
                let event = events.poll().await;
                match event.map_err(|error| failed("the MQTT connection", error))? {
                    Event::Incoming(Packet::PubAck(_)) => return Ok(()),
                    _ => continue,
                }
            }
        };
        in_time(published).await?;
        farewell(async {
            client.disconnect().await.ok();
            while let Ok(event) = events.poll().await {
                if matches!(event, Event::Outgoing(rumqttc::Outgoing::Disconnect)) {
                    break;
                }
            }
        })
        .await;
        Ok(format!("acknowledged on {topic}"))
    }

    fn topic_of(&self, delivery: &Delivery, sender: &Sender) -> String {
        let names = [
            ("{gateway}", sender.gateway.as_str()),
            ("{site}", sender.site.as_str()),
            ("{alert}", delivery.rule.as_str()),
            ("{severity}", delivery.severity.name()),
        ];
        let with = |topic: String, (place, name): (&str, &str)| topic.replace(place, &level(name));
        names.into_iter().fold(self.topic.clone(), with)
    }
}

/// A name as one level of a topic: what would be a level's end or a wildcard is percent-encoded.
fn level(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            '/' => "%2F".to_owned(),
            '+' => "%2B".to_owned(),
            '#' => "%23".to_owned(),
            '%' => "%25".to_owned(),
            other => other.to_string(),
        })
        .collect()
}
