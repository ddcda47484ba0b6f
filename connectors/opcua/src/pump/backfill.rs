//! Gaps are filled from the server's history (Part 11, 6.5.3), a stretch of a few tags at a time.
//!
//! Kept here:
//! - One request is under way at a time, with a pause before the next, so that live values go first.
//! - A value is delivered if it lies within its tag's gap: both ends are there already, from live values or an earlier answer.
//! - A gap becomes smaller only after the receipt for what was read of it (E1).
//! - A gap is given up only where the server says that it has no history for us; any other refusal may pass.

use std::time::Duration;

use forebay_schemas::Timestamp;
use opcua::types::{DataValue, DateTime, HistoryData, HistoryReadResult, NodeId, StatusCode};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Pump, deliver::Delivery};
use crate::{
    error::OpcuaError,
    history::{Gap, Plan, Progress, tick_before},
    session::Session,
    value::{self, UNIX_EPOCH_TICKS},
};

/// Values of one tag in one answer.
const VALUES_MAX: u32 = 500;
/// How long nothing is asked for after a server has refused the service as such.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// What a server answers that will never give the history of a node.
const HOPELESS: [StatusCode; 4] = [
    StatusCode::BadHistoryOperationUnsupported,
    StatusCode::BadUserAccessDenied,
    StatusCode::BadNotReadable,
    StatusCode::BadNodeIdUnknown,
];
/// What a server answers that was asked for too many nodes at once.
const TOO_MANY: [StatusCode; 2] = [
    StatusCode::BadNoContinuationPoints,
    StatusCode::BadTooManyOperations,
];
/// What a server answers that has no value in the stretch.
const NOTHING_THERE: [StatusCode; 3] = [
    StatusCode::BadNoData,
    StatusCode::BadBoundNotFound,
    StatusCode::BadBoundNotSupported,
];
/// What a server answers that does not have the service.
const NO_SERVICE: [StatusCode; 3] = [
    StatusCode::BadServiceUnsupported,
    StatusCode::BadNotImplemented,
    StatusCode::BadHistoryOperationUnsupported,
];

/// What one tag's history has brought.
#[derive(Debug)]
pub(super) struct Filled {
    handle: u32,
    gap: Gap,
    values: Vec<DataValue>,
    progress: Progress,
    status: StatusCode,
}

