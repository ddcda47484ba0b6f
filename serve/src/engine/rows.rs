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

use super::Turn;
use crate::{audit::AuditLine, error::QueryError, settings::Limits};

/// Parameters of a statement.
const PARAMETERS_MAX: usize = 1_000;

/// The rows of a query. Ends with an error at a limit; the query's turn ends with it.
pub(crate) struct Rows {
    stream: SendableRecordBatchStream,
    schema: SchemaRef,
    limits: Limits,
    deadline: Pin<Box<Sleep>>,
    limit: Duration,
    line: AuditLine,
    has_ended: bool,
    _turn: Turn,
}

impl Rows {
    pub(super) fn new(
        stream: SendableRecordBatchStream,
        limits: Limits,
        (deadline, limit): (Instant, Duration),
        line: AuditLine,
        turn: Turn,
    ) -> Self {
        Self {
            schema: stream.schema(),
            stream,
            limits,
            deadline: Box::pin(sleep_until(deadline)),
            limit,
            line,
            has_ended: false,
            _turn: turn,
        }
    }

    /// Their columns.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Notes that whoever asked wants no more.
    pub(crate) fn cancelled(&mut self) {
        self.line.failed(&QueryError::Cancelled);
        self.has_ended = true;
    }

    fn ended(&mut self, error: QueryError) -> Poll<Option<Result<RecordBatch, QueryError>>> {
        self.line.failed(&error);
        self.has_ended = true;
        Poll::Ready(Some(Err(error)))
    }
}

impl Stream for Rows {
    type Item = Result<RecordBatch, QueryError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if self.deadline.as_mut().poll(context).is_ready() {
            let limit = self.limit;
            return self.ended(QueryError::TimedOut(limit));
        }
        match self.stream.poll_next_unpin(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.line.answered();
                self.has_ended = true;
                Poll::Ready(None)
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
