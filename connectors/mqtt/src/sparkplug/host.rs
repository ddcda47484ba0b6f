//! From messages to samples, with what is known of each node.

mod message;
mod state;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use forebay_connectors::Sample;
use forebay_runtime::RateLimit;
use forebay_schemas::DeviceId;
use tokio::time::Instant;
use tracing::{debug, warn};

use self::{message::EdgeMessage, state::OwnState};
use super::{
    NodeId, Rebirth, SparkplugSettings,
    births::{Births, KnownMetric, Metrics, Owner},
    payload::{Metric, Payload, RawValue, is_definition, rebirth_request},
    rebirth::Requests,
    store::NodeFile,
    topic::{MessageKind, SparkplugTopic},
    wire::Malformed,
};
use crate::{decode::Incoming, packet::Outgoing};

/// Nodes that are remembered.
const NODES_MAX: usize = 10_000;
/// Metrics and parts of metrics that are remembered, of all nodes together.
const METRICS_MAX: usize = 250_000;
/// How long a node may take to say its births without being asked, after a new connection to the broker.
const GRACE: Duration = Duration::from_secs(2);
/// The metric with the number of a node's session (Sparkplug 3.0.0, section 6.4.20).
const BD_SEQ: &str = "bdSeq";

/// A host application.
pub(crate) struct Host<'r> {
    settings: &'r SparkplugSettings,
    connector: &'r str,
    nodes: BTreeMap<NodeId, Node>,
    metrics: usize,
    requests: Requests,
    state: OwnState,
    full: RateLimit,
}

#[derive(Debug, Default)]
struct Node {
    births: Births,
    /// Messages may have been missed since its last birth.
    is_doubtful: bool,
    /// Its file is older than its births.
    is_changed: bool,
    saved_seq: Option<u8>,
}

impl<'r> Host<'r> {
    /// A host that knows what was kept of earlier births.
    pub(crate) fn new(
        settings: &'r SparkplugSettings,
        connector: &'r str,
        kept: Vec<(NodeId, Births)>,
    ) -> Self {
        let mut host = Self {
            settings,
            connector,
            nodes: BTreeMap::new(),
            metrics: 0,
            requests: Requests::default(),
            state: OwnState::default(),
            full: RateLimit::default(),
        };
        for (id, births) in kept.into_iter().take(NODES_MAX) {
            if host.metrics + births.count() <= METRICS_MAX {
                host.metrics += births.count();
                let saved_seq = births.seq;
                let node = Node {
                    births,
                    saved_seq,
                    ..Node::default()
                };
                host.nodes.insert(id, node);
            }
        }
        host
    }

    /// Longer payloads are not decoded.
    pub(crate) fn payload_bytes_max(&self) -> usize {
        self.settings.payload_bytes_max
    }

