//! The extended query protocol: statements that are prepared, and portals.
//!
//! What a client prepares and binds is counted ([`super::held`]). Rows are sent as they come, never gathered. A portal of
//! which a client has asked only the first rows keeps its query under way, and with it the query's turn: until the
//! transaction ends, or the query times out.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use datafusion_postgres::{
    arrow_pg::datatypes::df::deserialize_parameters_with_server_types,
    pgwire::{
        api::{
            ClientInfo, ClientPortalStore, DEFAULT_NAME, PgWireConnectionState, Type,
            portal::{Portal, PortalExecutionState},
            query::ExtendedQueryHandler,
            results::{Response, Tag},
            stmt::{QueryParser as _, StoredStatement},
            store::{Entry, PortalStore},
        },
        error::{ErrorInfo, PgWireError, PgWireResult},
        messages::{
            Message as _, PgWireBackendMessage,
            extendedquery::{
                Bind, BindComplete, Close, CloseComplete, Execute, Parse, ParseComplete,
                PortalSuspended, Sync as PgSync, TARGET_TYPE_BYTE_PORTAL,
                TARGET_TYPE_BYTE_STATEMENT,
            },
            response::{ReadyForQuery, TransactionStatus},
        },
    },
};
use futures::{Sink, SinkExt as _, StreamExt as _};

use super::{
    commands::{Command, answer},
    handler::{
        Asked, Begun, PARAMETER_BYTES, Planner, Prepared, Queries, cancelled, check_transaction,
        send_answer, session_of,
    },
    held::Kind,
    of_query,
};
use crate::dialect::{
    arrays,
    times::{self, Zone},
};

/// The longest name of a statement or portal; PostgreSQL's has 63.
const NAME_BYTES_MAX: usize = 256;

fn protocol_error(code: &str, why: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".into(), code.into(), why)))
}

fn named(name: &Option<String>) -> PgWireResult<&str> {
    let name = name.as_deref().unwrap_or(DEFAULT_NAME);
    if name.len() > NAME_BYTES_MAX {
        let why = format!("a name of {} bytes, more than {NAME_BYTES_MAX}", name.len());
        return Err(protocol_error("42622", why));
    }
    Ok(name)
}

/// Whether a portal fits its statement.
fn check_bind(bind: &Bind, statement: &StoredStatement<Arc<Prepared>>) -> PgWireResult<()> {
    let described = statement.statement.described();
    let expected = described.map_or(0, |described| described.parameters.len());
    let expected = expected.max(statement.parameter_types.len());
    let given = bind.parameters.len();
    if given != expected {
        let why = format!("{given} parameters are bound, {expected} are expected");
        return Err(protocol_error("08P01", why));
    }
    let fits = |formats: usize, values: usize| formats <= 1 || formats == values;
    let columns = described.map(|described| described.schema.fields().len());
    let result_formats = bind.result_column_format_codes.len();
    if !fits(bind.parameter_format_codes.len(), given)
        || columns.is_some_and(|columns| !fits(result_formats, columns))
    {
        let why = "formats are given for some of the values, not for all";
        return Err(protocol_error("08P01", why.into()));
    }
    Ok(())
}

/// The types of a portal's parameters as its client encodes them. Arrays and times that come as texts are read as such here
/// ([`crate::dialect`]), but for times that the client itself calls so.
fn types_of(bind: &Bind, statement: &StoredStatement<Arc<Prepared>>) -> Vec<Option<Type>> {
    let mut types = statement.parameter_types.clone();
    let Some(described) = statement.statement.described() else {
        return types;
    };
    let formats = &bind.parameter_format_codes;
    for (at, data_type) in described.parameters.iter().enumerate() {
        // One format is for all.
        let format = if formats.len() == 1 {
            formats.first()
        } else {
            formats.get(at)
        };
        let (Some(data_type), 0) = (data_type, format.copied().unwrap_or(0)) else {
            continue;
        };
        types.resize(types.len().max(at + 1), None);
        let is_read_here = arrays::is_list(data_type)
            || (times::is_zoned(data_type)
                && types[at].as_ref().is_none_or(|of| *of == Type::UNKNOWN));
        if is_read_here {
            types[at] = Some(Type::TEXT);
        }
    }
    types
}

