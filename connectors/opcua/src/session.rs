//! One session with a server: endpoints, secure channel, login, and the services used here.
//!
//! Built from the library's secure channel and request builders, not from its `Session`: that one acknowledges
//! notifications as they arrive and reconnects on its own, while here an acknowledgement waits for the receipt (E1) and
//! every loss of the link is reported. Each step has a time limit. Nothing is retried here.

mod identity;
mod learn;
mod login;
mod services;

use std::{sync::Arc, time::Duration};

use forebay_schemas::Clock;
use opcua::{
    client::{
        AsyncSecureChannel, UARequest,
        services::{
            CloseSession, CreateMonitoredItems, CreateSubscription, DeleteSubscriptions, Publish,
            Read, Republish,
        },
    },
    core::handle::AtomicHandle,
    crypto::{CertificateStore, SecurityPolicy},
    sync::RwLock,
    types::{
        AttributeId, ByteString, DataValue, EndpointDescription, MonitoredItemCreateRequest,
        NodeId, NotificationMessage, PublishResponse, ReadValueId, StatusCode,
        SubscriptionAcknowledgement, TimestampsToReturn, VariableId, Variant,
    },
};
use tokio::{task::JoinSet, time};

pub(crate) use self::services::Limits;
use self::{
    identity::user,
    login::{connect, discover, log_in},
};
use crate::{
    dial::{CALL_PATIENCE, Dial},
    endpoint,
    error::OpcuaError,
    pki::{Claim, Pki, first_certificate},
    settings::Settings,
    wire,
};

/// The library's number of a session, for its log lines only.
const LOG_ID: u32 = 0;
/// Whatever a server grants, its subscription has to be heard of this often.
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(3600);
/// Good-byes to a server that may be gone.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

type Store = Arc<RwLock<CertificateStore>>;

/// An activated session. Clones share it.
#[derive(Clone)]
pub(crate) struct Session {
    channel: Arc<AsyncSecureChannel>,
    token: NodeId,
    timeout: Duration,
}

/// The task that moves a session's bytes; dropping it cuts the connection.
pub(crate) struct Carrier(JoinSet<StatusCode>);

/// A subscription as the server granted it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Granted {
    pub(crate) id: u32,
    /// The longest time without any notification.
    pub(crate) keep_alive: Duration,
}

impl Carrier {
    /// Waits for the connection's end and answers why it ended.
    pub(crate) async fn ended(&mut self) -> OpcuaError {
        let why = match self.0.join_next().await {
            Some(Ok(StatusCode::Good)) | None => "closed".to_owned(),
            Some(Ok(status)) => crate::value::name(status),
            // The library's decoders are not proven against hostile bytes; a panic there is a broken connection.
            Some(Err(error)) => error.to_string(),
        };
        OpcuaError::Ended(why)
    }
}

impl Session {
    /// Connects, checks the server's certificate, and logs in. In reverse the server is waited for, at first for `patience`.
    pub(crate) async fn open(
        settings: &Settings,
        pki: Option<Pki>,
        dial: &Dial,
        patience: Duration,
    ) -> Result<(Self, Carrier, EndpointDescription), OpcuaError> {
        let config = wire::client_config(settings);
        let offered = discover(settings, &config, dial, patience).await?;
        let mut endpoint = endpoint::choose(settings, &offered)?;
        let store = match pki {
            Some(pki) => {
                let shown = endpoint.server_certificate.clone();
                let (policy, host) = (settings.policy, settings.host().to_owned());
                let application_uri = endpoint.server.application_uri.as_ref().to_owned();
                let accept = move || {
                    let claim = Claim {
                        host: &host,
                        application_uri: &application_uri,
                    };
                    pki.accept(&shown, policy, claim)
                };
                blocking(accept).await?
            }
            None => CertificateStore::new(&settings.pki.dir),
        };
        // The library takes a chain for one certificate.
        if let Ok(own) = first_certificate(endpoint.server_certificate.as_ref()) {
            endpoint.server_certificate = ByteString::from(own);
        }
        let store = Arc::new(RwLock::new(store));
        let user = user(settings).await?;
        dial.await_server(CALL_PATIENCE).await?;
        let (channel, mut carrier) = connect(settings, &config, &endpoint, &store, dial).await?;
        let login = log_in(settings, &channel, &endpoint, &store, user);
        let token = tokio::select! {
            token = login => token?,
            ended = carrier.ended() => return Err(ended),
        };
        Ok((
            Self {
                channel,
                token,
                timeout: settings.timeout,
            },
            carrier,
            endpoint,
        ))
    }

