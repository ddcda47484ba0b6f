//! The connector: listens, serves, and listens again with back-off.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use forebay_connectors::{
    Closed, Connector, ConnectorError, Declared, LinkChange, Outlet, RuleId, Uniform,
};
use forebay_runtime::Backoff;
use forebay_tls::{OwnCertificate, server_config};
use tokio::{net::TcpListener, select, sync::mpsc, time::sleep};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    intake::{WAITING_MAX, hand_over},
    route::Rule,
    server::{Settings, serve},
};

/// Where certificates lie.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    pub(crate) own: OwnCertificate,
    /// Authorities that vouch for clients; none lets everybody in.
    pub(crate) client_ca: Option<PathBuf>,
}

/// One configured listener.
pub(crate) struct Http {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) silent_after: Option<Duration>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) uniform: Uniform,
}

impl Http {
    async fn listen(&self) -> Result<(TcpListener, Option<TlsAcceptor>), String> {
        let tls = match &self.tls {
            Some(files) => {
                let config = server_config(&files.own, files.client_ca.as_deref())
                    .map_err(|error| error.to_string())?;
                Some(TlsAcceptor::from(Arc::new(config)))
            }
            None => None,
        };
        let listener = TcpListener::bind(self.address)
            .await
            .map_err(|error| format!("listening on {} failed: {error}", self.address))?;
        Ok((listener, tls))
    }

    /// Listens, with back-off; none after a stop.
    async fn listening(
        &self,
        outlet: &Outlet,
        stop: &CancellationToken,
    ) -> Result<Option<(TcpListener, Option<TlsAcceptor>)>, Closed> {
        let mut failures = 0_u32;
        loop {
            let reason = match self.listen().await {
                Ok(listening) => return Ok(Some(listening)),
                Err(reason) => reason,
            };
            failures = failures.saturating_add(1);
            let wait = Backoff::default().wait(failures, (self.uniform)());
            warn!(reason, failures, ?wait, "listening failed, retrying");
            outlet.link(change(Some(reason))).await?;
            select! {
                () = sleep(wait) => {}
                () = stop.cancelled() => return Ok(None),
            }
        }
    }

    async fn serve(&self, outlet: &Outlet, stop: CancellationToken) -> Result<(), Closed> {
        let Some((listener, tls)) = self.listening(outlet, &stop).await? else {
            return Ok(());
        };
        if let Ok(address) = listener.local_addr() {
            info!(%address, tls = tls.is_some(), "listening for requests");
        }
        outlet.link(change(None)).await?;
        let (posted, waiting) = mpsc::channel(WAITING_MAX);
        // A gateway that takes nothing more ends the server too, and requests that wait are answered with 503.
        let ending = stop.child_token();
        let serving = serve(
            listener,
            tls,
            self.settings.clone(),
            posted,
            outlet.clone(),
            ending.clone(),
        );
        let handing = async {
            let handed = hand_over(waiting, outlet, self.silent_after).await;
            ending.cancel();
            handed
        };
        let ((), handed) = tokio::join!(serving, handing);
        handed
    }
}

#[async_trait]
impl Connector for Http {
    fn declared(&self) -> Vec<Declared> {
        self.settings
            .rules
            .iter()
            .filter_map(Rule::declared)
            .collect()
    }

    fn brings(&self, rule: RuleId) -> Option<String> {
        self.settings.rules.get(rule.0).map(Rule::brings)
    }

    async fn run(&self, outlet: Outlet, stop: CancellationToken) -> Result<(), ConnectorError> {
        // Closed is the gateway's end.
        self.serve(&outlet, stop).await.or(Ok(()))
    }
}

fn change(down: Option<String>) -> LinkChange {
    LinkChange { device: None, down }
}
