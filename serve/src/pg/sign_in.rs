//! The start of a connection: SCRAM-SHA-256, and nothing that a stranger could get past.
//!
//! Invariant: a [`PgSession`] exists only after a right proof; every handler asks for it, so a connection that has not
//! signed in runs nothing.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use datafusion_postgres::pgwire::{
    api::{
        ClientInfo, ConnectionManager, METADATA_USER, PgWireConnectionState,
        PidSecretKeyGenerator as _, RandomPidSecretKeyGenerator,
        auth::{
            DefaultServerParameterProvider, StartupHandler, finish_authentication,
            protocol_negotiation, save_startup_parameters_to_metadata,
        },
    },
    error::{ErrorInfo, PgWireError, PgWireResult},
    messages::{
        PgWireBackendMessage, PgWireFrontendMessage,
        startup::{Authentication, PasswordMessageFamily, Startup},
    },
};
use futures::{Sink, SinkExt as _};
use ring::rand::SystemRandom;
use tokio::sync::Mutex;
use tracing::warn;

use super::session::PgSession;
use crate::{
    audit::{Asker, Door, ServeProgress},
    doorway::Place,
    functions::SERVER_VERSION,
    lockout::Lockout,
    scram::{Exchange, MECHANISM, ScramError},
    secrets::Secrets,
    user::User,
};

/// What all connections share for signing in.
pub(crate) struct SignIn {
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) lockout: Arc<Lockout>,
    pub(crate) progress: Arc<ServeProgress>,
    pub(crate) connections: Arc<ConnectionManager>,
    pub(crate) process_ids: RandomPidSecretKeyGenerator,
    /// Whether a client of another machine must use TLS.
    pub(crate) has_tls: bool,
}

/// One connection's way in.
pub(super) struct SignInHandler {
    shared: Arc<SignIn>,
    /// The connection's.
    place: Place,
    step: Mutex<Step>,
}

enum Step {
    /// The client's first message of SCRAM comes next.
    First,
    /// Its last one does.
    Last(Box<Exchange>, Option<Arc<User>>),
    /// There is nothing more to come.
    Over,
}

impl SignInHandler {
    pub(super) fn new(shared: Arc<SignIn>, place: Place) -> Self {
        Self {
            shared,
            place,
            step: Mutex::new(Step::First),
        }
    }

    async fn begin<C>(&self, client: &mut C, startup: &Startup) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        protocol_negotiation(client, startup).await?;
        save_startup_parameters_to_metadata(client, startup);
        let peer = client.socket_addr();
        if self.shared.has_tls && !client.is_secure() && !peer.ip().is_loopback() {
            let why = "this server expects TLS: connect with sslmode=require";
            return Err(fatal("28000", why));
        }
        self.may_try(client)?;
        client.set_state(PgWireConnectionState::AuthenticationInProgress);
        let offered = Authentication::SASL(vec![MECHANISM.to_owned()]);
        client
            .send(PgWireBackendMessage::Authentication(offered))
            .await?;
        Ok(())
    }

    fn may_try<C: ClientInfo>(&self, client: &C) -> PgWireResult<()> {
        let address = client.socket_addr().ip();
        match self.shared.lockout.wait(address, &name_of(client)) {
            None => Ok(()),
            Some(wait) => {
                let seconds = wait.as_secs_f64().ceil();
                let why = format!("too many wrong passwords: locked out for {seconds} s");
                Err(fatal("28000", &why))
            }
        }
    }

    /// The right proof: from here on the connection may ask.
    async fn enter<C>(&self, client: &mut C, user: Arc<User>) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let (id, secret) = self.shared.process_ids.generate(client);
        client.set_pid_and_secret_key(id, secret.clone());
        let (handle, guard) = self.shared.connections.register(id, secret);
        let asker = Asker {
            user,
            peer: client.socket_addr(),
            door: Door::Postgres,
        };
        let session = PgSession::new(asker, handle, guard);
        for name in [
            "timezone",
            "application_name",
            "datestyle",
            "extra_float_digits",
        ] {
            let given = client
                .metadata()
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name));
            if let Some((_, value)) = given {
                // A client that asks for a zone that is not known gets UTC, as its parameter says.
                let _refused = session.set(name, value);
            }
        }
        let parameters = parameters(session.setting("timezone").unwrap_or_default());
        client.session_extensions().insert(session);
        finish_authentication(client, &parameters).await
    }
}

