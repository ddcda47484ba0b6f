//! The plant: its servers, started and stopped together.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use forebay_schemas::Clock;
use tokio::{sync::oneshot, task::JoinSet, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

use crate::{Pace, PlantError, Scenario, broker, demand, modbus, mqtt, opcua};

/// The longest wait for the servers' good-byes.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// What the servers have offered so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Served {
    /// Samples that have stood in the Modbus registers since the first request; a client that polls more slowly than they
    /// change reads fewer.
    pub modbus: u64,
    /// Values written to OPC UA variables.
    pub opcua: u64,
    /// Messages that the MQTT broker has acknowledged to the meters.
    pub mqtt: u64,
}

/// The running plant. Dropped, it stops in the background.
pub struct Plant {
    modbus: SocketAddr,
    opcua: SocketAddr,
    mqtt: SocketAddr,
    registers: Arc<modbus::Registers>,
    written: Arc<AtomicU64>,
    taken: Arc<AtomicU64>,
    tasks: JoinSet<&'static str>,
    broker_ended: oneshot::Receiver<()>,
    stop: DropGuard,
}

impl Plant {
    /// Starts all servers at the default pace; they listen when this returns. To be called inside a Tokio runtime.
    ///
    /// # Errors
    /// A server that cannot start; nothing is left running then.
    pub async fn start(scenario: Scenario, clock: Clock) -> Result<Self, PlantError> {
        Self::start_at(scenario, clock, Pace::default()).await
    }

    /// As [`Plant::start`], with the machine's recording replayed at a pace of its own.
    ///
    /// # Errors
    /// As [`Plant::start`].
    pub async fn start_at(
        scenario: Scenario,
        clock: Clock,
        pace: Pace,
    ) -> Result<Self, PlantError> {
        let token = CancellationToken::new();
        let stop = token.clone().drop_guard();
        let mut tasks = JoinSet::new();
        let (written, taken) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());

        let registers = Arc::new(modbus::Registers::new(scenario, pace)?);
        let feeders = demand::live(scenario, clock())?;
        let modbus = modbus::start(Arc::clone(&registers), &mut tasks, token.clone()).await?;
        let opcua = opcua::start(
            &mut tasks,
            token.clone(),
            clock.clone(),
            Arc::clone(&written),
        )
        .await?;
        let broker = broker::start(token.clone()).await?;
        mqtt::start(
            broker.address,
            feeders,
            &mut tasks,
            token,
            clock,
            Arc::clone(&taken),
        );
        Ok(Self {
            modbus,
            opcua,
            mqtt: broker.address,
            registers,
            written,
            taken,
            tasks,
            broker_ended: broker.ended,
            stop,
        })
    }

    /// Such as `tcp://127.0.0.1:40123`.
    pub fn modbus_url(&self) -> String {
        format!("tcp://{}", self.modbus)
    }

    /// Such as `opc.tcp://127.0.0.1:40124`.
    pub fn opcua_url(&self) -> String {
        format!("opc.tcp://{}", self.opcua)
    }

    /// Such as `mqtt://127.0.0.1:40125`; the broker speaks MQTT 3.1.1.
    pub fn mqtt_url(&self) -> String {
        format!("mqtt://{}", self.mqtt)
    }

    /// What the servers have offered so far.
    pub fn served(&self) -> Served {
        Served {
            modbus: self.registers.samples(),
            opcua: self.written.load(Ordering::Relaxed),
            mqtt: self.taken.load(Ordering::Relaxed),
        }
    }

    /// Closes all listeners and connections, within 5 s; what takes longer is cut.
    pub async fn stop(self) {
        let Self {
            mut tasks,
            broker_ended,
            stop,
            ..
        } = self;
        drop(stop);
        let ended = async {
            while let Some(ended) = tasks.join_next().await {
                if let Err(error) = ended {
                    warn!(%error, "a task of the plant has failed");
                }
            }
            // It is dropped, not sent: that is the end.
            broker_ended.await.ok();
        };
        if timeout(STOP_WITHIN, ended).await.is_err() {
            warn!(left = tasks.len(), "timed out stopping the plant, aborted");
            tasks.shutdown().await;
        }
    }
}
