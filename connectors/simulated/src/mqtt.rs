//! The meters that publish to the MQTT broker.
//!
//! Each feeder publishes five times a second, QoS 1, not retained, to `site/<feeder>/meter/load`: its next recorded quarter of
//! an hour, stamped with the present time: `{"ts":"2026-11-23T15:00:00.25Z","v":4.31}`.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use forebay_schemas::{Clock, Timestamp};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{demand::Live, recording::replayed};

/// The feeder, and so the device, whose past [`demand_history`](crate::demand_history) tells.
pub const FEEDER: &str = "feeder-287";

/// The tag of a feeder's net load in MW.
pub const LOAD: &str = "load";

const EVERY: Duration = Duration::from_millis(200);
const RECONNECT: Duration = Duration::from_millis(200);
const QUEUE_MAX: usize = 32;

/// Publishes until `stop`; `taken` counts the messages that the broker has acknowledged.
pub(crate) fn start(
    broker: SocketAddr,
    feeders: Vec<Live>,
    tasks: &mut JoinSet<&'static str>,
    stop: CancellationToken,
    clock: Clock,
    taken: Arc<AtomicU64>,
) {
    let mut options = MqttOptions::new("plant-meters", broker.ip().to_string(), broker.port());
    options.set_keep_alive(Duration::from_secs(5));
    let (client, events) = AsyncClient::new(options, QUEUE_MAX);
    tasks.spawn(connection(events, stop.clone(), taken));
    tasks.spawn(meters(client, feeders, stop, clock));
}

async fn connection(
    mut events: EventLoop,
    stop: CancellationToken,
    taken: Arc<AtomicU64>,
) -> &'static str {
    while let Some(event) = stop.run_until_cancelled(events.poll()).await {
        match event {
            Ok(Event::Incoming(Packet::PubAck(_))) => {
                taken.fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) => {}
            Err(error) => {
                debug!(%error, "the plant's meters have lost their broker");
                stop.run_until_cancelled(sleep(RECONNECT)).await;
            }
        }
    }
    "mqtt connection"
}

async fn meters(
    client: AsyncClient,
    feeders: Vec<Live>,
    stop: CancellationToken,
    clock: Clock,
) -> &'static str {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for place in 0_u64.. {
        if stop.run_until_cancelled(ticks.tick()).await.is_none() {
            break;
        }
        for feeder in &feeders {
            let topic = format!("site/{}/meter/{LOAD}", feeder.feeder);
            let payload = message(clock(), replayed(&feeder.loads, place));
            let publishing = client.publish(topic, QoS::AtLeastOnce, false, payload);
            if let Some(Err(error)) = stop.run_until_cancelled(publishing).await {
                warn!(%error, "the plant's meters have ended");
                return "mqtt meters";
            }
        }
    }
    "mqtt meters"
}

fn message(now: Timestamp, load: f64) -> String {
    // Display of a time is RFC 3339 in UTC, of a number is JSON. The years of a timestamp lie well inside jiff's.
    let time = jiff::Timestamp::from_nanosecond(now.nanos().into()).unwrap_or_default();
    format!("{{\"ts\":\"{time}\",\"v\":{load}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_json_with_the_time_and_the_exact_value() {
        let now = Timestamp::from_nanos(1_795_446_825_250_000_001);
        let message: serde_json::Value =
            serde_json::from_str(&message(now, 4.426_666_666_666_667)).unwrap();
        let expected =
            serde_json::json!({"ts": "2026-11-23T15:13:45.250000001Z", "v": 4.426_666_666_666_667});
        assert_eq!(message, expected);
    }
}