    /// The values of variables, as they are now.
    pub(crate) async fn read(
        &self,
        variables: &[VariableId],
        limit: Duration,
    ) -> Result<Vec<DataValue>, OpcuaError> {
        let step = "read";
        let node = |variable: &VariableId| ReadValueId {
            node_id: (*variable).into(),
            attribute_id: AttributeId::Value as u32,
            ..ReadValueId::default()
        };
        let request = Read::new_manual(
            LOG_ID,
            limit,
            self.token.clone(),
            self.channel.request_handle(),
        )
        .timestamps_to_return(TimestampsToReturn::Neither)
        .nodes_to_read(variables.iter().map(node).collect());
        Ok(within(step, limit, request.send(&self.channel))
            .await?
            .results
            .unwrap_or_default())
    }

    /// The URIs of the server's namespaces, in the order of their numbers.
    pub(crate) async fn namespaces(&self) -> Result<Vec<String>, OpcuaError> {
        let found = self
            .read(&[VariableId::Server_NamespaceArray], self.timeout)
            .await?;
        let Some(Variant::Array(array)) = found.into_iter().next().and_then(|data| data.value)
        else {
            return Ok(Vec::new());
        };
        let text = |value: Variant| match value {
            Variant::String(text) => text.as_ref().to_owned(),
            _ => String::new(),
        };
        Ok(array.values.into_iter().map(text).collect())
    }

    /// Makes a subscription.
    pub(crate) async fn subscribe(
        &self,
        interval: Duration,
        keep_alives: u32,
        lifetimes: u32,
        notifications_max: u32,
    ) -> Result<Granted, OpcuaError> {
        let request = CreateSubscription::new_manual(
            LOG_ID,
            self.timeout,
            self.token.clone(),
            self.channel.request_handle(),
        )
        .publishing_interval(interval)
        .max_keep_alive_count(keep_alives)
        .max_lifetime_count(lifetimes)
        .max_notifications_per_publish(notifications_max);
        let granted = within(
            "create the subscription",
            self.timeout,
            request.send(&self.channel),
        )
        .await?;
        let interval_ms = granted.revised_publishing_interval;
        let interval = Duration::try_from_secs_f64(interval_ms / 1000.0).unwrap_or(interval);
        let keep_alive = interval
            .saturating_mul(granted.revised_max_keep_alive_count.max(1))
            .min(KEEP_ALIVE_MAX);
        Ok(Granted {
            id: granted.subscription_id,
            keep_alive,
        })
    }

    /// Makes monitored items; one status for each, in order.
    pub(crate) async fn monitor(
        &self,
        subscription: u32,
        items: Vec<MonitoredItemCreateRequest>,
    ) -> Result<Vec<StatusCode>, OpcuaError> {
        // Every item has its handle; the library wants a source of them all the same.
        let handles = AtomicHandle::new(1);
        let request = CreateMonitoredItems::new_manual(
            subscription,
            &handles,
            LOG_ID,
            self.timeout,
            self.token.clone(),
            self.channel.request_handle(),
        )
        .timestamps_to_return(TimestampsToReturn::Both)
        .items_to_create(items);
        let created = within(
            "create the monitored items",
            self.timeout,
            request.send(&self.channel),
        )
        .await?;
        Ok(created
            .results
            .into_iter()
            .map(|item| item.result.status_code)
            .collect())
    }

    /// Waits for the next notification, after acknowledging earlier ones.
    pub(crate) async fn publish(
        self,
        acknowledged: Vec<SubscriptionAcknowledgement>,
        limit: Duration,
    ) -> Result<PublishResponse, OpcuaError> {
        let request = Publish::new_manual(
            LOG_ID,
            limit,
            self.token.clone(),
            self.channel.request_handle(),
        )
        .acks(acknowledged);
        within("publish", limit, request.send(&self.channel)).await
    }

