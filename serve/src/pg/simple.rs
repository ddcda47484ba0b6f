//! The simple query protocol: the statements of a message, one after the other.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use datafusion_postgres::pgwire::{
    api::{
        ClientInfo, ClientPortalStore, PgWireConnectionState,
        portal::Format,
        query::{SimpleQueryHandler, send_query_response, send_ready_for_query},
        results::Response,
        store::PortalStore,
    },
    error::{PgWireError, PgWireResult},
    messages::{PgWireBackendMessage, response::TransactionStatus, simplequery::Query},
};
use futures::Sink;

use super::{
    commands::{Command, answer},
    handler::{Asked, Queries, cancelled, check_transaction, send_answer, session_of},
    of_query,
    session::PgSession,
    sign_in::fatal,
};
use crate::engine::Turn;

impl Queries {
    /// Answers each statement before the next one begins, so that one query's memory and rows are there at a time.
    async fn answer_message<C>(
        &self,
        client: &mut C,
        session: &Arc<PgSession>,
        sql: &str,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let parsed = self.engine.parse(sql).map_err(of_query)?;
        if parsed.is_empty() {
            return send_answer(client, Response::EmptyQuery).await;
        }
        // One cancel request ends the message, whichever statement it has come to.
        let cancelled = cancelled(session.handle.start_query().await);
        let mut turn: Option<Turn> = None;
        for parsed in parsed {
            let command = Command::of(&parsed.statement).map_err(of_query)?;
            check_transaction(client, &command)?;
            if command != Command::Query {
                command.forget_statements(client, session);
                send_answer(client, answer(&command, session)?).await?;
                continue;
            }
            // The statements of one message share a turn: each would wait for it again among all others.
            let own = match &turn {
                Some(turn) => turn.clone(),
                None => turn
                    .insert(self.engine.turn().await.map_err(of_query)?)
                    .clone(),
            };
            let asked = Asked {
                parameters: None,
                format: &Format::UnifiedText,
                turn: own,
                cancelled: cancelled.clone(),
            };
            let begun = self.query(session, &parsed, asked).await?;
            send_query_response(client, begun.response, true).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl SimpleQueryHandler for Queries {
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        let session = session_of(client)?;
        client.set_state(PgWireConnectionState::QueryInProgress);
        if client.transaction_status() == TransactionStatus::Idle {
            client.portal_store().clear_portals();
        }
        self.answer_message(client, &session, &query.query).await?;
        client.set_state(PgWireConnectionState::ReadyForQuery);
        let status = client.transaction_status();
        send_ready_for_query(client, status).await
    }

    /// Never asked: [`Self::on_query`] does not gather responses.
    async fn do_query<C>(&self, _: &mut C, _: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        Err(fatal("XX000", "responses are sent as they come"))
    }
}
