//! What the simple and the extended query protocol share: statements as they are prepared, and their rows on the wire.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use datafusion::{common::ParamValues, sql::sqlparser::ast::Statement};
use datafusion_postgres::{
    arrow_pg::datatypes::{arrow_schema_to_pg_fields, encode_recordbatch, into_pg_type},
    pgwire::{
        api::{
            ClientInfo, ClientPortalStore, Type,
            portal::Format,
            query::{send_execution_response, send_query_response},
            results::{FieldInfo, QueryResponse, Response},
            stmt::QueryParser,
            store::PortalStore,
        },
        error::{ErrorInfo, PgWireError, PgWireResult},
        messages::{
            PgWireBackendMessage,
            data::DataRow,
            response::{EmptyQueryResponse, TransactionStatus},
        },
    },
};
use futures::{
    FutureExt as _, Sink, SinkExt as _, StreamExt as _,
    channel::oneshot,
    future::{BoxFuture, Either, Shared, pending},
    stream,
};
use tokio::time::Instant;

use super::{
    commands::{Command, shown_field},
    held::{Kind, Place},
    of_query,
    session::PgSession,
    sign_in::fatal,
    text::Texts,
};
use crate::{
    dialect::names::shown,
    engine::{Described, Engine, Parsed, Rows, Turn},
    error::QueryError,
};

/// What a parameter, or its type, takes beside its bytes.
pub(super) const PARAMETER_BYTES: usize = 48;

/// Answers the statements of all connections.
pub(super) struct Queries {
    pub(super) engine: Arc<Engine>,
    pub(super) parser: Arc<Planner>,
}

/// Plans what is prepared.
pub(super) struct Planner(Arc<Engine>);

/// A prepared statement, or a portal's mention of one.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) planned: Arc<Planned>,
    /// The portal's own place.
    pub(super) _portal: Option<Place>,
}

/// What a prepared statement is; it goes with the last portal that has been made of it.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) command: Command,
    /// There, where it is a query.
    pub(super) query: Option<PlannedQuery>,
    _place: Place,
}

#[derive(Debug)]
pub(super) struct PlannedQuery {
    pub(super) parsed: Parsed,
    pub(super) described: Described,
}

/// Rows that are to be sent, and when they time out: then, and after so long.
pub(super) struct Begun {
    pub(super) response: QueryResponse,
    pub(super) deadline: (Instant, Duration),
}

/// What a query needs beside its text.
pub(super) struct Asked<'a> {
    pub(super) parameters: Option<ParamValues>,
    pub(super) format: &'a Format,
    pub(super) turn: Turn,
    pub(super) cancelled: Cancelled,
}

impl Queries {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self {
            parser: Arc::new(Planner(engine.clone())),
            engine,
        }
    }

    /// Begins a query.
    pub(super) async fn query(
        &self,
        session: &PgSession,
        parsed: &Parsed,
        asked: Asked<'_>,
    ) -> PgWireResult<Begun> {
        let terms = session.terms();
        let asker = session.asker.clone();
        let Asked {
            parameters,
            format,
            turn,
            cancelled,
        } = asked;
        let running = Box::pin(self.engine.run(asker, parsed, parameters, &terms, turn));
        let rows = match futures::future::select(running, cancelled.clone()).await {
            Either::Left((rows, _)) => rows.map_err(of_query)?,
            Either::Right(_) => return Err(of_query(QueryError::Cancelled)),
        };
        let deadline = rows.deadline();
        let fields = Arc::new(arrow_schema_to_pg_fields(
            &shown(&rows.schema()),
            format,
            None,
        )?);
        let rows = encoded(rows, fields.clone(), cancelled);
        let mut response = QueryResponse::new(fields, rows);
        if matches!(parsed.statement, Statement::Explain { .. }) {
            response.set_command_tag("EXPLAIN");
        }
        Ok(Begun { response, deadline })
    }
}

/// Sends what a command that is no query answers; what ends a transaction ends its portals.
pub(super) async fn send_answer<C>(client: &mut C, answer: Response) -> PgWireResult<()>
where
    C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
    C::PortalStore: PortalStore,
    C::Error: std::fmt::Debug,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let status = client.transaction_status();
    match answer {
        Response::EmptyQuery => {
            let empty = PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new());
            client.feed(empty).await?;
        }
        Response::Query(rows) => send_query_response(client, rows, true).await?,
        Response::Execution(tag) => send_execution_response(client, tag).await?,
        Response::TransactionStart(tag) => {
            send_execution_response(client, tag).await?;
            client.set_transaction_status(status.to_in_transaction_state());
        }
        Response::TransactionEnd(tag) => {
            send_execution_response(client, tag).await?;
            client.set_transaction_status(status.to_idle_state());
            client.portal_store().clear_portals();
        }
        Response::Error(_) | Response::CopyIn(_) | Response::CopyOut(_) | Response::CopyBoth(_) => {
            return Err(fatal("XX000", "no command of this server answers so"));
        }
    }
    Ok(())
}

impl Prepared {
    pub(super) fn new(command: Command, query: Option<PlannedQuery>, place: Place) -> Arc<Self> {
        let planned = Planned {
            command,
            query,
            _place: place,
        };
        Arc::new(Self {
            planned: Arc::new(planned),
            _portal: None,
        })
    }