    /// Asks for a notification again.
    pub(crate) async fn republish(
        self,
        subscription: u32,
        sequence: u32,
    ) -> Result<NotificationMessage, OpcuaError> {
        let request = Republish::new_manual(
            subscription,
            sequence,
            LOG_ID,
            self.timeout,
            self.token.clone(),
            self.channel.request_handle(),
        );
        Ok(
            within("republish", self.timeout, request.send(&self.channel))
                .await?
                .notification_message,
        )
    }

    /// Ends a subscription; one that is not there any more is as good.
    pub(crate) async fn unsubscribe(&self, subscription: u32) -> Result<(), OpcuaError> {
        let request = DeleteSubscriptions::new_manual(
            LOG_ID,
            CLOSE_LIMIT,
            self.token.clone(),
            self.channel.request_handle(),
        )
        .subscription(subscription);
        let step = "delete the subscription";
        match within(step, CLOSE_LIMIT, request.send(&self.channel)).await {
            Ok(_) | Err(OpcuaError::Service { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Says good-bye and ends what the session has at the server; a server that does not answer is left.
    pub(crate) async fn close(self, mut carrier: Carrier, subscription: Option<u32>) {
        let good_bye = async {
            if let Some(id) = subscription {
                self.unsubscribe(id).await?;
            }
            self.close_session(Subscriptions::Deleted).await
        };
        if said(good_bye, &mut carrier).await {
            self.leave(carrier).await;
        }
    }

    /// Says good-bye, and leaves the subscriptions to a later session.
    pub(crate) async fn hand_on(self, mut carrier: Carrier) {
        let good_bye = self.close_session(Subscriptions::Kept);
        if said(good_bye, &mut carrier).await {
            self.leave(carrier).await;
        }
    }

    /// Ends the connection alone: the server keeps the session for its time, and the subscriptions for theirs.
    pub(crate) async fn leave(self, mut carrier: Carrier) {
        self.channel.close_channel().await;
        if time::timeout(CLOSE_LIMIT, carrier.ended()).await.is_err() {
            tracing::debug!("timed out closing the channel");
        }
    }

    async fn close_session(&self, subscriptions: Subscriptions) -> Result<(), OpcuaError> {
        let request = CloseSession::new_manual(
            LOG_ID,
            CLOSE_LIMIT,
            self.token.clone(),
            self.channel.request_handle(),
        )
        .delete_subscriptions(subscriptions == Subscriptions::Deleted);
        let step = "close the session";
        within(step, CLOSE_LIMIT, request.send(&self.channel)).await?;
        Ok(())
    }
}

/// What becomes of a closed session's subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subscriptions {
    Deleted,
    Kept,
}

/// Says good-bye; false where the connection ended before.
async fn said(
    good_bye: impl Future<Output = Result<(), OpcuaError>>,
    carrier: &mut Carrier,
) -> bool {
    tokio::select! {
        said = good_bye => {
            if let Err(error) = said {
                tracing::debug!(%error, "closing the session failed");
            }
            true
        }
        _ = carrier.ended() => false,
    }
}

async fn within<T>(
    step: &'static str,
    limit: Duration,
    work: impl Future<Output = Result<T, opcua::types::Error>>,
) -> Result<T, OpcuaError> {
    match time::timeout(limit, work).await {
        Ok(done) => done.map_err(|error| OpcuaError::service(step, &error)),
        Err(_) => Err(OpcuaError::Timeout { step, limit }),
    }
}

/// Runs what reads files or computes keys away from the reactor.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpcuaError> + Send + 'static,
) -> Result<T, OpcuaError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(OpcuaError::Ended(error.to_string())),
    }
}

/// Makes the certificate store ready, where security needs one.
pub(crate) async fn prepare_pki(
    settings: &Settings,
    clock: Clock,
) -> Result<Option<Pki>, OpcuaError> {
    if settings.policy == SecurityPolicy::None {
        return Ok(None);
    }
    let pki = settings.pki.clone();
    blocking(move || Pki::prepare(&pki, clock)).await.map(Some)
}
