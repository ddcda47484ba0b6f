//! Reading of a `[[connector]]` of kind "simulated".

use std::time::Duration;

use forebay_config::{Describe, Table};
use forebay_connectors::{Connector, ConnectorKeys, ConnectorKind, Context, NAME, RuleId};
use forebay_schemas::DeviceId;

use super::{
    connector::{Simulated, Tag},
    fault::{FAULTS, FaultRule},
    keys,
    pass::{Replay, Times},
    replay::{FileForm, Recording},
    signal::{Course, Signal},
};

const EVERY_MIN: Duration = Duration::from_millis(1);

/// The keys that a column of a file does not have.
const SIGNAL_KEYS: [&dyn Describe; 5] = [
    &keys::LOW,
    &keys::HIGH,
    &keys::PERIOD,
    &keys::NOISE,
    &keys::STATES,
];
/// The keys that nothing is without a file.
const FILE_KEYS: [&dyn Describe; 4] = [
    &keys::TIME_COLUMN,
    &keys::TIMES,
    &keys::SPEED,
    &keys::REPEAT,
];

/// The kind "simulated".
#[derive(Debug, Clone, Copy, Default)]
pub struct SimulatedKind;

impl ConnectorKind for SimulatedKind {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn keys(&self) -> &'static ConnectorKeys {
        &keys::KEYS
    }

    fn configure(
        &self,
        connector: &mut Table<'_>,
        tags: &mut [Table<'_>],
        context: &Context,
    ) -> Option<Box<dyn Connector>> {
        simulated(connector, tags, context).map(|one| Box::new(one) as Box<dyn Connector>)
    }
}