#[async_trait]
impl StartupHandler for SignInHandler {
    async fn on_startup<C>(
        &self,
        client: &mut C,
        message: PgWireFrontendMessage,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let body = match message {
            PgWireFrontendMessage::Startup(startup) => return self.begin(client, &startup).await,
            PgWireFrontendMessage::PasswordMessageFamily(PasswordMessageFamily::Raw(body)) => body,
            _ => return Err(fatal("08P01", "sign in first")),
        };
        let mut step = self.step.lock().await;
        match std::mem::replace(&mut *step, Step::Over) {
            Step::First => {
                self.may_try(client)?;
                let Some(first) = initial_response(&body) else {
                    return Err(fatal("28000", "SCRAM-SHA-256 is expected"));
                };
                let (verifier, user) = self.shared.secrets.users().verifier(&name_of(client));
                let exchange = Exchange::begin(first, verifier, &SystemRandom::new());
                let exchange = exchange.map_err(|error| fatal("08P01", &error.to_string()))?;
                let answer = exchange.server_first().as_bytes().to_vec();
                let answer = Authentication::SASLContinue(answer.into());
                client
                    .send(PgWireBackendMessage::Authentication(answer))
                    .await?;
                *step = Step::Last(Box::new(exchange), user);
                Ok(())
            }
            Step::Last(exchange, user) => {
                let (answer, user) = match (exchange.finish(&body), user) {
                    (Ok(answer), Some(user)) => (answer, user),
                    (Err(ScramError::Malformed(why)), _) => return Err(fatal("08P01", why)),
                    _ => return Err(self.wrong(client)),
                };
                let address = client.socket_addr().ip();
                self.shared.lockout.passed(address, &user.name);
                if let Err(refusal) = self.place.signed_in(&user.name) {
                    return Err(fatal("53300", refusal.why()));
                }
                let answer = Authentication::SASLFinal(answer.into_bytes().into());
                client
                    .feed(PgWireBackendMessage::Authentication(answer))
                    .await?;
                self.enter(client, user).await
            }
            Step::Over => Err(fatal("08P01", "the sign-in is over")),
        }
    }
}

impl SignInHandler {
    fn wrong<C: ClientInfo>(&self, client: &C) -> PgWireError {
        let (name, peer) = (name_of(client), client.socket_addr());
        self.shared.lockout.failed(peer.ip(), &name);
        let failed = &self.shared.progress.logins_failed;
        failed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        warn!(user = name, %peer, door = "postgres", "sign-in failed: wrong name or password");
        fatal(
            "28P01",
            &format!("password authentication failed for user {name:?}"),
        )
    }
}

/// The data of a SASLInitialResponse for our mechanism: its name, a zero, the length of what follows.
fn initial_response(body: &[u8]) -> Option<&[u8]> {
    let rest = body
        .strip_prefix(MECHANISM.as_bytes())?
        .strip_prefix(&[0])?;
    let (length, data) = rest.split_first_chunk::<4>()?;
    (usize::try_from(u32::from_be_bytes(*length)).ok()? == data.len()).then_some(data)
}

/// The name that a client gave, cut to what a log line bears.
fn name_of<C: ClientInfo>(client: &C) -> String {
    let name = client.metadata().get(METADATA_USER);
    name.map_or_else(String::new, |name| name.chars().take(64).collect())
}

/// What the server says of itself.
fn parameters(time_zone: String) -> DefaultServerParameterProvider {
    let mut parameters = DefaultServerParameterProvider::default();
    parameters.server_version = SERVER_VERSION.to_owned();
    parameters.is_superuser = false;
    parameters.default_transaction_read_only = true;
    parameters.time_zone = time_zone;
    parameters
}

/// An error after which the connection is closed.
pub(super) fn fatal(code: &str, why: &str) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new(
        "FATAL".to_owned(),
        code.to_owned(),
        why.to_owned(),
    )))
}
