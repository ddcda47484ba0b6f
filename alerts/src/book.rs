//! All alerts of a gateway, and what the facts of a moment make of them.
//!
//! Invariants kept here: there is one alert for a rule and a fact's labels; a rule has at most `instances_max` alerts that are
//! not resolved, and one more that counts the rest; what could not be read changes nothing; a fact that is gone is right.
//!
//! Pure: no I/O, and time is an argument. What is to be sent of it stands in `plan`, what a person asks of it in `request`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use forebay_schemas::{GatewayId, Timestamp};
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::{
    Facts, Instance, Rule, Severity, Silence, State, TakenUp,
    delivery::Queue,
    instance::Move,
    instant::elapsed,
    rule::{Alarmed, Verdict},
};

/// How long what is over can be looked at.
const RESOLVED_KEPT: Duration = Duration::from_secs(24 * 3600);
/// And how many of them.
const RESOLVED_MAX: usize = 1000;

/// The label of the alert that counts what is beyond `instances_max`.
const MORE: (&str, &str) = ("instances", "more");

/// Everything that outlives the process.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Book {
    /// By rule and labels.
    pub(crate) instances: BTreeMap<String, Instance>,
    pub(crate) silences: Vec<Silence>,
    /// What each route has still to be sent, oldest first.
    pub(crate) queues: BTreeMap<String, Queue>,
    /// Names of the requests that are applied, until their files are gone: none is applied twice.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) applied: BTreeSet<String>,
}

/// An alert that people are to know of, or that is over, from this moment on.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The rule.
    pub rule: String,
    /// The alert's name.
    pub alert_id: String,
    /// Where it stands now.
    pub state: State,
    /// What it says.
    pub summary: String,
}

/// What is known of one key at this moment.
struct Seen {
    verdict: Verdict,
    labels: BTreeMap<String, String>,
    severity: Severity,
    says: String,
}

impl Book {
    /// The alerts, by rule and labels.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values()
    }

    /// The silences, the oldest first.
    pub fn silences(&self) -> &[Silence] {
        &self.silences
    }

    /// The alerts over these rules' facts that somebody has taken up and that are not over.
    pub(crate) fn taken_up(&self, is_of: impl Fn(&str) -> bool) -> Vec<TakenUp> {
        let alive = self
            .instances()
            .filter(|one| !one.state.is_resolved() && is_of(&one.rule));
        let taken = alive.filter_map(|one| {
            let by = one.acknowledged.as_ref()?.by.clone();
            Some(TakenUp {
                labels: one.labels.clone(),
                by,
            })
        });
        taken.collect()
    }

    /// Deliveries that wait, by route.
    pub fn waiting(&self) -> impl Iterator<Item = (&str, usize)> {
        self.queues
            .iter()
            .map(|(route, queue)| (route.as_str(), queue.len()))
    }

    /// Judges the facts of a moment by the rules.
    pub fn advance(
        &mut self,
        rules: &[Rule],
        facts: &Facts,
        gateway: &GatewayId,
        now: Timestamp,
    ) -> Vec<Changed> {
        let mut changed = Vec::new();
        for rule in rules {
            if facts.read.contains(&rule.subject) {
                self.judge(rule, facts, gateway, now, &mut changed);
            }
        }
        self.resolve_without_rule(rules, now, &mut changed);
        self.forget(now);
        changed
    }

    fn judge(
        &mut self,
        rule: &Rule,
        facts: &Facts,
        gateway: &GatewayId,
        now: Timestamp,
        changed: &mut Vec<Changed>,
    ) {
        let mut seen = self.seen(rule, facts, now);
        let more = rule.key(&more_labels());
        let known: Vec<String> = self
            .instances
            .iter()
            .filter(|(key, instance)| instance.rule == rule.name && **key != more)
            .filter(|(_, instance)| !instance.state.is_resolved())
            .map(|(key, _)| key.clone())
            .collect();
        let mut alive = 0;
        for key in known {
            let now_seen = seen.remove(&key);
            self.move_on(rule, &key, now_seen, gateway, now, changed);
            let instance = self.instances.get(&key);
            alive += usize::from(instance.is_some_and(|instance| !instance.state.is_resolved()));
        }
        let is_unknown = seen.values().any(|seen| seen.verdict == Verdict::Unknown);
        seen.retain(|_, seen| matches!(seen.verdict, Verdict::Wrong(_)));
        let mut beyond = Vec::new();
        for (key, new) in seen {
            if alive < rule.instances_max {
                alive += 1;
                self.move_on(rule, &key, Some(new), gateway, now, changed);
            } else {
                beyond.push(new);
            }
        }
        let beyond = seen_as_one(rule, &beyond);
        // What is unknown may be among those beyond: while it is, these are not over.
        if beyond.is_some() || (self.instances.contains_key(&more) && !is_unknown) {
            self.move_on(rule, &more, beyond, gateway, now, changed);
        }
    }

    /// Each of the rule's facts by its key.
    fn seen(&self, rule: &Rule, facts: &Facts, now: Timestamp) -> BTreeMap<String, Seen> {
        let mut seen = BTreeMap::new();
        for fact in facts.facts.iter().filter(|fact| rule.takes(fact)) {
            let key = rule.key(&fact.labels);
            let alarmed = self
                .instances
                .get(&key)
                .map_or(Alarmed::No, |instance| instance.state.alarmed());
            let one = Seen {
                verdict: rule.judge(fact, alarmed, now),
                labels: fact.labels.clone(),
                severity: rule.severity_of(fact),
                says: rule.summary(fact, now),
            };
            seen.insert(key, one);
        }
        seen
    }

    /// Makes one alert's next move, if there is one.
    fn move_on(
        &mut self,
        rule: &Rule,
        key: &str,
        seen: Option<Seen>,
        gateway: &GatewayId,
        now: Timestamp,
        changed: &mut Vec<Changed>,
    ) {
        let known = self.instances.get(key);
        let verdict = seen.as_ref().map_or(&Verdict::Right, |seen| &seen.verdict);
        let made = match (known, verdict) {
            (Some(instance), verdict) => instance.state.next(verdict, rule.timing, now),
            (None, Verdict::Wrong(since)) => State::begin(*since, rule.timing, now),
            (None, Verdict::Right | Verdict::Unknown) => return,
        };
        let Move::To(state) = made else {
            self.instances.remove(key);
            return;
        };
        let was = known.map(|instance| instance.state);
        let begins_again = was.is_some_and(State::is_resolved) && !state.is_resolved();
        if was.is_none() || begins_again {
            let Some(seen) = &seen else { return };
            let instance = new_instance(rule, key, seen, state, gateway);
            self.instances.insert(key.to_owned(), instance);
        }
        let Some(instance) = self.instances.get_mut(key) else {
            return;
        };
        instance.state = state;
        if let Some(seen) = seen.filter(|seen| matches!(seen.verdict, Verdict::Wrong(_))) {
            instance.says = seen.says;
            if seen.severity > instance.severity {
                // Whoever has taken it up has not taken up what it has become.
                instance.severity = seen.severity;
                instance.acknowledged = None;
            }
        }
        let fired = state.is_firing() && !was.is_some_and(State::is_firing);
        let over = state.is_resolved() && was.is_some_and(State::is_firing);
        if fired || over {
            instance.summary = instance.text().to_owned();
            changed.push(Changed::of(instance));
        }
    }

    /// What no rule looks at any more is over.
    fn resolve_without_rule(&mut self, rules: &[Rule], now: Timestamp, changed: &mut Vec<Changed>) {
        let has_rule = |instance: &Instance| rules.iter().any(|rule| rule.name == instance.rule);
        self.instances
            .retain(|_, instance| has_rule(instance) || !is_pending(instance));
        for instance in self.instances.values_mut() {
            if !has_rule(instance) && !instance.state.is_resolved() {
                let since = instance.state.since();
                instance.state = State::Resolved { since, at: now };
                changed.push(Changed::of(instance));
            }
        }
    }

    fn forget(&mut self, now: Timestamp) {
        self.silences.retain(|silence| now < silence.until);
        let mut over: Vec<(Timestamp, String)> = self
            .instances
            .iter()
            .filter_map(|(key, instance)| Some((instance.state.resolved_at()?, key.clone())))
            .collect();
        over.sort();
        let many = over.len().saturating_sub(RESOLVED_MAX);
        for (place, (at, key)) in over.into_iter().enumerate() {
            if place < many || elapsed(at, now) > RESOLVED_KEPT {
                self.instances.remove(&key);
            }
        }
    }
}

