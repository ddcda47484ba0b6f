//! The connector: one link to one server, set up again for ever.

use std::time::Duration;

use async_trait::async_trait;
use forebay_connectors::{
    Closed, Connector, ConnectorError, Context, Declared, LinkChange, LinkEvent, LinkState, Outlet,
};
use forebay_runtime::Backoff;
use opcua::types::EndpointDescription;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    dial::{CALL_PATIENCE, Dial},
    error::OpcuaError,
    history::History,
    items::Items,
    pki::Pki,
    poll::Poller,
    pump::{Ended, Pump, Resume},
    session::{self, Carrier, Session},
    settings::{Acquisition, Settings},
};

/// A configured connector.
pub(crate) struct Opcua {
    settings: Settings,
    context: Context,
}

/// Why a run ends, other than by a lost link.
enum Over {
    Stopped,
    Closed,
    Failed(ConnectorError),
}

struct Link {
    state: LinkState,
    /// What was last reported to the gateway: up, or down and why.
    reported: Option<LinkChange>,
    /// The subscription of the link before, which may go on.
    resume: Option<Resume>,
    dial: Dial,
}

/// What takes values while a link is up.
enum Source<'a> {
    Subscription(Box<Pump<'a>>),
    Poll(Poller<'a>),
}

impl Source<'_> {
    async fn run(&mut self, carrier: &mut Carrier, stop: &CancellationToken) -> Ended {
        match self {
            Self::Subscription(pump) => pump.run(carrier, stop).await,
            Self::Poll(poller) => poller.run(carrier, stop).await,
        }
    }

    /// The subscription's id at the server.
    fn subscription(&self) -> Option<u32> {
        match self {
            Self::Subscription(pump) => Some(pump.subscription()),
            Self::Poll(_) => None,
        }
    }

    fn resume(self) -> Option<Resume> {
        match self {
            Self::Subscription(pump) => pump.resume(),
            Self::Poll(_) => None,
        }
    }
}

impl Opcua {
    pub(crate) fn new(settings: Settings, context: Context) -> Self {
        Self { settings, context }
    }

