//! A subscription at work: publish requests, notifications in order, deliveries, acknowledgements, signs of life.
//!
//! Kept here:
//! - A notification is acknowledged to the server only after the receipt for its samples (E1). What was not acknowledged
//!   the server would send again; a crash of the gateway loses nothing that it had acknowledged.
//! - At most [`WINDOW`] notifications are on our side, under way or waiting: while the gateway takes none, no more are
//!   asked for, the server queues (`queue_size` values per item), and what overflows there is marked by the server.
//! - Notifications are delivered whole, one at a time, in the order of their sequence numbers.
//! - A server is asked for its state every second; no answer within 3 s is a lost link, so that a silent server is
//!   reported within 5 s.
//!
//! After a lost link a subscription goes on in the new session where the server allows it (`resume`), with what it has queued
//! in between. Where it does not, values sampled while the link was down are read from the server's history if the tags ask
//! for it (`backfill`), else they are lost; the lost link is reported either way.

mod backfill;
mod create;
mod deliver;
mod events;
mod probe;
mod resume;
mod take;

use std::{collections::VecDeque, time::Duration};

use forebay_connectors::{Closed, Outlet};
use opcua::types::{
    DateTime, NotificationMessage, PublishResponse, StatusCode, SubscriptionAcknowledgement,
    Variant,
};
use tokio::{
    task::{JoinError, JoinSet},
    time::{self, Instant, Interval, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::{backfill::Filled, deliver::Delivery};
pub(crate) use self::{
    create::report,
    probe::{PROBE_EVERY, PROBE_LIMIT, check_state},
    resume::Resume,
};
use crate::{
    error::OpcuaError,
    items::Items,
    order::Order,
    session::{Carrier, Granted, Limits, Session},
    settings::Settings,
    types::Types,
};

/// Notifications and publish requests under way.
const WINDOW: usize = 3;
/// How often what the server refused is asked for again.
const RETRY_EVERY: Duration = Duration::from_secs(30);
/// The server tells that a subscription lives at least this often; after twice as long it is taken for lost.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// How long the gateway may take nothing before the server gives the subscription up.
const LIFETIME: Duration = Duration::from_secs(300);
const NOTIFICATIONS_MAX: u32 = 1000;
/// How often the times up to which values are durable are written.
pub(crate) const SAVE_EVERY: Duration = Duration::from_secs(10);
/// Answers that are here already, and only have to be picked up.
const LAST_WORDS_LIMIT: Duration = Duration::from_millis(50);
/// Pauses between two requests for history, whatever is configured.
const FILL_PAUSE_MIN: Duration = Duration::from_millis(1);
/// Receipts under way at the end.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// Why a pump stopped.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It was asked to.
    Stopped,
    /// The gateway takes no more.
    Closed,
    /// The link is lost.
    Lost(String),
}

type Published = Result<PublishResponse, OpcuaError>;
type Republished = (u32, Result<NotificationMessage, OpcuaError>);

pub(crate) struct Pump<'a> {
    settings: &'a Settings,
    session: &'a Session,
    items: &'a mut Items,
    outlet: Outlet,
    granted: Granted,
    server_start: Option<DateTime>,
    limits: Limits,
    window: usize,
    order: Order<NotificationMessage>,
    queue: VecDeque<Delivery>,
    acknowledged: Vec<SubscriptionAcknowledgement>,
    publishes: JoinSet<Published>,
    republishes: JoinSet<Republished>,
    /// Structures that the next notification has and that are being asked for.
    learning: JoinSet<Result<Types, OpcuaError>>,
    deliveries: JoinSet<(Delivery, Result<(), Closed>)>,
    probes: JoinSet<Result<Option<Variant>, OpcuaError>>,
    backfills: JoinSet<Result<Vec<Filled>, OpcuaError>>,
    /// The server gives no history, for as long as this session lasts.
    has_no_history: bool,
    /// Before this no history is asked for.
    fill_from: Instant,
    heard_at: Instant,
    any_delivered: bool,
    announced: Option<u32>,
    /// Whether every notification of the subscription has come or may come.
    is_whole: bool,
    /// The subscription goes on, and nobody has asked yet what has not changed meanwhile.
    is_unconfirmed: bool,
}