/// What executing a portal begins with.
enum Start {
    Rows(Begun),
    Answer(Response),
}

impl Queries {
    async fn start<C>(&self, client: &C, portal: &Portal<Arc<Prepared>>) -> PgWireResult<Start>
    where
        C: ClientInfo + ?Sized,
    {
        let session = session_of(client)?;
        let prepared = &portal.statement.statement;
        let command = &prepared.planned.command;
        check_transaction(client, command)?;
        let Some(query) = &prepared.planned.query else {
            return answer(command, &session).map(Start::Answer);
        };
        let inferred = &query.described.parameters;
        let inferred: Vec<_> = inferred.iter().map(Option::as_ref).collect();
        let types = self.parser.get_parameter_types(prepared)?;
        let types: Vec<_> = types.iter().map(Some).collect();
        let parameters = deserialize_parameters_with_server_types(portal, &inferred, &types)?;
        let types = &query.described.parameters;
        let zone = session.terms().time_zone;
        let parameters = arrays::bound(parameters, types)
            .and_then(|bound| times::bound(bound, types, &Zone::of(zone.as_deref())))
            .map_err(of_query)?;
        let cancelled = cancelled(session.handle.start_query().await);
        let asked = Asked {
            parameters: Some(parameters),
            format: &portal.result_column_format,
            turn: self.engine.turn().await.map_err(of_query)?,
            cancelled,
        };
        let begun = self.query(&session, &query.parsed, asked).await?;
        Ok(Start::Rows(begun))
    }
}

/// Sends rows of a portal as they come: so many at most, or all for 0. Whether there may be more.
async fn send_rows<C>(
    client: &mut C,
    state: &mut PortalExecutionState,
    rows_max: usize,
) -> PgWireResult<bool>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let mut tag = "SELECT".to_owned();
    let mut sent = 0;
    if let PortalExecutionState::Suspended(response) = state {
        response.command_tag().clone_into(&mut tag);
        while rows_max == 0 || sent < rows_max {
            match response.data_rows().next().await {
                Some(Ok(row)) => client.feed(PgWireBackendMessage::DataRow(row)).await?,
                Some(Err(error)) => {
                    *state = PortalExecutionState::Finished;
                    return Err(error);
                }
                None => {
                    *state = PortalExecutionState::Finished;
                    break;
                }
            }
            sent += 1;
        }
    }
    let may_have_more = matches!(state, PortalExecutionState::Suspended(_));
    let end = if may_have_more {
        PgWireBackendMessage::PortalSuspended(PortalSuspended::new())
    } else {
        PgWireBackendMessage::CommandComplete(Tag::new(&tag).with_rows(sent).into())
    };
    client.feed(end).await?;
    Ok(may_have_more)
}

#[async_trait]
impl ExtendedQueryHandler for Queries {
    type Statement = Arc<Prepared>;
    type QueryParser = Planner;

    fn query_parser(&self) -> Arc<Planner> {
        self.parser.clone()
    }