    async fn keep_linked(&self, outlet: &Outlet, stop: &CancellationToken) -> Result<(), Over> {
        let clock = &self.context.clock;
        let history = self.history().await;
        let mut items = Items::new(&self.settings, history, clock.clone(), outlet.known());
        let mut link = Link {
            state: LinkState::Idle,
            reported: None,
            resume: None,
            dial: Dial::new(&self.settings),
        };
        loop {
            link.moved(LinkEvent::Try)?;
            let prepared = tokio::select! {
                prepared = session::prepare_pki(&self.settings, clock.clone()) => prepared,
                () = stop.cancelled() => return Err(Over::Stopped),
            };
            let reason = match prepared {
                Ok(pki) => {
                    self.link_once(&mut link, pki, &mut items, outlet, stop)
                        .await?
                }
                // A person has to mend it, and may do so while the other connectors go on.
                Err(error) => self.refused(error)?,
            };
            link.moved(LinkEvent::Lost(reason.clone()))?;
            link.report(outlet, Some(reason)).await?;
            let wait = Backoff::default().wait(link.state.failures(), (self.context.uniform)());
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return Err(Over::Stopped),
            }
        }
    }

    /// Links, and pumps until the link is lost; answers why.
    async fn link_once(
        &self,
        link: &mut Link,
        pki: Option<Pki>,
        items: &mut Items,
        outlet: &Outlet,
        stop: &CancellationToken,
    ) -> Result<String, Over> {
        let name = &self.settings.name;
        let opened = tokio::select! {
            opened = self.open(link, pki) => opened,
            () = stop.cancelled() => return Err(Over::Stopped),
        };
        let (session, mut carrier, endpoint) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.refused(error),
        };
        let resume = link.resume.take();
        let source = tokio::select! {
            source = self.source(&session, items, outlet, resume) => source,
            ended = carrier.ended() => Err(ended),
            () = stop.cancelled() => {
                session.clone().close(carrier, resume.map(Resume::subscription)).await;
                return Err(Over::Stopped);
            }
        };
        let mut source = match source {
            Ok(source) => source,
            Err(error) => {
                // The subscription may be this session's by now, and the next one's to take over.
                link.resume = resume;
                match resume {
                    Some(_) => session.clone().hand_on(carrier).await,
                    None => session.clone().close(carrier, None).await,
                }
                return self.refused(error);
            }
        };
        link.moved(LinkEvent::Established)?;
        info!(connector = %name, endpoint = %endpoint.endpoint_url, "connected to the server");
        let reported = link.report(outlet, None).await;
        let ended = if reported.is_ok() {
            source.run(&mut carrier, stop).await
        } else {
            Ended::Closed
        };
        let subscription = source.subscription();
        link.resume = source.resume();
        match ended {
            Ended::Lost(reason) => {
                warn!(connector = %name, reason, "connection lost, retrying");
                // Reported at once; a server that still listens gets its good-bye afterwards.
                link.report(outlet, Some(reason.clone())).await?;
                match link.resume {
                    // A server that was only slow still queues for the next session, unless it is told that nobody comes.
                    Some(_) => session.leave(carrier).await,
                    None => session.close(carrier, subscription).await,
                }
                Ok(reason)
            }
            Ended::Stopped => {
                session.close(carrier, subscription).await;
                Err(Over::Stopped)
            }
            Ended::Closed => {
                session.close(carrier, subscription).await;
                Err(Over::Closed)
            }
        }
    }

    async fn open(
        &self,
        link: &Link,
        pki: Option<Pki>,
    ) -> Result<(Session, Carrier, EndpointDescription), OpcuaError> {
        let patience = link.patience(self.settings.timeout);
        Session::open(&self.settings, pki, &link.dial, patience).await
    }

    async fn source<'a>(
        &'a self,
        session: &'a Session,
        items: &'a mut Items,
        outlet: &Outlet,
        resume: Option<Resume>,
    ) -> Result<Source<'a>, OpcuaError> {
        let outlet = outlet.clone();
        Ok(match self.settings.acquisition {
            Acquisition::Subscribe => {
                let pump = Pump::start(&self.settings, session, items, outlet, resume).await?;
                Source::Subscription(Box::new(pump))
            }
            Acquisition::Poll => {
                Source::Poll(Poller::start(&self.settings, session, items, outlet).await?)
            }
        })
    }

    /// What an earlier process knew of gaps; a file that cannot be read costs their back-fill and nothing else.
    async fn history(&self) -> History {
        let settings = self.settings.clone();
        let loaded = session::blocking(move || {
            History::load(&settings).map_err(|error| OpcuaError::Pki {
                path: settings.history_file.clone(),
                what: error.to_string(),
            })
        });
        loaded.await.unwrap_or_else(|error| {
            warn!(connector = %self.settings.name, %error, "reading the state of the back-fill failed");
            History::new(&self.settings)
        })
    }

    fn refused(&self, error: OpcuaError) -> Result<String, Over> {
        warn!(connector = %self.settings.name, %error, kind = ?error.kind(), "connecting to the server failed, retrying");
        Ok(error.to_string())
    }
}

impl Link {
    fn moved(&mut self, event: LinkEvent) -> Result<(), Over> {
        let state = std::mem::replace(&mut self.state, LinkState::Idle);
        self.state = state.next(event).map_err(|error| {
            Over::Failed(ConnectorError {
                what: "the link made an illegal move".to_owned(),
                source: Some(error.into()),
            })
        })?;
        Ok(())
    }

    /// How long a server that connects to us is waited for: as long as any answer until the loss is reported, then longer.
    fn patience(&self, timeout: Duration) -> Duration {
        match &self.reported {
            Some(LinkChange { down: Some(_), .. }) => CALL_PATIENCE,
            _ => timeout,
        }
    }

    /// Tells the gateway what it does not know yet.
    async fn report(&mut self, outlet: &Outlet, down: Option<String>) -> Result<(), Over> {
        let change = LinkChange { device: None, down };
        if self.reported.as_ref() != Some(&change) {
            outlet
                .link(change.clone())
                .await
                .map_err(|Closed| Over::Closed)?;
            self.reported = Some(change);
        }
        Ok(())
    }
}

#[async_trait]
impl Connector for Opcua {
    fn declared(&self) -> Vec<Declared> {
        let declared = |tag: &crate::settings::Tag| Declared {
            rule: tag.target.rule,
            device: tag.target.device.clone(),
            tag: tag.target.tag.clone(),
        };
        self.settings.tags.iter().map(declared).collect()
    }

    async fn run(&self, outlet: Outlet, stop: CancellationToken) -> Result<(), ConnectorError> {
        match self.keep_linked(&outlet, &stop).await {
            Ok(()) | Err(Over::Stopped | Over::Closed) => Ok(()),
            Err(Over::Failed(error)) => Err(error),
        }
    }
}