/// Reads all keys, so that all problems are noted, and only then gives up.
fn simulated(
    connector: &mut Table<'_>,
    tags: &mut [Table<'_>],
    context: &Context,
) -> Option<Simulated> {
    let name = connector.read(&NAME);
    let device = connector.read(&keys::DEVICE);
    let every = connector.read(&keys::EVERY);
    let seed = connector.read(&keys::SEED);
    let replay = replay(connector);
    if every < EVERY_MIN {
        connector.problem(&keys::EVERY, "a time from 1ms on is expected");
    }
    if tags.is_empty() {
        let what = "at least one [[connector.tag]] is expected";
        connector.problem(&keys::KEYS.tag, what);
    }
    let has_file = connector.has(&keys::FILE);
    let tags: Vec<Option<Read>> = tags
        .iter_mut()
        .enumerate()
        .map(|(place, table)| tag(RuleId(place), table, device.as_ref(), has_file))
        .collect();
    let read: Vec<Read> = tags.into_iter().collect::<Option<_>>()?;
    let mut replay = replay?;
    let columns: Vec<String> = read.iter().filter_map(|read| read.column.clone()).collect();
    if columns.is_empty() && replay.is_some() {
        let what = "no tag is a column of it: every one has a signal";
        connector.problem(&keys::FILE, what);
        return None;
    }
    if let Some(replay) = &mut replay {
        replay.recording.columns = columns;
    }
    Some(Simulated {
        name: name?,
        tags: read.into_iter().map(|read| read.tag).collect(),
        replay,
        every: every.max(EVERY_MIN),
        seed,
        clock: context.clock.clone(),
        uniform: context.uniform.clone(),
    })
}

/// The replay, without its columns; the outer none where it is wrong, the inner where there is no file.
fn replay(connector: &mut Table<'_>) -> Option<Option<Replay>> {
    let path = connector.read(&keys::FILE);
    let time_column = connector.read(&keys::TIME_COLUMN);
    let times = connector.read(&keys::TIMES);
    let speed = connector.read(&keys::SPEED);
    let repeats = connector.read(&keys::REPEAT);
    if !connector.has(&keys::FILE) {
        return unused(connector, &FILE_KEYS, "there is no file").then_some(None);
    }
    if !(speed > 0.0 && speed.is_finite()) {
        connector.problem(&keys::SPEED, "a number above 0 is expected");
        return None;
    }
    if repeats == Some(true) && times == Times::Recorded {
        let what = "the same times would come again: leave it out, or write times = \"shifted\"";
        connector.problem(&keys::REPEAT, what);
        return None;
    }
    let path = path?;
    let Some(form) = FileForm::of(&path) else {
        let what = "this is the build for the edge, which reads CSV alone: the full build reads Parquet files";
        connector.problem(&keys::FILE, what);
        return None;
    };
    Some(Some(Replay {
        recording: Recording {
            path,
            form,
            time_column,
            columns: Vec::new(),
        },
        times,
        speed,
        repeats: repeats.unwrap_or(times == Times::Shifted),
    }))
}

/// A tag, and the column that it is.
struct Read {
    tag: Tag,
    column: Option<String>,
}

fn tag(
    rule: RuleId,
    table: &mut Table<'_>,
    device: Option<&DeviceId>,
    has_file: bool,
) -> Option<Read> {
    let name = table.read(&keys::TAG_NAME);
    let own = table.read(&keys::TAG_DEVICE);
    let column = table.read(&keys::COLUMN);
    let signal = signal(table);
    let faults = faults(table);
    let is_signal = table.has(&keys::SIGNAL);
    if is_signal && table.has(&keys::COLUMN) {
        let what = "signal is there too: leave out one of the two";
        table.problem(&keys::COLUMN, what);
        return None;
    }
    if !is_signal && !has_file {
        let what = "missing; write a signal here, or a file in the connector";
        table.problem(&keys::SIGNAL, what);
        return None;
    }
    let name = name?;
    let column = column.unwrap_or_else(|| name.as_str().to_owned());
    Some(Read {
        tag: Tag {
            rule,
            device: own.or_else(|| device.cloned())?,
            name,
            signal: signal?,
            faults: faults?,
        },
        column: (!is_signal).then_some(column),
    })
}

/// The outer none where it is wrong, the inner where there is none.
fn signal(table: &mut Table<'_>) -> Option<Option<Signal>> {
    let course = table.read(&keys::SIGNAL);
    let low = table.read(&keys::LOW);
    let high = table.read(&keys::HIGH);
    let period = table.read(&keys::PERIOD);
    let noise = table.read(&keys::NOISE);
    let states = table.read(&keys::STATES);
    if !table.has(&keys::SIGNAL) {
        return unused(table, &SIGNAL_KEYS, "there is no signal").then_some(None);
    }
    let course = course?;
    let wants_states = course == Course::States && states.is_empty();
    let wrong: [(bool, &dyn Describe, &str); 4] = [
        (low > high, &keys::HIGH, "it is below low"),
        (
            period.is_zero(),
            &keys::PERIOD,
            "a time above 0 is expected",
        ),
        (noise < 0.0, &keys::NOISE, "a number from 0 on is expected"),
        (
            wants_states,
            &keys::STATES,
            "at least one text is expected, such as [\"idle\", \"run\"]",
        ),
    ];
    let mut is_good = true;
    for (_, key, what) in wrong.into_iter().filter(|(is_wrong, ..)| *is_wrong) {
        table.problem(key, what);
        is_good = false;
    }
    let signal = Signal {
        course,
        low,
        high,
        period,
        noise,
        states,
    };
    is_good.then_some(Some(signal))
}

/// The outer none where they are wrong, the inner where there are none.
fn faults(table: &mut Table<'_>) -> Option<Option<FaultRule>> {
    let words = table.read(&keys::FAULTS);
    let every = table.read(&keys::FAULT_EVERY);
    let length = table.read(&keys::FAULT_LENGTH);
    if every.is_zero() {
        table.problem(&keys::FAULT_EVERY, "a time above 0 is expected");
        return None;
    }
    let mut faults = Vec::new();
    for word in &words {
        let Some((_, fault)) = FAULTS.iter().find(|(known, _)| known == word) else {
            let known = FAULTS.map(|(known, _)| known).join(", ");
            let what = format!("{word:?} is not one of {known}");
            table.problem(&keys::FAULTS, what);
            return None;
        };
        faults.push(*fault);
    }
    if faults.is_empty() {
        return Some(None);
    }
    Some(Some(FaultRule {
        faults,
        every,
        length,
    }))
}

/// Notes keys that are there and say nothing; whether there are none.
fn unused(table: &mut Table<'_>, unused: &[&dyn Describe], why: &str) -> bool {
    let mut is_good = true;
    for key in unused {
        if table.has(*key) {
            table.problem(*key, format!("it says nothing here: {why}"));
            is_good = false;
        }
    }
    is_good
}
