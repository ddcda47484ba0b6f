//! Tags are read in turn, for servers without subscriptions.
//!
//! Kept here:
//! - Tags of one sampling are read together, in pieces that the server takes; a piece is handed over, and its receipt awaited,
//!   before the next is read, so that a full gateway slows the reading down. What was due meanwhile is counted as skipped.
//! - A value with the source time, value and status of the one before it gives no sample.
//! - The server is asked for its state every second, as with a subscription.

use std::{collections::BTreeMap, time::Duration};

use forebay_connectors::{Closed, Outlet, Sample};
use opcua::types::{AttributeId, NodeId, ReadValueId, VariableId};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{
    error::OpcuaError,
    items::{Items, Resolved},
    pump::{Ended, PROBE_EVERY, PROBE_LIMIT, check_state, given_up, report},
    session::{Carrier, Limits, Session},
    settings::Settings,
};

/// How often namespaces that the server lacked are looked up again.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// Reads the tags of a connector until its link is lost.
pub(crate) struct Poller<'a> {
    settings: &'a Settings,
    session: &'a Session,
    items: &'a mut Items,
    outlet: Outlet,
    limits: Limits,
    groups: Vec<Group>,
}

/// Tags with one sampling.
struct Group {
    every: Duration,
    due: Instant,
    /// The place of the next tag to read.
    at: usize,
    handles: Vec<u32>,
}

enum Event {
    Stop,
    Carrier(OpcuaError),
    Probe,
    Resolve,
    Due,
}

/// What came of an event.
enum Done {
    Stopped,
    Samples(Vec<Sample>),
}

impl<'a> Poller<'a> {
    pub(crate) async fn start(
        settings: &'a Settings,
        session: &'a Session,
        items: &'a mut Items,
        outlet: Outlet,
    ) -> Result<Self, OpcuaError> {
        let limits = session.limits().await?;
        items.forget_subscription();
        Ok(Self {
            settings,
            session,
            items,
            outlet,
            limits,
            groups: Vec::new(),
        })
    }

    /// Runs until the link is lost or `stop` is cancelled.
    pub(crate) async fn run(&mut self, carrier: &mut Carrier, stop: &CancellationToken) -> Ended {
        let mut probe = every(PROBE_EVERY);
        let mut resolve = every(RESOLVE_EVERY);
        loop {
            let due = self.groups.iter().map(|group| group.due).min();
            let due = due.unwrap_or_else(|| Instant::now() + RESOLVE_EVERY);
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => Event::Stop,
                ended = carrier.ended() => Event::Carrier(ended),
                _ = resolve.tick() => Event::Resolve,
                _ = probe.tick() => Event::Probe,
                () = sleep_until(due) => Event::Due,
            };
            let work = async {
                match event {
                    Event::Stop => Ok(Done::Stopped),
                    Event::Carrier(error) => Err(error),
                    Event::Probe => self.probe().await,
                    Event::Resolve => self.resolve().await,
                    Event::Due => self.read_due().await,
                }
            };
            let done = tokio::select! {
                done = work => done,
                ended = carrier.ended() => Err(ended),
                () = stop.cancelled() => Ok(Done::Stopped),
            };
            let samples = match done {
                Ok(Done::Stopped) => return Ended::Stopped,
                Ok(Done::Samples(samples)) => samples,
                Err(error) => return Ended::Lost(error.to_string()),
            };
            // Not given up with the link: the receipt of what is under way is awaited.
            tokio::select! {
                delivered = self.deliver(samples) => if delivered.is_err() {
                    return Ended::Closed;
                },
                () = given_up(stop) => return Ended::Stopped,
            }
        }
    }

    async fn probe(&self) -> Result<Done, OpcuaError> {
        let state = VariableId::Server_ServerStatus_State;
        let found = self.session.read(&[state], PROBE_LIMIT).await?;
        check_state(found.into_iter().next().and_then(|data| data.value))?;
        Ok(Done::Samples(Vec::new()))
    }

    /// Looks up what the server calls the tags' nodes, and says again what stays bad.
    async fn resolve(&mut self) -> Result<Done, OpcuaError> {
        let now = Instant::now();
        let mut samples = self.items.reminders(now);
        let namespaces = self.session.namespaces().await?;
        let all = self.items.all();
        let Resolved { found, nowhere } = self.items.resolve(all, &namespaces);
        for (handle, uri) in nowhere {
            samples.extend(self.items.without_namespace(handle, &uri, now));
        }
        let enumerations = self.items.enumerations(&found);
        let mut by_sampling: BTreeMap<Duration, Vec<u32>> = BTreeMap::new();
        for handle in found {
            if let Some(tag) = self.items.tag(handle) {
                by_sampling.entry(tag.sampling).or_default().push(handle);
            }
        }
        let names = self.session.learn_names(&enumerations, self.limits).await?;
        for (handle, names) in names {
            self.items.named(handle, names);
        }
        let due = |every: Duration| {
            let known = self.groups.iter().find(|group| group.every == every);
            known.map_or(now, |group| group.due)
        };
        self.groups = by_sampling
            .into_iter()
            .map(|(every, handles)| Group {
                every,
                due: due(every),
                at: 0,
                handles,
            })
            .collect();
        report(&self.settings.name, self.items.news());
        Ok(Done::Samples(samples))
    }

    /// Reads the next piece of the group that has waited longest.
    async fn read_due(&mut self) -> Result<Done, OpcuaError> {
        let Some(group) = self.groups.iter_mut().min_by_key(|group| group.due) else {
            return Ok(Done::Samples(Vec::new()));
        };
        let rest = group.handles.iter().skip(group.at);
        let some: Vec<u32> = rest.take(self.limits.read).copied().collect();
        group.at += some.len();
        if group.at >= group.handles.len() {
            let late = Instant::now().saturating_duration_since(group.due);
            let missed = late.as_nanos() / group.every.as_nanos().max(1);
            let missed = u32::try_from(missed).unwrap_or(u32::MAX);
            group.due += group.every.saturating_mul(missed.saturating_add(1));
            group.at = 0;
            self.outlet.note_skipped(u64::from(missed));
        }
        let node = |handle| Some((handle, self.items.node(handle)?));
        let some: Vec<(u32, NodeId)> = some.into_iter().filter_map(node).collect();
        let wanted: Vec<ReadValueId> = some
            .iter()
            .map(|(_, node)| ReadValueId::new(node.clone(), AttributeId::Value))
            .collect();
        let values = self
            .session
            .read_attributes(&wanted, self.limits.read)
            .await?;
        let mut lacking = Vec::new();
        for value in &values {
            self.items.types.lacking(value, &mut lacking);
        }
        if !lacking.is_empty() {
            let session = self.session.clone();
            let learned = session.learn_structures(lacking, self.limits).await?;
            self.items.types.merge(learned);
        }
        let now = Instant::now();
        let mut samples = Vec::new();
        for ((handle, node), value) in some.iter().zip(values) {
            self.items.polled(*handle, node, value, now, &mut samples);
        }
        report(&self.settings.name, self.items.news());
        Ok(Done::Samples(samples))
    }

    async fn deliver(&self, samples: Vec<Sample>) -> Result<(), Closed> {
        if samples.is_empty() {
            return Ok(());
        }
        self.outlet.deliver(samples).await
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
