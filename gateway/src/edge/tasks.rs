//! Connectors and pumps as tasks: started, restarted, awaited, and cut off in the end.

use std::time::Duration;

use forebay_connectors::{Connector, LinkChange, Outlet};
use forebay_runtime::{Backoff, report};
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::GatewayError;

/// How long connectors may take to say good-bye.
const STOP_MAX: Duration = Duration::from_secs(10);
/// A connector that fails sooner than this after its start waits longer each time.
const START_BRIEF: Duration = Duration::from_secs(60);

/// Waits for tasks to end, and cuts them off in the end. Answers the first error.
pub(super) async fn finish(
    tasks: &mut JoinSet<Result<(), GatewayError>>,
    late: &'static str,
) -> Option<GatewayError> {
    let mut first = None;
    let drained = timeout(STOP_MAX, async {
        while let Some(ended) = tasks.join_next().await {
            if let Some(error) = failure(ended) {
                error!(%error, "stopped with an error");
                first.get_or_insert(error);
            }
        }
    });
    if drained.await.is_err() {
        tasks.shutdown().await;
        first.get_or_insert(GatewayError::Task {
            name: "?".to_owned(),
            what: late,
        });
    }
    first
}

/// What ended a task, if it was not its end.
fn failure(ended: Result<Result<(), GatewayError>, JoinError>) -> Option<GatewayError> {
    match ended {
        Ok(outcome) => outcome.err(),
        Err(_) => Some(GatewayError::Task {
            name: "?".to_owned(),
            what: "panicked",
        }),
    }
}

/// Runs a connector for as long as the gateway runs. One that cannot go on stops alone: its series are bad with the reason, and
/// it is started again with back-off.
pub(super) async fn run_connector(
    name: String,
    connector: Box<dyn Connector>,
    outlet: Outlet,
    stop: CancellationToken,
) -> Result<(), GatewayError> {
    info!(connector = name, "connector started");
    let mut failures = 0_u32;
    loop {
        let began = Instant::now();
        let (name, of) = (name.clone(), outlet.clone());
        let error = match connector.run(of, stop.clone()).await {
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
    }
}

/// The first task that ends with an error; waits for ever without one.
pub(super) async fn ended_badly(tasks: &mut JoinSet<Result<(), GatewayError>>) -> GatewayError {
    while let Some(ended) = tasks.join_next().await {
        if let Some(error) = failure(ended) {
            return error;
        }
    }
    std::future::pending().await
}