    async fn on_parse<C>(&self, client: &mut C, message: Parse) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Arc<Prepared>>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let session = session_of(client)?;
        let name = named(&message.name)?;
        client.portal_store().rm_statement(name);
        session.forget(name);
        let stored = match StoredStatement::parse(client, &message, self.parser.clone()).await? {
            Some(stored) => stored,
            None => {
                let place = session.hold(Kind::Statement, 0).map_err(of_query)?;
                let nothing = Prepared::new(Command::Empty, None, place);
                StoredStatement::new(name.to_owned(), nothing, Vec::new())
            }
        };
        session.remember(name);
        client.portal_store().put_statement(Arc::new(stored));
        let complete = PgWireBackendMessage::ParseComplete(ParseComplete::new());
        Ok(client.feed(complete).await?)
    }

    async fn on_bind<C>(&self, client: &mut C, message: Bind) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Arc<Prepared>>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let session = session_of(client)?;
        let statement = message.statement_name.as_deref().unwrap_or(DEFAULT_NAME);
        let name = named(&message.portal_name)?;
        let Some(Entry::Value(stored)) = client.portal_store().get_statement(statement) else {
            return Err(PgWireError::StatementNotFound(statement.to_owned()));
        };
        check_bind(&message, &stored)?;
        client.portal_store().rm_portal(name);
        let values = message.parameters.len() + stored.parameter_types.len();
        let bytes = message.message_length() + values * PARAMETER_BYTES;
        let place = session.hold(Kind::Portal, bytes).map_err(of_query)?;
        let prepared = Prepared {
            planned: stored.statement.planned.clone(),
            _portal: Some(place),
        };
        let types = types_of(&message, &stored);
        let own = StoredStatement::new(stored.id.clone(), Arc::new(prepared), types);
        let mut portal = Portal::try_new(&message, Arc::new(own))?;
        // As they have come they would keep the buffer of all messages that came with them.
        for value in portal.parameters.iter_mut().flatten() {
            *value = Bytes::copy_from_slice(value);
        }
        client.portal_store().put_portal(Arc::new(portal));
        let complete = PgWireBackendMessage::BindComplete(BindComplete::new());
        Ok(client.feed(complete).await?)
    }

    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Arc<Prepared>>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        let session = session_of(client)?;
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let Some(Entry::Value(portal)) = client.portal_store().get_portal(name) else {
            return Err(PgWireError::PortalNotFound(name.to_owned()));
        };
        // As PostgreSQL has it, 0 and less stand for all.
        let rows_max = usize::try_from(message.max_rows).unwrap_or(0);
        client.set_state(PgWireConnectionState::QueryInProgress);
        let shared = portal.state();
        let mut state = shared.lock().await;
        let mut deadline = None;
        if matches!(*state, PortalExecutionState::Initial) {
            match self.start(client, &portal).await? {
                Start::Rows(begun) => {
                    deadline = Some(begun.deadline);
                    *state = PortalExecutionState::Suspended(begun.response);
                }
                Start::Answer(Response::Query(rows)) => {
                    *state = PortalExecutionState::Suspended(rows);
                }
                Start::Answer(answer) => {
                    let command = &portal.statement.statement.planned.command;
                    command.forget_statements(client, &session);
                    send_answer(client, answer).await?;
                    client.set_state(PgWireConnectionState::ReadyForQuery);
                    return Ok(());
                }
            }
        }
        let may_have_more = send_rows(client, &mut state, rows_max).await?;
        if let Some(deadline) = deadline.filter(|_| may_have_more) {
            session.suspend(&shared, deadline);
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        Ok(())
    }

    async fn on_sync<C>(&self, client: &mut C, _: PgSync) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Arc<Prepared>>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let status = client.transaction_status();
        // Outside a transaction this is the end of one.
        match status {
            TransactionStatus::Idle => client.portal_store().clear_portals(),
            TransactionStatus::Transaction | TransactionStatus::Error => {
                client.portal_store().rm_portal(DEFAULT_NAME);
            }
        }
        let ready = PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(status));
        Ok(client.send(ready).await?)
    }

    async fn on_close<C>(&self, client: &mut C, message: Close) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Arc<Prepared>>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let session = session_of(client)?;
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        match message.target_type {
            TARGET_TYPE_BYTE_STATEMENT => {
                client.portal_store().rm_statement(name);
                session.forget(name);
            }
            TARGET_TYPE_BYTE_PORTAL => client.portal_store().rm_portal(name),
            _ => {}
        }
        Ok(client
            .feed(PgWireBackendMessage::CloseComplete(CloseComplete::new()))
            .await?)
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Arc<Prepared>>,
        _: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Arc<Prepared>>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match self.start(client, portal).await? {
            Start::Rows(begun) => Ok(Response::Query(begun.response)),
            Start::Answer(answer) => Ok(answer),
        }
    }
}