impl Instance {
    /// What it says now, else what it said at its last move.
    pub(crate) fn text(&self) -> &str {
        if self.says.is_empty() {
            &self.summary
        } else {
            &self.says
        }
    }
}

impl Changed {
    fn of(instance: &Instance) -> Self {
        Self {
            rule: instance.rule.clone(),
            alert_id: instance.alert_id.clone(),
            state: instance.state,
            summary: instance.summary.clone(),
        }
    }
}

fn is_pending(instance: &Instance) -> bool {
    matches!(instance.state, State::Pending { .. })
}

fn new_instance(
    rule: &Rule,
    key: &str,
    seen: &Seen,
    state: State,
    gateway: &GatewayId,
) -> Instance {
    let since = state.since().micros().to_string();
    Instance {
        alert_id: id_of(&[gateway.as_str(), key, &since], 8),
        rule: rule.name.clone(),
        labels: seen.labels.clone(),
        severity: seen.severity,
        state,
        summary: seen.says.clone(),
        acknowledged: None,
        shelved_until: None,
        notified: BTreeMap::new(),
        says: seen.says.clone(),
    }
}

fn more_labels() -> BTreeMap<String, String> {
    BTreeMap::from([(MORE.0.to_owned(), MORE.1.to_owned())])
}

/// What is beyond `instances_max`, as one alert.
fn seen_as_one(rule: &Rule, beyond: &[Seen]) -> Option<Seen> {
    let since = beyond.iter().filter_map(|seen| match seen.verdict {
        Verdict::Wrong(since) => Some(since),
        Verdict::Right | Verdict::Unknown => None,
    });
    let says = format!(
        "and {} more of {:?}, such as: {}",
        beyond.len(),
        rule.name,
        beyond.first()?.says
    );
    Some(Seen {
        verdict: Verdict::Wrong(since.min()?),
        labels: more_labels(),
        severity: beyond.iter().map(|seen| seen.severity).max()?,
        says,
    })
}

/// A name that follows from these words alone: the first `bytes` of their SHA-256, in hexadecimal digits.
pub(crate) fn id_of(words: &[&str], bytes: usize) -> String {
    let mut digest = Context::new(&SHA256);
    for word in words {
        digest.update(&(word.len() as u64).to_be_bytes());
        digest.update(word.as_bytes());
    }
    hex(&digest.finish().as_ref()[..bytes])
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
