//! What a state object says, as data (E4, E5, E11).
//!
//! A stored format: the golden file beside the tests holds it. Seqs up to an epoch's mark have been taken, quarantined or
//! stand in one of its gaps; a gap behind the mark is the unknown end of a closed epoch.

use std::collections::{BTreeMap, BTreeSet};

use forebay_schemas::table::TABLE_FORMAT_VERSION;
use serde::{Deserialize, Serialize};

/// The last seq of a gap whose end nobody knows: the largest that the tables can hold.
pub const SEQ_UNKNOWN: u64 = i64::MAX as u64;

/// What has been taken of one (stream, partition).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamState {
    /// Version of this object's layout: [`TABLE_FORMAT_VERSION`].
    pub format: u32,
    /// The stream's id; empty for an import, which has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stream: String,
    /// The lowest offset not yet taken.
    pub next_offset: u64,
    /// Per gateway, lane and epoch, what was taken.
    pub epochs: Vec<EpochMark>,
    /// Known holes of these epochs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// Holes that the commit of this state closed or made final; told to the `gaps` table after it (E9).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended_gaps: Vec<Gap>,
    /// What is left of epochs that are closed and without open gaps, one entry a lane.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forgotten: Vec<Forgotten>,
    /// Offsets from `next_offset` on whose records are in quarantine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<u64>,
    /// Offsets that are lost (first, and the one behind the last) and stand in `quarantine`: the latest ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<(u64, u64)>,
    /// Lanes that went on from the marks of other streams.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_over: Vec<TakenOver>,
    /// How far event times have come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<SiteTimes>,
    /// The times of devices lie in an object of their own, because there are many: [`crate::StateKeeper::store_times`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub times_apart: bool,
}

/// A lane that went on from the marks of another stream: each counts what it brought itself (ADR 0018).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakenOver {
    /// The gateway.
    pub gateway: String,
    /// Its lane.
    pub lane: u32,
    /// The other stream and partition, as [`crate::StateKeeper::app_id`] names them.
    pub from: String,
    /// What the other stream brought counts in its state alone. A state of before ADR 0018 counts it, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub counted_there: bool,
}

/// What has been taken of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochMark {
    /// The gateway.
    pub gateway: String,
    /// Its lane.
    pub lane: u32,
    /// The epoch.
    pub epoch: u64,
    /// Every seq up to this one has been taken, or stands in a gap.
    pub mark: u64,
    /// The epoch has ended at `mark`.
    pub closed: bool,
    /// How many readings up to the mark went to quarantine.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub quarantined: u64,
    /// What the opening of the spool that began the epoch drew; 0 if not known (E3).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nonce: u64,
    /// What other openings drew that gave out readings under this epoch, and up to which seq these are in quarantine.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other_openings: BTreeMap<u64, u64>,
    /// How many of the readings up to the mark other streams brought, whose states count them (ADR 0018).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub readings_elsewhere: u64,
    /// How many of the gaps other streams' states count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gaps_elsewhere: u64,
}

/// Seqs of one epoch that did not come.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// The gateway.
    pub gateway: String,
    /// Its lane.
    pub lane: u32,
    /// The epoch.
    pub epoch: u64,
    /// The first seq that is missing.
    pub first: u64,
    /// The last; [`SEQ_UNKNOWN`] where the epoch's end is not known.
    pub last: u64,
    /// Why, in one word.
    pub why: String,
    /// When it was found, µs since 1970 UTC.
    pub opened_at: i64,
    /// What may still become of it.
    pub state: GapState,
    /// Of which device and time, where its gateway told. It goes into the row of `gaps` before the commit, and is not kept.
    #[serde(skip)]
    pub extent: Option<GapExtent>,
}

/// What is missing, where nobody has numbered it: a device's readings over a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GapExtent {
    /// The site.
    pub site: String,
    /// The device; none for every device of the lane that nobody asks to send again.
    pub device: Option<String>,
    /// Since when, µs since 1970 UTC.
    pub from: i64,
    /// Until when, µs since 1970 UTC.
    pub to: i64,
}

/// What may still become of a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GapState {
    /// Its readings are taken if they come.
    Open,
    /// They came, or the gap gave way to smaller ones.
    Closed,
    /// They are not waited for any more.
    Final,
}

impl GapState {
    /// As [`GapState::name`] says it; `None` for another word.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Open, Self::Closed, Self::Final]
            .into_iter()
            .find(|state| state.name() == name)
    }

    /// As the `gaps` table has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Final => "final",
        }
    }
}

/// What is left of a lane's epochs that are done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forgotten {
    /// The gateway.
    pub gateway: String,
    /// Its lane.
    pub lane: u32,
    /// The last of them: readings of it, and of earlier ones without a mark, are taken no more.
    pub epoch: u64,
    /// How many of their readings this stream brought: those of others count in their states (ADR 0018).
    pub readings: u64,
    /// How many final gaps they have, but for those that count in other streams' states.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gaps: u64,
}

/// How far the event times of a site have come in this partition (E11).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteTimes {
    /// The site.
    pub site: String,
    /// The lowest event time behind a jump, µs since 1970 UTC: the watermark may not pass it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<i64>,
    /// Since when it is held, and until when that counts, µs since 1970 UTC: a stream that is no more gives nothing free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_from_until: Option<(i64, i64)>,
    /// Its devices that were heard lately.
    pub devices: BTreeMap<String, DeviceTimes>,
}

/// How far a device has come; stored as a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(i64, i64)", into = "(i64, i64)")]
pub struct DeviceTimes {
    /// Its highest event time, µs since 1970 UTC.
    pub event: i64,
    /// When its gateway heard it last, µs since 1970 UTC.
    pub observed: i64,
}

impl From<(i64, i64)> for DeviceTimes {
    fn from((event, observed): (i64, i64)) -> Self {
        Self { event, observed }
    }
}

impl From<DeviceTimes> for (i64, i64) {
    fn from(times: DeviceTimes) -> Self {
        (times.event, times.observed)
    }
}

impl SiteTimes {
    /// The lowest event time behind a jump, if that still counts at `now`, µs since 1970 UTC. Neither a stream that is no more nor
    /// one look at a clock that was ahead holds a site for ever.
    pub fn held_at(&self, now: i64) -> Option<i64> {
        self.held.filter(|_| {
            self.held_from_until
                .is_none_or(|(from, until)| from <= now && now < until)
        })
    }
}

impl StreamState {
    /// A state in the layout of this release, without gaps.
    pub fn new(next_offset: u64, epochs: Vec<EpochMark>) -> Self {
        Self {
            format: TABLE_FORMAT_VERSION,
            stream: String::new(),
            next_offset,
            epochs,
            gaps: Vec::new(),
            ended_gaps: Vec::new(),
            forgotten: Vec::new(),
            quarantined: Vec::new(),
            lost: Vec::new(),
            taken_over: Vec::new(),
            sites: Vec::new(),
            times_apart: false,
        }
    }
}

/// What has been written to another table since a state of `readings`, so that a restart does not do it again (E9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SideState {
    /// Version of this object's layout: [`TABLE_FORMAT_VERSION`].
    pub format: u32,
    /// The state of `readings` from which the rows follow.
    pub base: Option<i64>,
    /// What they tell, one key a row.
    pub keys: BTreeSet<String>,
    /// What was written under the state before that wrote something: a commit that was killed may have left it, and others come
    /// before its next try.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub before: BTreeSet<String>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
