//! One connector's receipts on their way into the lanes' spools, and back after a restart (E1).
//!
//! A receipt goes into the record that holds its message's readings. A message may have readings for several lanes, whose
//! spools are not written together: so each lane's record names all lanes that have a part. A receipt that a restart finds
//! in some of them only is one of a part: when its message comes again, the lanes that lack it get theirs.
//!
//! Invariants: a lane gets a part once; a receipt that ended is told to every lane that has it, and never after its token was
//! opened again. It does no I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use foldhash::fast::RandomState;
use forebay_connectors::{Extent, Restored, SessionId, Token};
use forebay_schemas::{Lane, Reading};
use forebay_stream::OpenReceipt;
use tracing::warn;

use crate::{lanes::Lanes, spool_append::AppendUnit};

/// Bytes before a token: how many lanes there are, and which of them have a part, a bit each.
const SPREAD_BYTES: usize = 4 + 8;

/// The readings of one message, or of what has no receipt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AcceptedReadings {
    pub(crate) readings: Vec<Reading>,
    pub(crate) token: Option<Token>,
}

/// Lanes, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct LaneSet(u64);

/// What is known of an open receipt.
#[derive(Debug, Clone, Copy)]
struct Kept {
    /// The lanes that have a part, or are to have one.
    spread: LaneSet,
    /// Those that a crash left without.
    missing: LaneSet,
    /// How many lanes there were when it was stored.
    of: u32,
}

impl Kept {
    fn extent(&self) -> Extent {
        if self.missing.is_empty() {
            Extent::Whole
        } else {
            Extent::Part
        }
    }
}

/// One connector's open receipts.
pub(crate) struct Keeper {
    session: Option<SessionId>,
    lanes: Lanes,
    open: HashMap<Token, Kept, RandomState>,
    /// Ended, and not recorded in the lane yet.
    ended: BTreeMap<Lane, BTreeSet<OpenReceipt>>,
}

impl Keeper {
    /// With what the spools have of the connector's session, and what the connector is to know of it.
    pub(crate) fn restore(
        session: Option<SessionId>,
        lanes: Lanes,
        found: &BTreeMap<Lane, Vec<OpenReceipt>>,
    ) -> (Self, Vec<Restored>) {
        let mut keeper = Self {
            session,
            lanes,
            open: HashMap::default(),
            ended: BTreeMap::new(),
        };
        let mut by_token: BTreeMap<&[u8], BTreeMap<&OpenReceipt, LaneSet>> = BTreeMap::new();
        for (lane, receipts) in found {
            for receipt in receipts
                .iter()
                .filter(|receipt| Some(SessionId(receipt.owner)) == session)
            {
                let token = receipt.token.get(SPREAD_BYTES..).unwrap_or_default();
                by_token
                    .entry(token)
                    .or_default()
                    .entry(receipt)
                    .or_default()
                    .add(*lane);
            }
        }
        let mut restored = Vec::new();
        for (token, versions) in by_token {
            // Versions differ where a crash came before the end of an older one was told to all lanes.
            let judged: Vec<_> = versions
                .iter()
                .map(|(receipt, in_lanes)| keeper.judge(receipt, *in_lanes))
                .collect();
            let whole = |kept: &Option<Kept>| kept.is_some_and(|kept| kept.missing.is_empty());
            let chosen = judged
                .iter()
                .position(whole)
                .or_else(|| judged.iter().position(Option::is_some));
            for (at, ((receipt, in_lanes), kept)) in versions.into_iter().zip(&judged).enumerate() {
                match kept.filter(|_| chosen == Some(at)) {
                    Some(kept) => {
                        let token = Token(token.to_vec());
                        restored.push(Restored {
                            token: token.clone(),
                            extent: kept.extent(),
                        });
                        keeper.open.insert(token, kept);
                    }
                    None => keeper.end_in(receipt.clone(), in_lanes),
                }
            }
        }
        (keeper, restored)
    }

    /// What a receipt that is in these lanes tells; `None` if it is no use.
    fn judge(&self, receipt: &OpenReceipt, in_lanes: LaneSet) -> Option<Kept> {
        let (of, rest) = receipt.token.split_first_chunk::<4>()?;
        let spread = LaneSet(u64::from_le_bytes(*rest.first_chunk()?));
        let missing = spread.without(in_lanes);
        let of = u32::from_le_bytes(*of);
        if !missing.is_empty() && of != self.lanes.0.get() {
            warn!(
                "the number of lanes was changed while a message was under way: a part of it may be stored twice"
            );
            return None;
        }
        Some(Kept {
            spread,
            missing,
            of,
        })
    }

    /// Receipts that have ended.
    pub(crate) fn end(&mut self, tokens: Vec<Token>) {
        for token in &tokens {
            self.end_one(token);
        }
    }

    fn end_one(&mut self, token: &Token) {
        // A message that gave no readings has no receipt.
        let Some(kept) = self.open.remove(token) else {
            return;
        };
        if let Some(receipt) = self.stored(token, kept.spread, kept.of) {
            self.end_in(receipt, kept.spread.without(kept.missing));
        }
    }

