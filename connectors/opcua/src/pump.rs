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
//! It deliberately does not move a subscription to a new session: values sampled while the link is down are lost, and
//! the lost link is reported.

mod create;
mod probe;

use std::{collections::VecDeque, time::Duration};

use forebay_connectors::{Closed, Outlet, Sample};
use opcua::types::{
    DataChangeNotification, NotificationMessage, PublishResponse, StatusChangeNotification,
    StatusCode, SubscriptionAcknowledgement, Variant,
};
use tokio::{
    task::{JoinError, JoinSet},
    time::{self, Instant, Interval, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::probe::check_state;
use crate::{
    error::OpcuaError,
    items::Items,
    order::Order,
    session::{Carrier, Granted, Session},
    settings::Settings,
    value,
};

/// Notifications and publish requests under way.
const WINDOW: usize = 3;
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// How often what the server refused is asked for again.
const RETRY_EVERY: Duration = Duration::from_secs(30);
/// The server tells that a subscription lives at least this often; after twice as long it is taken for lost.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// How long the gateway may take nothing before the server gives the subscription up.
const LIFETIME: Duration = Duration::from_secs(300);
const NOTIFICATIONS_MAX: u32 = 1000;
const ITEMS_PER_CALL: usize = 500;
/// Answers that are here already, and only have to be picked up.
const LAST_WORDS_LIMIT: Duration = Duration::from_millis(50);
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
    items_per_call: usize,
    window: usize,
    order: Order<Option<NotificationMessage>>,
    queue: VecDeque<(u32, Vec<Sample>)>,
    acknowledged: Vec<SubscriptionAcknowledgement>,
    publishes: JoinSet<Published>,
    republishes: JoinSet<Republished>,
    deliveries: JoinSet<(Option<u32>, Result<(), Closed>)>,
    probes: JoinSet<Result<Option<Variant>, OpcuaError>>,
    heard_at: Instant,
    any_delivered: bool,
    announced: Option<u32>,
}

enum Event {
    Stop,
    Carrier(OpcuaError),
    Published(Result<Published, JoinError>),
    Republished(Result<Republished, JoinError>),
    Delivered(Result<(Option<u32>, Result<(), Closed>), JoinError>),
    Probed(Result<Result<Option<Variant>, OpcuaError>, JoinError>),
    Probe,
    Retry,
}

impl<'a> Pump<'a> {
    /// Makes the subscription; its items come with [`Pump::run`].
    pub(crate) async fn start(
        settings: &'a Settings,
        session: &'a Session,
        items: &'a mut Items,
        outlet: Outlet,
    ) -> Result<Self, OpcuaError> {
        items.forget_subscription();
        let interval = settings.publishing_interval;
        let times = |span: Duration| {
            u32::try_from(span.as_millis() / interval.as_millis().max(1))
                .unwrap_or(1)
                .max(1)
        };
        let keep_alives = times(KEEP_ALIVE);
        // The specification wants at least three keep-alives to a lifetime.
        let lifetimes = times(LIFETIME).max(keep_alives.saturating_mul(3));
        let granted = session
            .subscribe(interval, keep_alives, lifetimes, NOTIFICATIONS_MAX)
            .await?;
        let items_per_call = session
            .items_per_call()
            .await?
            .unwrap_or(ITEMS_PER_CALL)
            .min(ITEMS_PER_CALL);
        Ok(Self {
            settings,
            session,
            items,
            outlet,
            granted,
            items_per_call,
            window: WINDOW,
            order: Order::new(),
            queue: VecDeque::new(),
            acknowledged: Vec::new(),
            publishes: JoinSet::new(),
            republishes: JoinSet::new(),
            deliveries: JoinSet::new(),
            probes: JoinSet::new(),
            heard_at: Instant::now(),
            any_delivered: false,
            announced: None,
        })
    }

    /// The subscription's id at the server.
    pub(crate) fn subscription(&self) -> u32 {
        self.granted.id
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
        tokio::select! {
            drained = self.drain() => if drained.is_err() { Ended::Closed } else { ended },
            () = given_up(stop) => {
                warn!(connector = self.settings.name, "stopped before the gateway had taken all notifications");
                ended
            }
        }
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
        loop {
            self.ask();
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => Event::Stop,
                ended = carrier.ended() => Event::Carrier(ended),
                Some(done) = self.deliveries.join_next() => Event::Delivered(done),
                Some(done) = self.publishes.join_next() => Event::Published(done),
                Some(done) = self.republishes.join_next() => Event::Republished(done),
                Some(done) = self.probes.join_next() => Event::Probed(done),
                _ = probe.tick() => Event::Probe,
                _ = retry.tick() => Event::Retry,
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
                Event::Republished(done) => self.republished(joined(done)?)?,
                Event::Probed(done) => check_state(joined(done)??)?,
                Event::Probe => self.probe()?,
                Event::Retry => {
                    let reminders = self.items.reminders(Instant::now());
                    self.hand_over(None, reminders);
                    if let Some(ended) = self.complete(carrier, stop).await? {
                        return Ok(ended);
                    }
                }
            }
        }
    }

    /// Creates what is missing, unless the link or the connector ends in between.
    async fn complete(
        &mut self,
        carrier: &mut Carrier,
        stop: &CancellationToken,
    ) -> Result<Option<Ended>, OpcuaError> {
        tokio::select! {
            created = self.create_missing() => created.map(|()| None),
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

    fn published(&mut self, published: Published) -> Result<(), OpcuaError> {
        let answer = match published {
            Ok(answer) => answer,
            // Some servers keep fewer requests than we would like.
            Err(OpcuaError::Service {
                status: StatusCode::BadTooManyPublishRequests,
                ..
            }) if self.window > 1 => {
                self.window -= 1;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.heard_at = Instant::now();
        if answer.subscription_id != self.granted.id {
            return Ok(());
        }
        let message = answer.notification_message;
        if message.notification_data.as_ref().is_none_or(Vec::is_empty) {
            self.announced = Some(message.sequence_number);
            return Ok(());
        }
        self.order.offer(message.sequence_number, Some(message));
        self.take_in()
    }

    fn take_in(&mut self) -> Result<(), OpcuaError> {
        while let Some((sequence, message)) = self.order.pop() {
            let samples = self.samples(message)?;
            self.any_delivered = true;
            self.hand_over(Some(sequence), samples);
        }
        if let Some(sequence) = self.order.missing()
            && self.republishes.is_empty()
        {
            let (session, id) = (self.session.clone(), self.granted.id);
            self.republishes
                .spawn(async move { (sequence, session.republish(id, sequence).await) });
        }
        Ok(())
    }

    fn republished(&mut self, (sequence, message): Republished) -> Result<(), OpcuaError> {
        if self.order.missing() != Some(sequence) {
            return self.take_in();
        }
        match message {
            Ok(message)
                if message
                    .notification_data
                    .as_ref()
                    .is_some_and(|data| !data.is_empty()) =>
            {
                self.order.offer(sequence, Some(message));
            }
            // Numbers that do not begin at 1, or that count keep-alives: not as specified, and nothing is lost.
            _ if !self.any_delivered || self.announced == Some(sequence) => self.order.skip(),
            _ => {
                return Err(OpcuaError::Ended(format!(
                    "notification {sequence} is lost, and the server has forgotten it"
                )));
            }
        }
        self.take_in()
    }

    fn samples(&mut self, message: Option<NotificationMessage>) -> Result<Vec<Sample>, OpcuaError> {
        let mut samples = Vec::new();
        let now = Instant::now();
        let parts = message
            .and_then(|message| message.notification_data)
            .unwrap_or_default();
        for part in parts {
            if let Some(change) = part.inner_as::<StatusChangeNotification>() {
                return Err(OpcuaError::Ended(format!(
                    "the server ended the subscription: {}",
                    value::name(change.status)
                )));
            }
            let what = part.type_name();
            match part.into_inner_as::<DataChangeNotification>() {
                Some(changes) => {
                    for change in changes.monitored_items.unwrap_or_default() {
                        self.items.notified(change, now, &mut samples);
                    }
                }
                None => warn!(
                    ?what,
                    "skipped a kind of notification that was not subscribed"
                ),
            }
        }
        Ok(samples)
    }

    /// Hands samples over after all earlier ones.
    fn hand_over(&mut self, sequence: Option<u32>, samples: Vec<Sample>) {
        if samples.is_empty() && self.queue.is_empty() && self.deliveries.is_empty() {
            self.acknowledge(sequence);
            return;
        }
        self.queue.push_back((sequence.unwrap_or(0), samples));
        self.deliver_next();
    }

    fn deliver_next(&mut self) {
        if !self.deliveries.is_empty() {
            return;
        }
        if let Some((sequence, samples)) = self.queue.pop_front() {
            let outlet = self.outlet.clone();
            self.deliveries.spawn(async move {
                let sequence = (sequence != 0).then_some(sequence);
                if samples.is_empty() {
                    (sequence, Ok(()))
                } else {
                    (sequence, outlet.deliver(samples).await)
                }
            });
        }
    }

    fn delivered(
        &mut self,
        (sequence, receipt): (Option<u32>, Result<(), Closed>),
    ) -> Result<(), Closed> {
        receipt?;
        self.acknowledge(sequence);
        self.deliver_next();
        Ok(())
    }

    fn acknowledge(&mut self, sequence: Option<u32>) {
        let subscription_id = self.granted.id;
        self.acknowledged
            .extend(sequence.map(|sequence_number| SubscriptionAcknowledgement {
                subscription_id,
                sequence_number,
            }));
    }

    /// Hands over what has arrived.
    async fn drain(&mut self) -> Result<(), Closed> {
        while let Some(done) = self.deliveries.join_next().await {
            match done {
                Ok(delivered) => self.delivered(delivered)?,
                Err(_) => return Err(Closed),
            }
        }
        Ok(())
    }
}

fn joined<T>(done: Result<T, JoinError>) -> Result<T, OpcuaError> {
    done.map_err(|error| OpcuaError::Ended(error.to_string()))
}

/// First after one period, so that a start is not asked twice.
fn every(period: Duration) -> Interval {
    let mut interval = time::interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// After a stop the gateway gets a while to take what is under way; before it, as long as it needs.
async fn given_up(stop: &CancellationToken) {
    stop.cancelled().await;
    time::sleep(DRAIN_LIMIT).await;
}