enum Event {
    Stop,
    Carrier(OpcuaError),
    Published(Result<Published, JoinError>),
    Republished(Result<Republished, JoinError>),
    Learned(Result<Result<Types, OpcuaError>, JoinError>),
    Delivered(Result<(Delivery, Result<(), Closed>), JoinError>),
    Probed(Result<Result<Option<Variant>, OpcuaError>, JoinError>),
    Filled(Result<Result<Vec<Filled>, OpcuaError>, JoinError>),
    Probe,
    Retry,
    Fill,
    Save,
}

impl<'a> Pump<'a> {
    /// Makes the subscription, or takes over that of the link before; its items come with [`Pump::run`].
    pub(crate) async fn start(
        settings: &'a Settings,
        session: &'a Session,
        items: &'a mut Items,
        outlet: Outlet,
        resume: Option<Resume>,
    ) -> Result<Self, OpcuaError> {
        let limits = session.limits().await?;
        let server_start = session.server_start().await?;
        // Behind a restart the same number may be the subscription of another client.
        let resume = resume
            .filter(|resume| resume.server_start.is_some() && resume.server_start == server_start);
        let carried = match resume {
            Some(resume) => resume::carry_over(settings, session, resume).await?,
            None => None,
        };
        let is_carried = carried.is_some();
        let carried = match carried {
            Some(carried) => carried,
            None => resume::Carried::new(subscribe(settings, session).await?),
        };
        if is_carried {
            items.carried_over();
        } else {
            items.forget_subscription();
        }
        Ok(Self {
            settings,
            session,
            items,
            outlet,
            granted: carried.granted,
            server_start,
            limits,
            window: WINDOW,
            order: carried.order,
            queue: VecDeque::new(),
            acknowledged: Vec::new(),
            publishes: JoinSet::new(),
            republishes: JoinSet::new(),
            learning: JoinSet::new(),
            deliveries: JoinSet::new(),
            probes: JoinSet::new(),
            backfills: JoinSet::new(),
            has_no_history: false,
            fill_from: Instant::now(),
            heard_at: Instant::now(),
            any_delivered: is_carried,
            announced: None,
            is_whole: true,
            is_unconfirmed: is_carried,
        })
    }

    /// The subscription's id at the server.
    pub(crate) fn subscription(&self) -> u32 {
        self.granted.id
    }

    /// What a later session needs to go on; none where this subscription has lost something that it cannot make up for.
    pub(crate) fn resume(self) -> Option<Resume> {
        let resume = Resume {
            granted: self.granted,
            server_start: self.server_start,
            next: self.order.expected(),
        };
        self.is_whole.then_some(resume)
    }

    /// Runs until the link is lost or `stop` is cancelled, and then hands over what has arrived.
    pub(crate) async fn run(&mut self, carrier: &mut Carrier, stop: &CancellationToken) -> Ended {
        let ended = match self.flow(carrier, stop).await {
            Ok(ended) => ended,
            Err(error) => Ended::Lost(error.to_string()),
        };
        if matches!(ended, Ended::Closed) {
            return ended;
        }
        if matches!(ended, Ended::Lost(_)) {
            self.take_last().await;
        }
        let ended = tokio::select! {
            drained = self.drain() => if drained.is_err() { Ended::Closed } else { ended },
            () = given_up(stop) => {
                warn!(connector = self.settings.name, "stopped before the gateway had taken all notifications");
                ended
            }
        };
        self.save().await;
        ended
    }

    /// Takes in what came just before the link was lost: a server's last words may be seen after its end.
    async fn take_last(&mut self) {
        while let Ok(Some(last)) = time::timeout(LAST_WORDS_LIMIT, self.publishes.join_next()).await
        {
            if let Ok(Ok(answer)) = last
                && let Err(error) = self.published(Ok(answer))
            {
                warn!(connector = self.settings.name, %error, "decoding the last notifications failed");
                return;
            }
        }
    }

