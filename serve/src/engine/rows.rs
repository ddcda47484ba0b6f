//! A query's rows under way: counted, timed, and noted when they end.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, SchemaRef},
};
use datafusion::{
    common::Result, error::DataFusionError, execution::SendableRecordBatchStream,
    logical_expr::LogicalPlan,
};
use futures::{Stream, StreamExt as _};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Turn, interrupt::Interrupt};
use crate::{audit::AuditLine, error::QueryError, settings::Limits};

/// Parameters of a statement.
const PARAMETERS_MAX: usize = 1_000;

/// The rows of a query. Ends with an error at a limit; the query's turn and memory are free as soon as it has ended.
pub(crate) struct Rows {
    running: Option<Running>,
    schema: SchemaRef,
    limits: Limits,
    deadline: Pin<Box<Sleep>>,
    limit: Duration,
    line: AuditLine,
}

struct Running {
    stream: SendableRecordBatchStream,
    interrupt: Interrupt,
    _turn: Turn,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.interrupt.now();
    }
}

impl Rows {
    pub(super) fn new(
        stream: SendableRecordBatchStream,
        limits: Limits,
        (deadline, limit): (Instant, Duration),
        interrupt: Interrupt,
        line: AuditLine,
        turn: Turn,
    ) -> Self {
        Self {
            schema: stream.schema(),
            running: Some(Running {
                stream,
                interrupt,
                _turn: turn,
            }),
            limits,
            deadline: Box::pin(sleep_until(deadline)),
            limit,
            line,
        }
    }

    /// Their columns.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// When they time out, and how long that is from their statement.
    pub(crate) fn deadline(&self) -> (Instant, Duration) {
        (self.deadline.deadline(), self.limit)
    }

    /// Notes that whoever asked wants no more.
    pub(crate) fn cancelled(&mut self) {
        self.line.failed(&QueryError::Cancelled);
        self.running = None;
    }

    fn ended(&mut self, error: QueryError) -> Poll<Option<Result<RecordBatch, QueryError>>> {
        self.line.failed(&error);
        self.running = None;
        Poll::Ready(Some(Err(error)))
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        // Nobody has asked for the next row since.
        if self.running.is_some() && self.deadline().0 <= Instant::now() {
            self.line.failed(&QueryError::TimedOut(self.limit));
        }
    }
}

impl Stream for Rows {
    type Item = Result<RecordBatch, QueryError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.running.is_none() {
            return Poll::Ready(None);
        }
        if self.deadline.as_mut().poll(context).is_ready() {
            let limit = self.limit;
            return self.ended(QueryError::TimedOut(limit));
        }
        let Some(running) = &mut self.running else {
            return Poll::Ready(None);
        };
        match running.stream.poll_next_unpin(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.line.answered();
                self.running = None;
                Poll::Ready(None)
            }
            // What was interrupted at the deadline may say so before the timer does.
            Poll::Ready(Some(Err(_))) if self.deadline().0 <= Instant::now() => {
                let limit = self.limit;
                self.ended(QueryError::TimedOut(limit))
            }
            Poll::Ready(Some(Err(error))) => {
                let error = QueryError::of(&error, self.limits.memory_bytes_max);
                self.ended(error)
            }
            Poll::Ready(Some(Ok(batch))) => {
                let rows = batch.num_rows() as u64;
                if self.line.rows() + rows > self.limits.rows_max {
                    let most = self.limits.rows_max;
                    return self.ended(QueryError::TooManyRows(most));
                }
                self.line.add_rows(rows);
                Poll::Ready(Some(Ok(batch)))
            }
        }
    }
}

/// A plan's parameters `$1`, `$2` … in order.
pub(super) fn parameters(plan: &LogicalPlan) -> Result<Vec<Option<DataType>>> {
    let fields = plan.get_parameter_types()?;
    let number = |id: &str| id.trim_start_matches('$').parse::<usize>().ok();
    let most = fields.keys().filter_map(|id| number(id)).max().unwrap_or(0);
    if most > PARAMETERS_MAX {
        let why = format!("parameter ${most}: at most {PARAMETERS_MAX} are possible");
        return Err(DataFusionError::Plan(why));
    }
    let mut types = vec![None; most];
    for (id, data_type) in fields {
        if let Some(at) = number(&id).and_then(|number| number.checked_sub(1)) {
            types[at] = data_type;
        }
    }
    Ok(types)
}
