//! The connector: connects, serves, and connects again with back-off.
//!
//! Each connection is new from its socket up; only the intake, with its receipts, goes on.

use async_trait::async_trait;
use forebay_connectors::{
    Closed, Connector, ConnectorError, Declared, IllegalMove, LinkEvent, LinkState, Outlet, RuleId,
    SessionId, Uniform,
};
use forebay_runtime::Backoff;
use forebay_schemas::Clock;
use std::time::Duration;
use tokio::{
    select,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    client::{ANSWER_TIME, Settings, Stream},
    connection::{Connection, End, Progress},
    decode::Rules,
    intake::{Intake, Meaning},
    sparkplug::{self, Host, SparkplugSettings},
};

/// A connection that ends sooner counts as a failed attempt, so that two clients of one name do not chase each other.
const SHORT_LIFE: Duration = Duration::from_secs(5);
/// Failed attempts that short lives count for at most: a link that often breaks still comes back within seconds.
const SHORT_LIVES_MAX: u32 = 4;
/// How long receipts are awaited after a stop while no connection is up.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// One configured broker.
pub(crate) struct Mqtt {
    settings: Settings,
    content: Content,
    clock: Clock,
    uniform: Uniform,
    backoff: Backoff,
}

/// What messages are.
#[derive(Debug)]
pub(crate) enum Content {
    /// Payloads, by rules.
    Rules(Rules),
    /// Sparkplug B.
    Sparkplug(SparkplugSettings),
}

