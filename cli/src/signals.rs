//! SIGINT and SIGTERM: drain and exit 0. SIGHUP ends nothing: whoever sends it wants the configuration read again (`reload`), and
//! the default of the system would kill without draining.

use anyhow::Context as _;
use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

/// As a shell reports SIGINT.
const ASKED_TWICE: i32 = 130;

/// A token that the first SIGINT or SIGTERM cancels; the second ends the process. Call within a runtime.
pub(crate) fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    tokio::spawn(async move {
        for first in [true, false] {
            select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if first {
                cancel.cancel();
            } else {
                // Who asks twice does not want to wait: what is not safe yet comes again, as after a crash.
                std::process::exit(ASKED_TWICE);
            }
        }
    });
    Ok(stop)
}

/// SIGHUP, from now on. Call within a runtime.
pub(crate) fn hang_up() -> anyhow::Result<Signal> {
    signal(SignalKind::hangup()).context("cannot listen for SIGHUP")
}