    /// Readings by lane, each message's with its receipt.
    pub(crate) fn spread(
        &mut self,
        taken: Vec<AcceptedReadings>,
    ) -> BTreeMap<Lane, Vec<AppendUnit>> {
        let mut units: BTreeMap<Lane, Vec<AppendUnit>> = BTreeMap::new();
        for AcceptedReadings { readings, token } in taken {
            let mut parts = self.lanes.split(readings);
            let mut receipt = token.and_then(|token| self.open(token, &mut parts));
            let mut parts = parts.into_iter().peekable();
            while let Some((lane, readings)) = parts.next() {
                let of_part = match parts.peek() {
                    Some(_) => receipt.clone(),
                    None => receipt.take(),
                };
                units.entry(lane).or_default().push(AppendUnit {
                    readings,
                    receipt: of_part,
                });
            }
        }
        units
    }

    /// The receipt of a message that is being stored; of one that is there in part only the rest is left.
    fn open(&mut self, token: Token, parts: &mut Vec<(Lane, Vec<Reading>)>) -> Option<OpenReceipt> {
        let kept = self.open.get_mut(&token);
        let was_open = kept.is_some();
        if let Some(kept) = kept.filter(|kept| !kept.missing.is_empty()) {
            let Kept {
                spread,
                missing,
                of,
            } = *kept;
            parts.retain(|(lane, _)| missing.has(*lane));
            kept.missing = missing.without(parts.iter().map(|(lane, _)| *lane).collect());
            return self.stored(&token, spread, of);
        }
        if self.session.is_none() || parts.is_empty() {
            return None;
        }
        if was_open {
            self.end_one(&token);
        }
        let spread = parts.iter().map(|(lane, _)| *lane).collect();
        let of = self.lanes.0.get();
        let receipt = self.stored(&token, spread, of);
        // What is open in a lane and opened again stays open there.
        for (_, ended) in self.ended.iter_mut().filter(|(lane, _)| spread.has(**lane)) {
            receipt.as_ref().map(|receipt| ended.remove(receipt));
        }
        self.open.insert(
            token,
            Kept {
                spread,
                missing: LaneSet::default(),
                of,
            },
        );
        receipt
    }

    /// Takes up to `max` of the ended receipts that a lane has not been told of.
    pub(crate) fn take_ended(&mut self, lane: Lane, max: usize) -> Vec<OpenReceipt> {
        let Some(ended) = self.ended.get_mut(&lane) else {
            return Vec::new();
        };
        std::iter::from_fn(|| ended.pop_first()).take(max).collect()
    }

    /// The receipts that are open, by lane: what a spool that is opened now would find of the session.
    pub(crate) fn open_receipts(&self) -> BTreeMap<Lane, Vec<OpenReceipt>> {
        let mut receipts: BTreeMap<Lane, Vec<OpenReceipt>> = BTreeMap::new();
        let by_token: BTreeMap<&Token, &Kept> = self.open.iter().collect();
        for (token, kept) in by_token {
            let stored = self.stored(token, kept.spread, kept.of);
            let lanes = kept.spread.without(kept.missing).lanes();
            for (lane, receipt) in lanes.filter_map(|lane| Some((lane, stored.clone()?))) {
                receipts.entry(lane).or_default().push(receipt);
            }
        }
        receipts
    }

    /// The same as a connector is to know them that starts again.
    pub(crate) fn restored(&self) -> Vec<Restored> {
        let restored = self.open.iter().map(|(token, kept)| Restored {
            token: token.clone(),
            extent: kept.extent(),
        });
        restored.collect()
    }

    /// All of them, by lane.
    pub(crate) fn take_all_ended(&mut self) -> BTreeMap<Lane, Vec<OpenReceipt>> {
        let ended = std::mem::take(&mut self.ended)
            .into_iter()
            .filter(|(_, receipts)| !receipts.is_empty());
        ended
            .map(|(lane, receipts)| (lane, receipts.into_iter().collect()))
            .collect()
    }

    /// Ended receipts that could not be told.
    pub(crate) fn put_back(&mut self, lane: Lane, ended: Vec<OpenReceipt>) {
        self.ended.entry(lane).or_default().extend(ended);
    }

    fn end_in(&mut self, receipt: OpenReceipt, lanes: LaneSet) {
        let mut lanes = lanes.lanes();
        let Some(first) = lanes.next() else { return };
        for lane in lanes {
            self.ended.entry(lane).or_default().insert(receipt.clone());
        }
        self.ended.entry(first).or_default().insert(receipt);
    }

    /// As the spool has it: number of lanes 4 · the lanes that have a part 8 · the connector's token; little-endian.
    fn stored(&self, token: &Token, spread: LaneSet, of: u32) -> Option<OpenReceipt> {
        let token = [&of.to_le_bytes()[..], &spread.0.to_le_bytes(), &token.0].concat();
        self.session
            .map(|SessionId(owner)| OpenReceipt { owner, token })
    }
}

impl LaneSet {
    fn add(&mut self, lane: Lane) {
        self.0 |= bit(lane);
    }

    fn lanes(self) -> impl Iterator<Item = Lane> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let lane = (left != 0).then(|| Lane(left.trailing_zeros()))?;
            left &= left - 1;
            Some(lane)
        })
    }

    fn has(self, lane: Lane) -> bool {
        self.0 & bit(lane) != 0
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Lane> for LaneSet {
    fn from_iter<I: IntoIterator<Item = Lane>>(lanes: I) -> Self {
        Self(lanes.into_iter().fold(0, |set, lane| set | bit(lane)))
    }
}

/// A gateway has at most 64 lanes.
fn bit(lane: Lane) -> u64 {
    1u64.checked_shl(lane.0).unwrap_or(0)
}
