//! The simple and the extended query protocol over the engine.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use datafusion::{common::ParamValues, sql::sqlparser::ast::Statement};
use datafusion_postgres::{
    arrow_pg::datatypes::{
        arrow_schema_to_pg_fields, df::deserialize_parameters_with_server_types,
        encode_recordbatch, into_pg_type,
    },
    pgwire::{
        api::{
            ClientInfo, ClientPortalStore, Type,
            portal::{Format, Portal},
            query::{ExtendedQueryHandler, SimpleQueryHandler},
            results::{FieldInfo, QueryResponse, Response},
            stmt::QueryParser,
            store::PortalStore,
        },
        error::{ErrorInfo, PgWireError, PgWireResult},
        messages::{PgWireBackendMessage, data::DataRow, response::TransactionStatus},
    },
};
use futures::{
    FutureExt as _, Sink, StreamExt as _,
    channel::oneshot,
    future::{BoxFuture, Either, pending},
    stream,
};

use super::{
    commands::{Command, answer, shown_field},
    of_query,
    session::{PgSession, PreparedPlace},
    sign_in::fatal,
    text::Texts,
};
use crate::{
    engine::{Described, Engine, Parsed, Rows, Terms, Turn},
    error::QueryError,
};

/// Answers the statements of all connections.
pub(super) struct Queries {
    engine: Arc<Engine>,
    parser: Arc<Planner>,
}

/// Plans what is prepared.
pub(super) struct Planner(Arc<Engine>);

/// A prepared statement.
#[derive(Debug)]
pub(super) struct Prepared {
    parsed: Parsed,
    command: Command,
    described: Option<Described>,
    _place: PreparedPlace,
}

impl Queries {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self {
            parser: Arc::new(Planner(engine.clone())),
            engine,
        }
    }

    async fn query(
        &self,
        session: &PgSession,
        parsed: &Parsed,
        parameters: Option<ParamValues>,
        format: &Format,
        turn: Turn,
    ) -> PgWireResult<Response> {
        let cancelled = cancelled(session.handle.start_query().await);
        let terms: Terms = session.terms();
        let asker = session.asker.clone();
        let running = Box::pin(self.engine.run(asker, parsed, parameters, &terms, turn));
        let (rows, cancelled) = match futures::future::select(running, cancelled).await {
            Either::Left((rows, cancelled)) => (rows.map_err(of_query)?, cancelled),
            Either::Right(_) => return Err(of_query(QueryError::Cancelled)),
        };
        let fields = Arc::new(arrow_schema_to_pg_fields(&rows.schema(), format, None)?);
        let rows = encoded(rows, fields.clone(), cancelled);
        let mut response = QueryResponse::new(fields, rows);
        if matches!(parsed.statement, Statement::Explain { .. }) {
            response.set_command_tag("EXPLAIN");
        }
        Ok(Response::Query(response))
    }
}

/// Comes when a query is cancelled, and else never.
type Cancelled = BoxFuture<'static, ()>;

fn cancelled(signal: oneshot::Receiver<()>) -> Cancelled {
    async move {
        // Without a sender another statement of the same message has come: that cancels nothing.
        if signal.await.is_err() {
            pending::<()>().await;
        }
    }
    .boxed()
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
    let next = match futures::future::select(rows.next(), cancelled).await {
        Either::Left((batch, cancelled)) => Some((batch?, cancelled)),
        Either::Right(_) => None,
    };
    match next {
        Some((batch, cancelled)) => Some((batch, Some((rows, cancelled)))),
        None => {
            rows.cancelled();
            Some((Err(QueryError::Cancelled), None))
        }
    }
}

fn session_of<C: ClientInfo + ?Sized>(client: &C) -> PgWireResult<Arc<PgSession>> {
    let session = client.session_extensions().get::<PgSession>();
    session.ok_or_else(|| fatal("28000", "sign in first"))
}

/// Within a transaction that failed, only its end is heard.
fn check_transaction<C: ClientInfo + ?Sized>(client: &C, command: &Command) -> PgWireResult<()> {
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
impl SimpleQueryHandler for Queries {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let session = session_of(client)?;
        let parsed = self.engine.parse(query).map_err(of_query)?;
        if parsed.is_empty() {
            return Ok(vec![Response::EmptyQuery]);
        }
        let mut turn: Option<Turn> = None;
        let mut responses = Vec::with_capacity(parsed.len());
        for parsed in parsed {
            let command = Command::of(&parsed.statement).map_err(of_query)?;
            check_transaction(client, &command)?;
            if command != Command::Query {
                responses.push(answer(&command, &session)?);
                continue;
            }
            // The statements of one message share a turn: waiting for a second would be waiting for itself.
            let own = match &turn {
                Some(turn) => turn.clone(),
                None => turn
                    .insert(self.engine.turn().await.map_err(of_query)?)
                    .clone(),
            };
            let format = Format::UnifiedText;
            let response = self.query(&session, &parsed, None, &format, own).await?;
            responses.push(response);
        }
        Ok(responses)
    }
}

#[async_trait]
impl ExtendedQueryHandler for Queries {
    type Statement = Arc<Prepared>;
    type QueryParser = Planner;

    fn query_parser(&self) -> Arc<Planner> {
        self.parser.clone()
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Arc<Prepared>>,
        _max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Arc<Prepared>>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let session = session_of(client)?;
        let prepared = &portal.statement.statement;
        check_transaction(client, &prepared.command)?;
        let Some(described) = &prepared.described else {
            return answer(&prepared.command, &session);
        };
        let inferred: Vec<_> = described.parameters.iter().map(Option::as_ref).collect();
        let types = self.parser.get_parameter_types(prepared)?;
        let types: Vec<_> = types.iter().map(Some).collect();
        let parameters = deserialize_parameters_with_server_types(portal, &inferred, &types)?;
        let turn = self.engine.turn().await.map_err(of_query)?;
        let format = &portal.result_column_format;
        self.query(&session, &prepared.parsed, Some(parameters), format, turn)
            .await
    }
}

#[async_trait]
impl QueryParser for Planner {
    type Statement = Arc<Prepared>;

    async fn parse_sql<C>(
        &self,
        client: &C,
        sql: &str,
        _: &[Option<Type>],
    ) -> PgWireResult<Option<Arc<Prepared>>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let session = session_of(client)?;
        let place = session.prepare().map_err(of_query)?;
        let mut parsed = self.0.parse(sql).map_err(of_query)?;
        let Some(first) = parsed.pop() else {
            return Ok(None);
        };
        if !parsed.is_empty() {
            let why = "cannot insert multiple commands into a prepared statement";
            return Err(of_query(QueryError::Syntax(why.into())));
        }
        let command = Command::of(&first.statement).map_err(of_query)?;
        let described = match command {
            Command::Query => {
                let user = &session.asker.user;
                let described = self.0.describe(user, &first, &session.terms()).await;
                Some(described.map_err(of_query)?)
            }
            _ => None,
        };
        Ok(Some(Arc::new(Prepared {
            parsed: first,
            command,
            described,
            _place: place,
        })))
    }

    fn get_parameter_types(&self, prepared: &Arc<Prepared>) -> PgWireResult<Vec<Type>> {
        let Some(described) = &prepared.described else {
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
        if let Command::Show(name) = &prepared.command {
            return Ok(vec![shown_field(name)]);
        }
        let Some(described) = &prepared.described else {
            return Ok(Vec::new());
        };
        let format = format.unwrap_or(&Format::UnifiedText);
        arrow_schema_to_pg_fields(&described.schema, format, None)
    }
}
