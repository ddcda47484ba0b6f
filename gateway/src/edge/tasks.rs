//! A connector and its pump as tasks: restarted, awaited, and cut off in the end.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    task::Poll,
    time::Duration,
};

use forebay_connectors::{Connector, ConnectorError, LinkChange, Outlet};
use forebay_runtime::{Backoff, report};
use tokio::{
    select,
    sync::{mpsc, oneshot},
    task::{JoinError, JoinHandle},
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{error, info, warn};

use super::{
    Receipts,
    pump::{Ask, Beginning},
};
use crate::GatewayError;

/// How long connectors may take to say good-bye.
const STOP_MAX: Duration = Duration::from_secs(10);
/// A connector that fails sooner than this after its start waits longer each time.
const START_BRIEF: Duration = Duration::from_secs(60);

/// Why a connector stopped that panicked.
const PANICKED: &str = "panicked, which is a defect of this program: see the log";
/// What the log holds of a panic's text.
const PANIC_CHARS_MAX: usize = 500;

/// What ended a source first.
enum First {
    /// Its stop.
    Stop,
    /// The connector, which ends only badly before its stop.
    Connector(Result<(), GatewayError>),
    /// The pump, likewise.
    Pump(Result<Receipts, GatewayError>),
}

/// Stops a source. Clones stop the same.
#[derive(Clone, Default)]
pub(super) struct SourceStop {
    stop: CancellationToken,
    end: CancellationToken,
}

impl SourceStop {
    /// It is to stop, and may take its time to store what its connector handed over.
    pub(super) fn drain(&self) {
        self.stop.cancel();
    }

    /// It is to stop now: the gateway does.
    pub(super) fn end(&self) {
        self.end.cancel();
        self.stop.cancel();
    }
}

/// A connector and its pump, started, stopped and awaited together.
pub(super) struct SourceTasks {
    pub(super) name: String,
    pub(super) connector: JoinHandle<Result<(), GatewayError>>,
    pub(super) pump: JoinHandle<Result<Receipts, GatewayError>>,
    /// Stops the connector; the pump ends with it.
    pub(super) stop: CancellationToken,
}

impl SourceTasks {
    /// Runs both until `stop`, then drains; answers the receipts that are open in the end.
    ///
    /// While the gateway goes on, a connector that does not stop in time is cut off, and its pump stores what it was given,
    /// however long it waits for room.
    ///
    /// # Errors
    /// The first of what failed.
    pub(super) async fn run(self, stop: SourceStop) -> Result<Receipts, GatewayError> {
        let Self {
            name,
            connector,
            pump,
            stop: own_stop,
        } = self;
        let mut connector = AbortOnDropHandle::new(connector);
        let mut pump = AbortOnDropHandle::new(pump);
        let first = select! {
            () = stop.stop.cancelled() => First::Stop,
            ended = &mut connector => First::Connector(flat(&name, ended)),
            ended = &mut pump => First::Pump(flat(&name, ended)),
        };
        own_stop.cancel();
        let late_connector = "timed out stopping, its device sends again what was not acknowledged";
        // A pump that waits for room in a full spool is cut off.
        let late_pump = "timed out flushing readings to the spool";
        match first {
            First::Stop => {
                let stopped = finish(&name, connector, late_connector).await;
                if !stop.end.is_cancelled() {
                    if let Err(error) = &stopped {
                        let error = report(error);
                        warn!(connector = name, error, "connector did not stop in order");
                    }
                    select! {
                        drained = &mut pump => return flat(&name, drained),
                        () = stop.end.cancelled() => {}
                    }
                }
                let drained = finish(&name, pump, late_pump).await;
                stopped.and(drained)
            }
            First::Connector(ended) => {
                let drained = finish(&name, pump, late_pump).await;
                ended.and(drained)
            }
            First::Pump(ended) => {
                let stopped = finish(&name, connector, late_connector).await;
                ended.and_then(|receipts| stopped.map(|()| receipts))
            }
        }
    }
}

/// Waits for a task to end, and cuts it off in the end.
async fn finish<T>(
    name: &str,
    task: AbortOnDropHandle<Result<T, GatewayError>>,
    late: &'static str,
) -> Result<T, GatewayError> {
    match timeout(STOP_MAX, task).await {
        Ok(ended) => flat(name, ended),
        Err(_) => Err(GatewayError::Task {
            name: name.to_owned(),
            what: late,
        }),
    }
}

/// A panic is a failure of its task alone.
fn flat<T>(
    name: &str,
    ended: Result<Result<T, GatewayError>, JoinError>,
) -> Result<T, GatewayError> {
    ended.unwrap_or_else(|_| {
        Err(GatewayError::Task {
            name: name.to_owned(),
            what: "panicked",
        })
    })
}

/// Runs a connector for as long as the gateway runs. One that cannot go on, or panics, stops alone: its series are bad with the
/// reason, and it is started again with back-off, and with the receipts that are open and the series that are known then.
pub(super) async fn run_connector(
    name: String,
    connector: Box<dyn Connector>,
    mut outlet: Outlet,
    pump: mpsc::Sender<Ask>,
    stop: CancellationToken,
) -> Result<(), GatewayError> {
    info!(connector = name, "connector started");
    let mut failures = 0_u32;
    loop {
        let began = Instant::now();
        let (name, of) = (name.clone(), outlet.clone());
        let error = match run_once(&name, &*connector, of, stop.clone()).await {
            Ok(()) if stop.is_cancelled() => return Ok(()),
            Ok(()) => GatewayError::Task {
                name,
                what: "stopped without an error",
            },
            Err(source) => GatewayError::Connector { name, source },
        };
        failures = if began.elapsed() < START_BRIEF {
            failures.saturating_add(1)
        } else {
            1
        };
        // Every connector of the gateway is in another state: chance would spread nothing.
        let wait = Backoff::default().wait(failures, 1.0);
        let reason = report(&error);
        error!(reason, failures, ?wait, "connector failed, restarting it");
        let down = LinkChange {
            device: None,
            down: Some(reason),
        };
        if outlet.link(down).await.is_err() {
            return Err(error);
        }
        if stop.run_until_cancelled(sleep(wait)).await.is_none() {
            return Ok(());
        }
        // Its parcels are done with: that of its link came behind them.
        match stop.run_until_cancelled(beginning(&pump)).await {
            Some(Some(Beginning { restored, known })) => {
                outlet = outlet.with_restored(restored).with_known(known);
            }
            Some(None) => return Err(error),
            None => return Ok(()),
        }
    }
}

/// Runs a connector once. A panic in it is an error of this connector alone: what it was about to hand over has no receipt, so its
/// device sends it again or is asked again.
async fn run_once(
    name: &str,
    connector: &dyn Connector,
    outlet: Outlet,
    stop: CancellationToken,
) -> Result<(), ConnectorError> {
    let mut running = connector.run(outlet, stop);
    poll_fn(|context| {
        // Nobody but the connector sees what the panic left half done, and it begins again from its settings.
        let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(context)));
        polled.unwrap_or_else(|panic| Poll::Ready(Err(panicked(name, &*panic))))
    })
    .await
}

/// What a panic says may quote a payload, or a device by its own name: it is for the log alone, and what is stored is always the same.
fn panicked(name: &str, panic: &(dyn Any + Send)) -> ConnectorError {
    let text = panic_text(panic);
    error!(connector = name, text, "connector panicked");
    ConnectorError {
        what: PANICKED.to_owned(),
        source: None,
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("it gave no message");
    text.chars().take(PANIC_CHARS_MAX).collect()
}

/// What a pump's connector begins with now; none where the pump has gone.
async fn beginning(pump: &mpsc::Sender<Ask>) -> Option<Beginning> {
    let (done, beginning) = oneshot::channel();
    pump.send(Ask::Beginning(done)).await.ok()?;
    beginning.await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_log_says_of_a_panic_is_bounded_and_nothing_of_it_is_stored() {
        let long: Box<dyn Any + Send> = Box::new("é".repeat(2_000));
        assert_eq!(panic_text(&*long).chars().count(), PANIC_CHARS_MAX);
        assert_eq!(panic_text(&"out of range"), "out of range");
        assert_eq!(panic_text(&5), "it gave no message");
        assert_eq!(panicked("plc", &*long).what, PANICKED);
    }
}