    async fn flow(
        &mut self,
        carrier: &mut Carrier,
        stop: &CancellationToken,
    ) -> Result<Ended, OpcuaError> {
        if let Some(ended) = self.complete(carrier, stop).await? {
            return Ok(ended);
        }
        let mut probe = every(PROBE_EVERY);
        let mut retry = every(RETRY_EVERY);
        let mut save = every(SAVE_EVERY);
        let mut fill = every(self.settings.history.pause.max(FILL_PAUSE_MIN));
        fill.reset_after(self.settings.history.delay);
        loop {
            if self.items.alarms.wants_refresh(Instant::now())
                && let Some(ended) = self.complete(carrier, stop).await?
            {
                return Ok(ended);
            }
            self.ask();
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => Event::Stop,
                ended = carrier.ended() => Event::Carrier(ended),
                Some(done) = self.deliveries.join_next() => Event::Delivered(done),
                Some(done) = self.publishes.join_next() => Event::Published(done),
                Some(done) = self.republishes.join_next() => Event::Republished(done),
                Some(done) = self.learning.join_next() => Event::Learned(done),
                Some(done) = self.probes.join_next() => Event::Probed(done),
                Some(done) = self.backfills.join_next() => Event::Filled(done),
                _ = probe.tick() => Event::Probe,
                _ = retry.tick() => Event::Retry,
                _ = fill.tick() => Event::Fill,
                _ = save.tick() => Event::Save,
            };
            match event {
                Event::Stop => return Ok(Ended::Stopped),
                Event::Carrier(ended) => return Err(ended),
                Event::Delivered(done) => {
                    if self.delivered(joined(done)?).is_err() {
                        return Ok(Ended::Closed);
                    }
                }
                Event::Published(done) => self.published(joined(done)?)?,
                Event::Republished(done) => self.republished(joined(done)?).await?,
                Event::Learned(done) => {
                    self.items.types.merge(joined(done)??);
                    self.take_in()?;
                }
                Event::Filled(done) => self.filled(joined(done)?)?,
                Event::Fill => self.fill(),
                Event::Save => self.save().await,
                Event::Probed(done) => check_state(joined(done)??)?,
                Event::Probe => self.probe()?,
                Event::Retry => {
                    let reminders = self.items.reminders(Instant::now());
                    self.hand_over(Delivery::of(reminders));
                    if let Some(ended) = self.complete(carrier, stop).await? {
                        return Ok(ended);
                    }
                }
            }
        }
    }

    async fn set_up(&mut self) -> Result<(), OpcuaError> {
        if std::mem::take(&mut self.is_unconfirmed) {
            self.take_in()?;
            self.confirm().await?;
        }
        self.create_missing().await?;
        self.hear_events().await
    }

    /// Creates what is missing, unless the link or the connector ends in between.
    async fn complete(
        &mut self,
        carrier: &mut Carrier,
        stop: &CancellationToken,
    ) -> Result<Option<Ended>, OpcuaError> {
        tokio::select! {
            created = self.set_up() => created.map(|()| None),
            ended = carrier.ended() => Err(ended),
            () = stop.cancelled() => Ok(Some(Ended::Stopped)),
        }
    }

    /// Keeps as many publish requests at the server as there is room for their answers.
    fn ask(&mut self) {
        let limit =
            self.granted.keep_alive.saturating_mul(WINDOW as u32 + 1) + self.settings.timeout;
        while self.publishes.len() + self.order.held() + self.queue.len() + self.deliveries.len()
            < self.window
        {
            if self.publishes.is_empty() {
                self.heard_at = Instant::now();
            }
            let acknowledged = std::mem::take(&mut self.acknowledged);
            self.publishes
                .spawn(self.session.clone().publish(acknowledged, limit));
        }
    }
}

fn joined<T>(done: Result<T, JoinError>) -> Result<T, OpcuaError> {
    done.map_err(|error| OpcuaError::Ended(error.to_string()))
}

async fn subscribe(settings: &Settings, session: &Session) -> Result<Granted, OpcuaError> {
    let interval = settings.publishing_interval;
    let times = |span: Duration| {
        u32::try_from(span.as_millis() / interval.as_millis().max(1))
            .unwrap_or(1)
            .max(1)
    };
    let keep_alives = times(KEEP_ALIVE);
    // The specification wants at least three keep-alives to a lifetime.
    let lifetimes = times(LIFETIME).max(keep_alives.saturating_mul(3));
    let made = session
        .subscribe(interval, keep_alives, lifetimes, NOTIFICATIONS_MAX)
        .await;
    match made {
        Err(OpcuaError::Service {
            step,
            status: status @ (StatusCode::BadServiceUnsupported | StatusCode::BadNotImplemented),
            ..
        }) => Err(OpcuaError::Service {
            step,
            status,
            detail: "the server has no subscriptions: set acquisition = \"poll\"".to_owned(),
        }),
        made => made,
    }
}

/// First after one period, so that a start is not asked twice.
fn every(period: Duration) -> Interval {
    let mut interval = time::interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// After a stop the gateway gets a while to take what is under way; before it, as long as it needs.
pub(crate) async fn given_up(stop: &CancellationToken) {
    stop.cancelled().await;
    time::sleep(DRAIN_LIMIT).await;
}