    /// Where births are kept.
    pub(crate) fn folder(&self) -> &'r Path {
        &self.settings.folder
    }

    /// A connection to the broker is up: what nodes said meanwhile is lost, and series behind the lost link are bad. So each is
    /// asked for its births, unless it says them unasked.
    pub(crate) fn connected(&mut self, now: Instant) {
        let alive = self.nodes.iter().filter(|(_, node)| !node.births.is_dead);
        let alive: Vec<NodeId> = alive.map(|(id, _)| id.clone()).collect();
        for id in alive {
            self.requests.want(&id, GRACE, now);
        }
    }

    /// The samples of a message.
    pub(crate) fn samples(
        &mut self,
        message: Incoming<'_>,
        is_retained: bool,
        now: Instant,
    ) -> Vec<Sample> {
        match SparkplugTopic::of(message.topic) {
            SparkplugTopic::Edge {
                kind,
                group,
                node,
                device,
            } => {
                let id = NodeId {
                    group: group.into(),
                    node: node.into(),
                };
                let mut of = EdgeMessage::new(self.settings, &id, device, message);
                self.read(kind, &mut of, now);
                of.samples
            }
            SparkplugTopic::State { host } => {
                // What is retained is what this session's own STATE has replaced, or will.
                if !is_retained && self.settings.host_id.as_deref() == Some(host) {
                    self.state.heard(message.payload);
                }
                Vec::new()
            }
            SparkplugTopic::Other => Vec::new(),
        }
    }

    fn read(&mut self, kind: MessageKind, of: &mut EdgeMessage<'_>, now: Instant) {
        let payload = match of.read() {
            Ok(payload) => payload,
            Err(reason) => return of.keep(&reason),
        };
        if !payload.is_compressed() {
            return self.edge(kind, of, payload, now);
        }
        let inflated = match payload.inflated(self.settings.payload_bytes_max) {
            Ok(inflated) => inflated,
            Err(reason) => return of.keep(&reason),
        };
        match Payload::read(&inflated) {
            Ok(inner) => {
                // The message's number is the outer one's.
                let seq = payload.seq.or(inner.seq);
                self.edge(kind, of, inner.with_seq(seq), now);
            }
            Err(Malformed) => of.keep("what the compressed payload holds is not Sparkplug B"),
        }
    }

    fn edge(
        &mut self,
        kind: MessageKind,
        of: &mut EdgeMessage<'_>,
        payload: Payload<'_>,
        now: Instant,
    ) {
        match (kind, &of.owner) {
            (MessageKind::Death, None) => self.node_death(of, payload),
            (MessageKind::Birth, None) => self.birth(of, payload, now),
            (_, _) => {
                if !self.nodes.contains_key(of.id) {
                    self.want(of.id, now);
                    return of.keep("no birth of the node is known: a rebirth is asked for");
                }
                self.count_on(of.id, payload.seq, now);
                match kind {
                    MessageKind::Birth => self.birth(of, payload, now),
                    MessageKind::Death => self.device_death(of, payload),
                    MessageKind::Data => self.data(of, payload, now),
                }
            }
        }
    }

    fn want(&mut self, id: &NodeId, now: Instant) {
        if self.requests.knows(id) || self.requests.count() < NODES_MAX {
            self.requests.want(id, Duration::ZERO, now);
        }
    }

    /// Checks the sequence number of every message but a node's birth and death.
    fn count_on(&mut self, id: &NodeId, seq: Option<u64>, now: Instant) {
        let (Some(node), Some(seq)) = (self.nodes.get_mut(id), seq) else {
            return;
        };
        let seq = seq as u8;
        let follows = node.births.seq.map(|last| last.wrapping_add(1)) == Some(seq);
        node.births.seq = Some(seq);
        if follows && !node.births.is_dead {
            return;
        }
        // A dead node that speaks was born while nobody listened.
        node.births.is_dead = false;
        node.is_doubtful = true;
        debug!(connector = self.connector, node = %id.node, seq, "messages of a Sparkplug node are missing");
        self.want(id, now);
    }

    fn birth(&mut self, of: &mut EdgeMessage<'_>, payload: Payload<'_>, now: Instant) {
        let Ok(metrics) = payload.metrics().collect::<Result<Vec<_>, _>>() else {
            self.want(of.id, now);
            return of.keep("the birth is malformed: a rebirth is asked for");
        };
        if !self.has_room(of, metrics.len()) {
            return of.keep("there are too many nodes or metrics: the birth is dropped");
        }
        let node = self.nodes.entry(of.id.clone()).or_default();
        let before = node.births.count();
        if of.owner.is_none() {
            begin_session(node, of, &metrics, payload.seq);
            self.requests.answered(of.id);
        }
        let mut known = Metrics::new();
        let mut values = Vec::new();
        for metric in metrics.iter().filter(|metric| is_value(metric)) {
            let Some(name) = metric.name else {
                continue;
            };
            known.insert(name.into(), of.known(metric));
            values.push((name, metric));
        }
        let gone = node.births.replace(&of.owner, known);
        of.room = METRICS_MAX.saturating_sub(self.metrics);
        let owner = of.owner.clone();
        of.all_bad(
            &owner,
            &gone,
            payload.timestamp,
            "the birth does not name this metric any more",
        );
        if let Some(known) = node.births.metrics.get_mut(&owner) {
            for (name, metric) in values {
                if let Some(known) = known.get_mut(name) {
                    of.birth_value(name, known, metric, payload.timestamp);
                }
            }
        }
        node.is_changed = true;
        self.metrics = (self.metrics + node.births.count()).saturating_sub(before);
    }

    fn has_room(&mut self, of: &EdgeMessage<'_>, metrics: usize) -> bool {
        let known = self.nodes.get(of.id);
        let of_owner = known.and_then(|node| node.births.metrics.get(&of.owner));
        let replaced = of_owner.map_or(0, Metrics::len);
        let has_node = known.is_some() || self.nodes.len() < NODES_MAX;
        let has_room = has_node && self.metrics + metrics <= METRICS_MAX + replaced;
        if !has_room && self.full.admit().is_some() {
            warn!(
                connector = self.connector,
                nodes = self.nodes.len(),
                metrics = self.metrics,
                "too many Sparkplug nodes or metrics, births are dropped"
            );
        }
        has_room
    }

    fn data(&mut self, of: &mut EdgeMessage<'_>, payload: Payload<'_>, now: Instant) {
        let Some(node) = self.nodes.get_mut(of.id) else {
            return;
        };
        of.is_doubtful = node.is_doubtful;
        of.room = METRICS_MAX.saturating_sub(self.metrics);
        let room = of.room;
        let mut unknown = None;
        for metric in payload.metrics() {
            let Ok(metric) = metric else {
                of.keep("a metric is malformed");
                break;
            };
            let Some((name, known)) = resolve(&mut node.births, &of.owner, &metric) else {
                unknown.get_or_insert(metric);
                continue;
            };
            of.value(&name, known, &metric, payload.timestamp);
        }
        node.is_changed |= of.room != room;
        self.metrics += room - of.room;
        if let Some(Metric { name, alias, .. }) = unknown {
            let which = match (name, alias) {
                (Some(name), _) => format!("metric {name:?}"),
                (None, Some(alias)) => format!("alias {alias}"),
                (None, None) => "metric without a name".to_owned(),
            };
            of.keep(&format!(
                "no birth names the {which}: a rebirth is asked for"
            ));
            self.want(of.id, now);
        }
    }

    fn node_death(&mut self, of: &mut EdgeMessage<'_>, payload: Payload<'_>) {
        let Some(node) = self.nodes.get_mut(of.id) else {
            return;
        };
        let dead = payload.metrics().flatten().find_map(|metric| match metric {
            Metric {
                name: Some(BD_SEQ),
                value: Some(RawValue::Int(number)),
                ..
            } => Some(number),
            _ => None,
        });
        if let (Some(dead), Some(living)) = (dead, node.births.bd_seq)
            && dead != living
        {
            debug!(connector = self.connector, node = %of.id.node, dead, living, "death of an earlier session of a Sparkplug node skipped");
            return;
        }
        node.births.is_dead = true;
        node.is_changed = true;
        // A death was written when its session began: its time says nothing.
        for (owner, metrics) in &node.births.metrics {
            of.all_bad(owner, metrics, None, "the node is offline (NDEATH)");
        }
        self.requests.answered(of.id);
    }

    fn device_death(&mut self, of: &mut EdgeMessage<'_>, payload: Payload<'_>) {
        let Some(node) = self.nodes.get(of.id) else {
            return;
        };
        let owner = of.owner.clone();
        if let Some(metrics) = node.births.metrics.get(&owner) {
            let reason = "the device is offline (DDEATH)";
            of.all_bad(&owner, metrics, payload.timestamp, reason);
        }
    }

    /// What is to be published now: requests for births, and STATE where somebody else has said that this host is offline.
    pub(crate) fn take_outgoing(&mut self, now: Instant, now_millis: u64) -> Vec<Outgoing> {
        let mut outgoing = Vec::new();
        if let Some(host_id) = &self.settings.host_id
            && let Some(state) = self.state.answer(host_id, now)
        {
            warn!(
                connector = self.connector,
                host_id,
                "STATE of this host was set to offline by another client, publishing online again"
            );
            outgoing.push(state);
        }
        if self.settings.rebirth == Rebirth::Never {
            return outgoing;
        }
        let asked = self.requests.take(now);
        if let Some(first) = asked.first() {
            debug!(
                connector = self.connector,
                nodes = asked.len(),
                first = %first.node,
                "asking Sparkplug nodes for their births"
            );
        }
        outgoing.extend(asked.iter().map(|NodeId { group, node }| Outgoing {
            topic: format!("{}/{group}/NCMD/{node}", super::NAMESPACE),
            payload: rebirth_request(now_millis),
            qos: 0,
            retain: false,
        }));
        outgoing
    }

    /// The STATE that the broker publishes when the connection breaks; a new one for each CONNECT.
    pub(crate) fn will(&mut self, now_millis: u64) -> Option<Outgoing> {
        let host_id = self.settings.host_id.as_deref()?;
        Some(self.state.will(host_id, now_millis))
    }

    /// The STATE that says that this host is there.
    pub(crate) fn online(&mut self) -> Option<Outgoing> {
        let host_id = self.settings.host_id.as_deref()?;
        Some(self.state.online(host_id))
    }

    /// The STATE before an orderly end.
    pub(crate) fn offline(&self, now_millis: u64) -> Option<Outgoing> {
        let host_id = self.settings.host_id.as_deref()?;
        Some(state::offline(host_id, now_millis))
    }

    /// Files of nodes whose births have changed since they were taken last.
    pub(crate) fn take_changed(&mut self) -> Vec<NodeFile> {
        self.take_files(|node| node.is_changed)
    }

    /// Those and the sequence numbers: with them, a restart can tell whether it has missed something.
    pub(crate) fn take_all(&mut self) -> Vec<NodeFile> {
        self.take_files(|node| node.is_changed || node.saved_seq != node.births.seq)
    }

    fn take_files(&mut self, is_due: impl Fn(&Node) -> bool) -> Vec<NodeFile> {
        let mut files = Vec::new();
        for (id, node) in self.nodes.iter_mut().filter(|(_, node)| is_due(node)) {
            files.push(NodeFile::of(id, &node.births));
            node.is_changed = false;
            node.saved_seq = node.births.seq;
        }
        files
    }
}