    pub(super) fn described(&self) -> Option<&Described> {
        self.planned.query.as_ref().map(|query| &query.described)
    }
}

/// Comes when a query is cancelled, and else never.
pub(super) type Cancelled = Shared<BoxFuture<'static, ()>>;

/// What one message's statements listen to.
pub(super) fn cancelled(signal: oneshot::Receiver<()>) -> Cancelled {
    async move {
        // Without a sender another message has come: that cancels nothing.
        if signal.await.is_err() {
            pending::<()>().await;
        }
    }
    .boxed()
    .shared()
}

/// Rows as the wire has them, until the query is cancelled.
fn encoded(
    rows: Rows,
    fields: Arc<Vec<FieldInfo>>,
    cancelled: Cancelled,
) -> impl futures::Stream<Item = PgWireResult<DataRow>> + Send {
    let texts = Texts::of(&fields);
    stream::unfold(Some((rows, cancelled)), next_or_cancelled)
        .map(
            move |batch| -> stream::BoxStream<'static, PgWireResult<DataRow>> {
                match batch {
                    Ok(batch) => {
                        let rewritten = |row: PgWireResult<_>| row.map(|row| texts.rewritten(row));
                        let rows = encode_recordbatch(fields.clone(), batch).map(rewritten);
                        stream::iter(rows.collect::<Vec<_>>()).boxed()
                    }
                    Err(error) => stream::iter([Err(of_query(error))]).boxed(),
                }
            },
        )
        .flatten()
}

type Under = Option<(Rows, Cancelled)>;
type Batch = Result<arrow::array::RecordBatch, QueryError>;

async fn next_or_cancelled(under: Under) -> Option<(Batch, Under)> {
    let (mut rows, cancelled) = under?;
    let next = match futures::future::select(rows.next(), cancelled.clone()).await {
        Either::Left((batch, _)) => Some(batch?),
        Either::Right(_) => None,
    };
    match next {
        Some(batch) => Some((batch, Some((rows, cancelled)))),
        None => {
            rows.cancelled();
            Some((Err(QueryError::Cancelled), None))
        }
    }
}

pub(super) fn session_of<C: ClientInfo + ?Sized>(client: &C) -> PgWireResult<Arc<PgSession>> {
    let session = client.session_extensions().get::<PgSession>();
    session.ok_or_else(|| fatal("28000", "sign in first"))
}

/// Within a transaction that failed, only its end is heard.
pub(super) fn check_transaction<C: ClientInfo + ?Sized>(
    client: &C,
    command: &Command,
) -> PgWireResult<()> {
    let has_failed = client.transaction_status() == TransactionStatus::Error;
    if !has_failed || matches!(command, Command::Commit | Command::Rollback) {
        return Ok(());
    }
    let why = "current transaction is aborted, commands ignored until end of transaction block";
    Err(PgWireError::UserError(Box::new(ErrorInfo::new(
        "ERROR".into(),
        "25P02".into(),
        why.into(),
    ))))
}

#[async_trait]
impl QueryParser for Planner {
    type Statement = Arc<Prepared>;

    async fn parse_sql<C>(
        &self,
        client: &C,
        sql: &str,
        types: &[Option<Type>],
    ) -> PgWireResult<Option<Arc<Prepared>>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let session = session_of(client)?;
        let mut parsed = self.0.parse(sql).map_err(of_query)?;
        let Some(first) = parsed.pop() else {
            return Ok(None);
        };
        if !parsed.is_empty() {
            let why = "cannot insert multiple commands into a prepared statement";
            return Err(of_query(QueryError::Syntax(why.into())));
        }
        let command = Command::of(&first.statement).map_err(of_query)?;
        let bytes = first.weight + types.len() * PARAMETER_BYTES;
        let place = session.hold(Kind::Statement, bytes).map_err(of_query)?;
        let query = match command {
            Command::Query => {
                let user = &session.asker.user;
                let described = self.0.describe(user, &first, &session.terms()).await;
                Some(PlannedQuery {
                    parsed: first,
                    described: described.map_err(of_query)?,
                })
            }
            _ => None,
        };
        Ok(Some(Prepared::new(command, query, place)))
    }

    fn get_parameter_types(&self, prepared: &Arc<Prepared>) -> PgWireResult<Vec<Type>> {
        let Some(described) = prepared.described() else {
            return Ok(Vec::new());
        };
        let pg_type = |data_type: &Option<_>| match data_type {
            Some(data_type) => into_pg_type(data_type),
            None => Ok(Type::TEXT),
        };
        described.parameters.iter().map(pg_type).collect()
    }

    fn get_result_schema(
        &self,
        prepared: &Arc<Prepared>,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        if let Command::Show(name) = &prepared.planned.command {
            return Ok(vec![shown_field(name)]);
        }
        let Some(described) = prepared.described() else {
            return Ok(Vec::new());
        };
        let format = format.unwrap_or(&Format::UnifiedText);
        arrow_schema_to_pg_fields(&shown(&described.schema), format, None)
    }
}
