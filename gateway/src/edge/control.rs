//! What can be asked of an edge while it runs: other connectors, and how its devices do.

use tokio::sync::{mpsc, oneshot};

use crate::{Source, Tap, device_report::DeviceReport};

/// Requests that may wait.
const WAITING_MAX: usize = 4;

/// What a reload did, each connector by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Connectors that are new.
    pub added: Vec<String>,
    /// Connectors that say something else, and were restarted.
    pub changed: Vec<String>,
    /// Connectors that are gone.
    pub removed: Vec<String>,
    /// Connectors, changed or gone, whose last readings wait for room in the spool; what takes their place starts then.
    pub draining: Vec<String>,
    /// How many went on undisturbed.
    pub unchanged: usize,
}

pub(super) enum Request {
    Reload(Vec<Source>, oneshot::Sender<Changes>),
    Devices(oneshot::Sender<Vec<DeviceReport>>),
}

/// A way to ask a running edge. Clones share it.
#[derive(Debug, Clone)]
pub struct EdgeControl {
    requests: mpsc::Sender<Request>,
    tap: Tap,
}

impl EdgeControl {
    pub(super) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (requests, received) = mpsc::channel(WAITING_MAX);
        let tap = Tap::default();
        (Self { requests, tap }, received)
    }

    /// Readings as they pass.
    pub fn tap(&self) -> Tap {
        self.tap.clone()
    }

    /// Has the edge run these connectors from now on. Those that say the same go on undisturbed; the others are drained first: what
    /// they handed over becomes durable, and is acknowledged. One for which the spool has no room goes on draining. None where the
    /// edge does not run.
    pub async fn reload(&self, sources: Vec<Source>) -> Option<Changes> {
        let (done, changes) = oneshot::channel();
        self.requests
            .send(Request::Reload(sources, done))
            .await
            .ok()?;
        changes.await.ok()
    }

    /// How each device does. None where the edge does not run.
    pub async fn devices(&self) -> Option<Vec<DeviceReport>> {
        let (done, reports) = oneshot::channel();
        self.requests.send(Request::Devices(done)).await.ok()?;
        reports.await.ok()
    }
}