/// A node's birth begins a session, or says again what holds in it.
fn begin_session(
    node: &mut Node,
    of: &mut EdgeMessage<'_>,
    metrics: &[Metric<'_>],
    seq: Option<u64>,
) {
    let bd_seq = metrics.iter().find(|metric| metric.name == Some(BD_SEQ));
    let bd_seq = bd_seq.and_then(|metric| match metric.value {
        Some(RawValue::Int(number)) => Some(number),
        _ => None,
    });
    if bd_seq != node.births.bd_seq {
        // The death of the session before may not have been heard.
        let devices = node.births.metrics.iter();
        for (owner, metrics) in devices.filter(|(owner, _)| owner.is_some()) {
            let reason = "the node has begun again, and the device's birth has not come";
            of.all_bad(owner, metrics, None, reason);
        }
    }
    node.births.bd_seq = bd_seq;
    node.births.seq = seq.map(|seq| seq as u8);
    node.births.is_dead = false;
    node.is_doubtful = false;
}

/// Whether a birth's metric is a reading: not the number of the session, not a command, not the definition of a template.
fn is_value(metric: &Metric<'_>) -> bool {
    let is_command = metric.name.is_none_or(|name| {
        name == BD_SEQ || name.starts_with("Node Control/") || name.starts_with("Device Control/")
    });
    let is_definition =
        matches!(metric.value, Some(RawValue::Template(template)) if is_definition(template));
    !is_command && !is_definition
}

/// The known metric that one in a DATA message means.
fn resolve<'n>(
    births: &'n mut Births,
    owner: &Owner,
    metric: &Metric<'_>,
) -> Option<(Arc<str>, &'n mut KnownMetric)> {
    let name: Arc<str> = match (metric.name, metric.alias) {
        (Some(name), _) if !name.is_empty() => name.into(),
        (_, Some(alias)) => {
            let (of, name) = births.aliases.get(&alias)?;
            if of != owner {
                return None;
            }
            name.clone()
        }
        _ => return None,
    };
    let known = births.metrics.get_mut(owner)?.get_mut(&name)?;
    Some((name, known))
}

/// The name of a device, or the fallback where it is no valid name.
fn device_name(settings: &SparkplugSettings, id: &NodeId, device: Option<&str>) -> DeviceId {
    let name = settings.device.name(id, device);
    DeviceId::new(&name).unwrap_or_else(|_| settings.fallback.0.clone())
}
