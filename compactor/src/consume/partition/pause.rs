//! Pauses between tries.

use std::time::Duration;

use forebay_runtime::Backoff;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Pauses between tries.
const PAUSE: Backoff = Backoff {
    first: Duration::from_millis(100),
    max: Duration::from_secs(30),
};

/// Pauses that double, and end at once when the stop comes.
pub(super) struct Pause<'a> {
    failures: u32,
    stop: &'a CancellationToken,
}

/// Whether the stop has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    Out,
    Stopped,
}

impl Waited {
    pub(super) fn is_stopped(self) -> bool {
        self == Self::Stopped
    }
}

impl<'a> Pause<'a> {
    pub(super) fn new(stop: &'a CancellationToken) -> Self {
        Self { failures: 0, stop }
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    pub(super) async fn wait(&mut self) -> Waited {
        self.failures = self.failures.saturating_add(1);
        // The whole of the bound: its partition has no others to stay clear of.
        let pause = PAUSE.wait(self.failures, 1.0);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Waited::Stopped,
            () = sleep(pause) => Waited::Out,
        }
    }
}