impl Mqtt {
    pub(crate) fn new(
        settings: Settings,
        content: Content,
        clock: Clock,
        uniform: Uniform,
    ) -> Self {
        Self {
            settings,
            content,
            clock,
            uniform,
            backoff: Backoff::default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    #[cfg(test)]
    pub(crate) fn rules(&self) -> &Rules {
        match &self.content {
            Content::Rules(rules) => rules,
            Content::Sparkplug(_) => panic!("a connector with Sparkplug B has no rules"),
        }
    }

    #[cfg(test)]
    pub(crate) fn sparkplug(&self) -> &SparkplugSettings {
        match &self.content {
            Content::Sparkplug(settings) => settings,
            Content::Rules(_) => panic!("a connector with rules has no Sparkplug B"),
        }
    }

    async fn attempt(
        &self,
        intake: &mut Intake<'_>,
        progress: &mut Progress,
        stop: &CancellationToken,
    ) -> End {
        progress.up_since = None;
        let stream = select! {
            dialled = timeout(ANSWER_TIME, self.settings.dial()) => match dialled {
                Ok(Ok(stream)) => stream,
                Ok(Err(reason)) => return End::Lost(reason),
                Err(_) => return End::Lost(self.no_answer("the connection")),
            },
            Closed = idle(intake) => return End::Closed,
            () = stop.cancelled() => return End::Stopped,
        };
        let opened = select! {
            opened = timeout(ANSWER_TIME, self.open(stream, intake, progress)) => opened,
            () = stop.cancelled() => return End::Stopped,
        };
        match opened {
            Ok(Ok(connection)) => connection.serve(stop).await,
            Ok(Err(reason)) => End::Lost(reason),
            Err(_) => End::Lost(self.no_answer("CONNECT")),
        }
    }

    async fn open<'c, 'r>(
        &'c self,
        stream: Box<dyn Stream>,
        intake: &'c mut Intake<'r>,
        progress: &'c mut Progress,
    ) -> Result<Connection<'c, 'r>, String> {
        Connection::open(&self.settings, &self.clock, stream, intake, progress).await
    }

    fn no_answer(&self, to: &str) -> String {
        let Settings { host, port, .. } = &self.settings;
        format!("{host}:{port} did not answer {to} within {ANSWER_TIME:?}")
    }

    /// Waits before the next attempt; answers an end where there will be none.
    async fn pause(
        &self,
        wait: Duration,
        intake: &mut Intake<'_>,
        stop: &CancellationToken,
    ) -> Option<End> {
        select! {
            () = sleep(wait) => None,
            Closed = idle(intake) => Some(End::Closed),
            () = stop.cancelled() => Some(End::Stopped),
        }
    }

    async fn go(
        &self,
        intake: &mut Intake<'_>,
        stop: &CancellationToken,
    ) -> Result<End, IllegalMove> {
        let mut link = LinkState::Idle;
        let mut progress = Progress::default();
        let mut reported: Option<String> = None;
        let mut short_lives = 0u32;
        loop {
            link = link.next(LinkEvent::Try)?;
            let end = self.attempt(intake, &mut progress, stop).await;
            intake.disconnected();
            let End::Lost(mut reason) = end else {
                return Ok(end);
            };
            if let Some(since) = progress.up_since {
                link = link.next(LinkEvent::Established)?;
                reported = None;
                short_lives = if since.elapsed() < SHORT_LIFE {
                    short_lives.saturating_add(1)
                } else {
                    0
                };
                if short_lives > 1 {
                    reason.push_str("; it was up for less than 5 s again, has another client the same client_id?");
                }
            }
            link = link.next(LinkEvent::Lost(reason.clone()))?;
            let attempts = link.failures().max(short_lives.min(SHORT_LIVES_MAX));
            let wait = self.backoff.wait(attempts, (self.uniform)());
            warn!(
                connector = self.settings.name,
                attempts,
                wait_ms = wait.as_millis(),
                reason,
                "link to the broker lost, backing off"
            );
            // The same reason again is no change.
            if reported.as_ref() != Some(&reason) {
                intake.link(Some(reason.clone()));
                reported = Some(reason);
            }
            if let Some(end) = self.pause(wait, intake, stop).await {
                return Ok(end);
            }
        }
    }
}

/// Delivers what waits while no connection is up; comes back only when the gateway has stopped.
async fn idle(intake: &mut Intake<'_>) -> Closed {
    loop {
        if let Err(closed) = intake.deliver().await {
            return closed;
        }
    }
}

#[async_trait]
impl Connector for Mqtt {
    fn declared(&self) -> Vec<Declared> {
        match &self.content {
            Content::Rules(rules) => rules.declared(),
            Content::Sparkplug(_) => Vec::new(),
        }
    }

    fn brings(&self, rule: RuleId) -> Option<String> {
        let topics = &self.settings.topics;
        match &self.content {
            Content::Rules(rules) => rules.brings(rule, topics),
            Content::Sparkplug(settings) => settings.brings(rule, topics),
        }
    }

    fn session(&self) -> Option<SessionId> {
        self.settings.session_id()
    }

    async fn run(&self, outlet: Outlet, stop: CancellationToken) -> Result<(), ConnectorError> {
        let Settings {
            session,
            in_flight_max,
            ..
        } = self.settings;
        if self.settings.password.is_some() && self.settings.tls.is_none() {
            warn!(
                connector = self.settings.name,
                host = self.settings.host,
                "the password is sent unencrypted: use mqtts://"
            );
        }
        let name = &self.settings.name;
        let meaning = match &self.content {
            Content::Rules(rules) => Meaning::of(rules, outlet.known()),
            Content::Sparkplug(settings) => {
                let kept = sparkplug::restore(name, &settings.folder).await;
                Meaning::Sparkplug(Box::new(Host::new(settings, name, kept)))
            }
        };
        let mut intake = Intake::new(name, outlet, meaning, session, in_flight_max);
        let end = self
            .go(&mut intake, &stop)
            .await
            .map_err(|error| ConnectorError {
                what: "the state of the link to the broker is broken, restart the gateway"
                    .to_owned(),
                source: Some(Box::new(error)),
            })?;
        if end == End::Stopped {
            intake.forget_repeatable();
            let deadline = Instant::now() + DRAIN_TIME;
            while intake.is_busy() {
                match tokio::time::timeout_at(deadline, intake.deliver()).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(Closed)) => break,
                    Err(_) => {
                        warn!(
                            connector = name,
                            "timed out waiting for the gateway's receipt after the stop"
                        );
                        break;
                    }
                }
            }
        }
        if let Some(host) = intake.host() {
            sparkplug::save(name, host.folder(), host.take_all()).await;
        }
        Ok(())
    }
}
