//! When nodes are asked for their births: with pauses that grow, and a few a second for all nodes together.
//!
//! A node that needs its births asked for again and again, since its messages go missing or two nodes have one name, is asked ever
//! less often; after a quiet time it counts as new.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::NodeId;

/// The pause after the first request; each further one doubles it.
const PAUSE: Duration = Duration::from_secs(5);
const DOUBLINGS_MAX: u32 = 7;
/// Without a request for so long, the pauses begin from the first again.
const QUIET: Duration = Duration::from_secs(3600);
/// Requests that may go out within [`ROUND`].
const ROUND_MAX: u32 = 20;
const ROUND: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
struct Asked {
    /// When the next request may go out; none while there is nothing to ask for.
    due: Option<Instant>,
    last: Option<Instant>,
    requests: u32,
}

/// Which nodes are to be asked.
#[derive(Debug, Default)]
pub(super) struct Requests {
    nodes: BTreeMap<NodeId, Asked>,
    round: Option<(Instant, u32)>,
}

impl Requests {
    /// A node's births are missing: it is asked after `grace`, unless they come before.
    pub(super) fn want(&mut self, node: &NodeId, grace: Duration, now: Instant) {
        let asked = self.nodes.entry(node.clone()).or_insert(Asked {
            due: None,
            last: None,
            requests: 0,
        });
        if asked.last.is_some_and(|last| now - last > QUIET) {
            asked.requests = 0;
        }
        let earliest = asked.last.map(|last| last + pause(asked.requests));
        let due = earliest.map_or(now + grace, |earliest| earliest.max(now + grace));
        asked.due.get_or_insert(due);
    }

    /// Whether a node was ever to be asked.
    pub(super) fn knows(&self, node: &NodeId) -> bool {
        self.nodes.contains_key(node)
    }

    /// Nodes that were ever to be asked.
    pub(super) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// A node's birth has come.
    pub(super) fn answered(&mut self, node: &NodeId) {
        if let Some(asked) = self.nodes.get_mut(node) {
            asked.due = None;
        }
    }

    /// Nodes that are to be asked now; the rest has to wait. One that does not answer is asked again.
    pub(super) fn take(&mut self, now: Instant) -> Vec<NodeId> {
        let (begun, sent) = match self.round {
            Some((begun, sent)) if now - begun < ROUND => (begun, sent),
            _ => (now, 0),
        };
        let room = ROUND_MAX - sent;
        let mut taken = Vec::new();
        for (node, asked) in &mut self.nodes {
            if taken.len() as u32 == room {
                break;
            }
            if asked.due.is_some_and(|due| due <= now) {
                asked.requests = asked.requests.saturating_add(1);
                asked.last = Some(now);
                asked.due = Some(now + pause(asked.requests));
                taken.push(node.clone());
            }
        }
        self.round = Some((begun, sent + taken.len() as u32));
        taken
    }
}

/// The pause after so many requests.
fn pause(requests: u32) -> Duration {
    PAUSE * 2_u32.pow(requests.saturating_sub(1).min(DOUBLINGS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: usize) -> NodeId {
        NodeId {
            group: "g".into(),
            node: format!("{number:03}").into(),
        }
    }

    #[test]
    fn a_node_is_asked_ever_less_often() {
        let begun = Instant::now();
        let mut requests = Requests::default();
        requests.want(&node(1), Duration::ZERO, begun);
        let mut asked = Vec::new();
        for second in 0..1_000 {
            let now = begun + Duration::from_secs(second);
            if !requests.take(now).is_empty() {
                asked.push(second);
            }
            // Its births come, and are incomplete again at once.
            requests.answered(&node(1));
            requests.want(&node(1), Duration::ZERO, now);
        }
        assert_eq!(asked, [0, 5, 15, 35, 75, 155, 315, 635]);
        let later = begun + Duration::from_secs(5_000);
        requests.answered(&node(1));
        requests.want(&node(1), Duration::from_secs(2), later);
        assert!(requests.take(later).is_empty(), "a grace comes first");
        requests.answered(&node(1));
        assert!(requests.take(later + QUIET).is_empty(), "it has answered");
    }

    #[test]
    fn many_nodes_are_asked_in_turn() {
        let begun = Instant::now();
        let mut requests = Requests::default();
        for number in 0..50 {
            requests.want(&node(number), Duration::ZERO, begun);
        }
        let mut taken = |millis| requests.take(begun + Duration::from_millis(millis)).len();
        let asked = [0, 500, 1_000, 1_999, 2_000, 3_000].map(&mut taken);
        assert_eq!(asked, [20, 0, 20, 0, 10, 0]);
    }
}