impl Pump<'_> {
    /// Asks for the next stretch of history, if there is a gap and nothing else of it is under way.
    pub(super) fn fill(&mut self) {
        let now = Instant::now();
        let is_busy = !self.backfills.is_empty() || !self.queue.is_empty();
        if is_busy || self.has_no_history || now < self.fill_from || self.is_filling() {
            return;
        }
        let span = self.settings.history.span;
        let history = &self.items.history;
        let Some(plan) = history.plan(span, self.limits.history, now) else {
            return;
        };
        let nodes: Option<Vec<NodeId>> = plan
            .gaps
            .iter()
            .map(|(handle, _)| self.items.node(*handle))
            .collect();
        // A tag of a gap whose node this server does not have, yet.
        let Some(nodes) = nodes else {
            let nowhere = plan.gaps.iter().map(|(handle, _)| *handle);
            for handle in nowhere {
                if self.items.node(handle).is_none() {
                    self.items.history.filled(handle, Progress::Later, now);
                }
            }
            return;
        };
        let session = self.session.clone();
        // A historian may search for longer than a controller.
        let limit = self.settings.timeout.saturating_mul(5);
        self.backfills
            .spawn(async move { read(session, plan, nodes, limit).await });
    }

    /// Whether what was read is on its way to the gateway.
    fn is_filling(&self) -> bool {
        // A delivery that is under way may be one of history; the next request can wait for either.
        !self.deliveries.is_empty()
    }

    pub(super) fn filled(
        &mut self,
        filled: Result<Vec<Filled>, OpcuaError>,
    ) -> Result<(), OpcuaError> {
        let filled = match filled {
            Ok(filled) => filled,
            Err(OpcuaError::Service { status, .. })
                if TOO_MANY.contains(&status) && self.limits.history > 1 =>
            {
                self.limits.history /= 2;
                return Ok(());
            }
            // The link is watched by the probes; this service alone may be missing.
            Err(error @ OpcuaError::Service { status, .. }) if NO_SERVICE.contains(&status) => {
                self.has_no_history = true;
                warn!(connector = self.settings.name, %error, "history unavailable, gaps are kept for a later connection");
                return Ok(());
            }
            Err(error @ OpcuaError::Service { .. }) => {
                self.fill_from = Instant::now() + REFUSED_PAUSE;
                warn!(connector = self.settings.name, %error, "history refused, gaps are kept, retrying");
                return Ok(());
            }
            Err(error @ OpcuaError::Timeout { .. }) => {
                warn!(connector = self.settings.name, %error, "reading history timed out, retrying");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let mut delivery = Delivery::default();
        for part in filled {
            let node = self.items.node_text(part.handle);
            let status = value::name(part.status);
            match part.progress {
                Progress::Hopeless => warn!(
                    connector = self.settings.name,
                    node, status, "history unavailable, the gap is not filled"
                ),
                Progress::Later if !self.items.history.is_waiting(part.handle) => warn!(
                    connector = self.settings.name,
                    node, status, "history refused, the gap is kept, retrying"
                ),
                _ => {}
            }
            let within = |data: &&DataValue| {
                value::event_time(data)
                    .is_some_and(|time| part.gap.from < time && time < part.gap.to)
            };
            let before = delivery.samples.len();
            for data in part.values.iter().filter(within) {
                self.items
                    .recalled(part.handle, data, &mut delivery.samples);
            }
            let values = delivery.samples.len() - before;
            if values > 0 {
                info!(
                    connector = self.settings.name,
                    node = self.items.node_text(part.handle),
                    values,
                    "recovered values from the server's history"
                );
            }
            delivery.filled.push((part.handle, part.progress));
        }
        self.hand_over(delivery);
        Ok(())
    }
}

async fn read(
    session: Session,
    plan: Plan,
    nodes: Vec<NodeId>,
    limit: Duration,
) -> Result<Vec<Filled>, OpcuaError> {
    let answer = session
        .history(
            &nodes,
            date_time(plan.from),
            date_time(plan.to),
            VALUES_MAX,
            limit,
        )
        .await?;
    if answer.len() != nodes.len() {
        return Err(OpcuaError::Ended(format!(
            "the server answered {} of {} requests for history",
            answer.len(),
            nodes.len()
        )));
    }
    let others = nodes.len() - 1;
    let filled = |((handle, gap), result): ((u32, Gap), HistoryReadResult)| {
        filled(handle, gap, plan.to, others, result)
    };
    Ok(plan.gaps.into_iter().zip(answer).map(filled).collect())
}

fn filled(
    handle: u32,
    gap: Gap,
    to: Timestamp,
    others: usize,
    result: HistoryReadResult,
) -> Filled {
    let status = result.status_code;
    let is_cut = !result.continuation_point.is_null_or_empty();
    let data = result.history_data.into_inner_as::<HistoryData>();
    let values = data.and_then(|data| data.data_values).unwrap_or_default();
    let last = values.iter().filter_map(value::event_time).max();
    let is_cut = is_cut || values.len() >= VALUES_MAX as usize;
    let progress = match last {
        _ if status.is_bad() => refused(status, to, others),
        Some(last) if is_cut && last > gap.from => Progress::UpTo(last),
        // The request began earlier than this gap, for the sake of another.
        Some(_) if is_cut && others > 0 => Progress::Alone,
        Some(last) if is_cut => Progress::UpTo(last),
        // A value at the very end may belong to the next stretch.
        _ => Progress::UpTo(tick_before(to)),
    };
    Filled {
        handle,
        gap: match progress {
            // What is behind it comes with the next answer.
            Progress::UpTo(time) if is_cut => Gap {
                to: gap.to.min(tick_after(time)),
                ..gap
            },
            _ => Gap {
                to: gap.to.min(to),
                ..gap
            },
        },
        values,
        progress,
        status,
    }
}

fn refused(status: StatusCode, to: Timestamp, others: usize) -> Progress {
    if HOPELESS.contains(&status) {
        Progress::Hopeless
    } else if NOTHING_THERE.contains(&status) {
        Progress::UpTo(tick_before(to))
    } else if TOO_MANY.contains(&status) && others > 0 {
        Progress::Alone
    } else {
        Progress::Later
    }
}

fn tick_after(time: Timestamp) -> Timestamp {
    Timestamp::from_nanos(time.nanos().saturating_add(100))
}

fn date_time(time: Timestamp) -> DateTime {
    DateTime::from(UNIX_EPOCH_TICKS + time.nanos() / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_given_up_only_where_the_server_never_fills_it() {
        let at = |seconds: i64| Timestamp::from_nanos(seconds * 1_000_000_000);
        let (from, to) = (at(10), at(20));
        let done = Progress::UpTo(tick_before(to));
        let table = [
            (
                StatusCode::BadHistoryOperationUnsupported,
                1,
                Progress::Hopeless,
            ),
            (StatusCode::BadUserAccessDenied, 1, Progress::Hopeless),
            (StatusCode::BadNotReadable, 1, Progress::Hopeless),
            (StatusCode::BadNodeIdUnknown, 1, Progress::Hopeless),
            (StatusCode::BadNoContinuationPoints, 1, Progress::Alone),
            (StatusCode::BadNoContinuationPoints, 0, Progress::Later),
            (StatusCode::BadTooManyOperations, 1, Progress::Alone),
            (StatusCode::BadTooManyOperations, 0, Progress::Later),
            (StatusCode::BadOutOfService, 1, Progress::Later),
            (StatusCode::BadTimeout, 1, Progress::Later),
            (StatusCode::BadWaitingForInitialData, 1, Progress::Later),
            (StatusCode::BadInternalError, 1, Progress::Later),
            (StatusCode::BadNoData, 1, done),
            (StatusCode::GoodNoData, 1, done),
        ];
        for (status_code, others, expected) in table {
            let result = HistoryReadResult {
                status_code,
                ..HistoryReadResult::default()
            };
            let found = filled(1, Gap { from, to }, to, others, result);
            assert_eq!(found.progress, expected, "{status_code}, {others} others");
        }
    }
}
