//! The MQTT broker, and messages in numbers.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, QoS};
use tokio::{task::JoinSet, time::timeout};

/// Tags of a device.
const TAGS: u64 = 4;
const PUBLISHERS: u64 = 4;
/// Acknowledged messages come at least so often, or the broker is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// 2023-11-14T22:13:20Z, in milliseconds.
const FIRST_TIME: u64 = 1_700_000_000_000;

/// A broker that queues and sends as many messages as a client takes.
pub(crate) struct Mosquitto {
    broker: Child,
    pub(crate) port: u16,
    /// How many devices speak.
    devices: u64,
}

impl Mosquitto {
    pub(crate) fn start(folder: &Path, devices: u64) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let file = folder.join("mosquitto.conf");
        fs::write(
            &file,
            format!(
                "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n\
                max_inflight_messages 0\nmax_queued_messages 0\n"
            ),
        )?;
        let mut command = Command::new("mosquitto");
        if !on_the_path("mosquitto") {
            command = Command::new("/usr/sbin/mosquitto");
        }
        let broker = command
            .arg("-c")
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("mosquitto cannot be started (Debian: mosquitto)")?;
        Ok(Self {
            broker,
            port,
            devices,
        })
    }

    /// Publishes so many messages at QoS 1 and waits until the broker has acknowledged each.
    pub(crate) async fn publish(&self, messages: u64) -> anyhow::Result<()> {
        let publishers = PUBLISHERS.min(messages);
        let mut publishing = JoinSet::new();
        for publisher in 0..publishers {
            let share = messages / publishers + u64::from(publisher < messages % publishers);
            publishing.spawn(publish(self.port, self.devices, publisher, share));
        }
        while let Some(published) = publishing.join_next().await {
            published??;
        }
        Ok(())
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        drop(self.broker.kill());
        drop(self.broker.wait());
    }
}

fn on_the_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    })
}

async fn publish(port: u16, devices: u64, publisher: u64, messages: u64) -> anyhow::Result<()> {
    let mut options = MqttOptions::new(format!("flood-{publisher}"), "127.0.0.1", port);
    options.set_inflight(1000);
    let (client, mut events) = AsyncClient::new(options, 1000);
    let sending = tokio::spawn(async move {
        for n in 0..messages {
            let device = (n + publisher) % devices;
            let tag = n / devices % TAGS;
            let value = (n % 1000) as f64 / 8.0;
            let payload = format!("{{\"v\":{value},\"ts\":{}}}", FIRST_TIME + n);
            let topic = format!("plant/device-{device}/tag-{tag}");
            client
                .publish(topic, QoS::AtLeastOnce, false, payload)
                .await?;
        }
        // The caller's receipt is the last acknowledgement; the client lives until then.
        anyhow::Ok(client)
    });
    let mut acknowledged = 0;
    while acknowledged < messages {
        match timeout(SILENCE_MAX, events.poll()).await {
            Ok(Ok(Event::Incoming(Packet::PubAck(_)))) => acknowledged += 1,
            Ok(Ok(Event::Outgoing(Outgoing::Disconnect))) => bail!("the broker has disconnected"),
            Ok(Ok(_)) => {}
            // Not up yet.
            Ok(Err(rumqttc::ConnectionError::Io(_))) if acknowledged == 0 => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => bail!("the broker has been silent for {SILENCE_MAX:?}"),
        }
    }
    drop(sending.await??);
    Ok(())
}
