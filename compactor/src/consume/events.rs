//! Events that arrived as readings become rows of the table `events`, each once (E9, ADR 0042).
//!
//! Invariants: the readings that carry events are committed to `readings` as all others, and they alone count for E4 and E12.
//! Their rows in `events` are written before that commit, so that no restart misses one. A row has a name that follows from
//! what the source said, and what is written is looked up first: all writers share one transaction, so nobody writes between
//! the look and the commit of another. What comes again, after a restart, in another stream, or because a server was asked
//! for its conditions, is there already. An event that cannot be read stays a reading, and is counted.

mod names;

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use forebay_lake::{LakeError, LakeWriter, Transaction, file_schema};
use forebay_schemas::{
    EventForm, EventStates, Series, SourceEvent, TagName, Timestamp, ValueType,
    table::{EVENTS, TABLE_FORMAT_VERSION},
    wire::{SeriesBatch, SeriesBlock},
};
use ring::digest::{Context, SHA256};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use tracing::{debug, error};

pub(super) use names::EventNames;
#[cfg(test)]
pub(super) use names::KnownNames;

/// How often another's write may come between before the caller hears of it.
const TRIES_MAX: u32 = 4;
/// So many looks at what is written may fail before a damaged table no longer holds readings up: what is then written twice has one
/// name, and the latest of its rows counts.
pub(super) const LOOKS_MAX: u32 = 8;

/// The writers of events have one transaction together: this stands for it.
const TRANSACTION: &str = "events/of-devices";

/// The state of that transaction: all that is to be known stands in the table.
#[derive(Debug, Serialize)]
struct EventsState {
    /// Version of this object's layout.
    format: u32,
}

/// By name, the events that have no row yet, each with its place in the order of arrival.
type Rows<'a> = BTreeMap<String, (i64, &'a FoundEvent)>;

/// What batches say of events.
#[derive(Debug, Default)]
pub(super) struct FoundEvents {
    pub(super) events: Vec<FoundEvent>,
    /// Values under the tag of events that are damaged, or of a later release.
    pub(super) unreadable: u64,
    /// What the events take in memory, roughly.
    pub(super) bytes: usize,
}

/// An event that arrived.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FoundEvent {
    series: Series,
    /// By its gateway's clock.
    arrived: Timestamp,
    event: SourceEvent,
}

impl FoundEvents {
    /// The events among the readings of batches.
    pub(super) fn of(batches: &[SeriesBatch]) -> Self {
        let mut found = Self::default();
        for batch in batches {
            for block in batch.blocks() {
                if block.series.tag.is_of_events() && block.value_type == Some(ValueType::Bytes) {
                    found.look_into(batch, &block);
                }
            }
        }
        found
    }

    fn look_into(&mut self, batch: &SeriesBatch, block: &SeriesBlock<'_>) {
        let byte_strings = batch.byte_strings();
        for (place, arrived) in block.values.iter().zip(block.observed_times) {
            let place = usize::try_from(*place).unwrap_or(usize::MAX);
            let Some(bytes) = byte_strings.get(place) else {
                continue;
            };
            let Ok(event) = SourceEvent::decode(bytes) else {
                self.unreadable += 1;
                continue;
            };
            self.bytes += size_of::<FoundEvent>() + bytes.len();
            self.events.push(FoundEvent {
                series: block.series.clone(),
                arrived: Timestamp::from_nanos(*arrived),
                event,
            });
        }
    }

    /// Takes the events of later batches.
    pub(super) fn join(&mut self, later: Self) {
        self.events.extend(later.events);
        self.unreadable += later.unreadable;
        self.bytes += later.bytes;
    }
}

impl FoundEvent {
    /// The name of its row: 128 bits of a SHA-256 over whose it is and what tells it from others.
    fn row_name(&self) -> String {
        let mut digest = Context::new(&SHA256);
        let Series { site, device, .. } = &self.series;
        for part in [
            site.as_str().as_bytes(),
            device.as_str().as_bytes(),
            &self.event.identity(),
        ] {
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        hex(&digest.finish().as_ref()[..16])
    }

    fn happened(&self) -> i64 {
        self.event.time.unwrap_or(self.arrived).micros()
    }

    /// For people: what it says, else what it is about.
    fn text(&self) -> &str {
        let event = &self.event;
        let said = [&event.message, &event.condition_name, &event.source_name];
        said.into_iter()
            .find(|text| !text.is_empty())
            .map_or("event", String::as_str)
    }

    /// What else is known, as a JSON object: what the source did not say is left out.
    fn attributes(&self) -> String {
        let event = &self.event;
        let mut known = Map::new();
        let texts = [
            ("event_id", hex(&event.event_id)),
            ("event_type", event.event_type.clone()),
            ("source_node", event.source_node.clone()),
            ("source_name", event.source_name.clone()),
            ("condition_node", event.condition_node.clone()),
            ("condition_name", event.condition_name.clone()),
            ("branch", event.branch.clone()),
            ("comment", event.comment.clone()),
            ("user", event.user.clone()),
        ];
        for (name, text) in texts {
            if !text.is_empty() {
                known.insert(name.to_owned(), Json::String(text));
            }
        }
        let EventStates {
            enabled,
            active,
            acknowledged,
            confirmed,
            suppressed,
            retained,
        } = event.states;
        let states = [
            ("enabled", enabled),
            ("active", active),
            ("acknowledged", acknowledged),
            ("confirmed", confirmed),
            ("suppressed", suppressed),
            ("retained", retained),
        ];
        for (name, state) in states {
            if let Some(state) = state {
                known.insert(name.to_owned(), Json::Bool(state));
            }
        }
        if let Some(received) = event.received {
            known.insert("received_micros".to_owned(), json!(received.micros()));
        }
        Json::Object(known).to_string()
    }
}

/// Writes the rows of events that have none yet; answers how many. `names` are what the process knows of the table; `looks` are
/// the looks at it that failed before for the same events.
///
/// # Errors
/// Those of the table. The same call again writes what is missing.
pub(super) async fn write(
    lake: &LakeWriter,
    names: &EventNames,
    found: &[FoundEvent],
    looks: &mut u32,
    now: Timestamp,
) -> Result<u64, LakeError> {
    let mut rows = Rows::new();
    for (place, event) in (0..).zip(found) {
        rows.entry(event.row_name()).or_insert((place, event));
    }
    if rows.is_empty() {
        return Ok(0);
    }
    let app_id = lake.keeper().app_id(TRANSACTION, 0);
    let mut names = names.lock().await;
    for _ in 0..TRIES_MAX {
        let table = lake.table(&EVENTS)?;
        // Before the look: what another writes after the look makes this commit fail.
        let from_state = table.snapshot().await?.state_of(&app_id).await?;
        let wanted: Vec<&str> = rows.keys().map(String::as_str).collect();
        let look = names.look(lake, &wanted).await;
        debug!(files = look.opened, "the table of events was looked at");
        if let Some(error) = look.failed {
            *looks += 1;
            if *looks < LOOKS_MAX {
                return Err(error);
            }
            error!(%error, "the table of events cannot be read, events may be written twice");
        }
        rows.retain(|name, _| !look.written.contains(name));
        if rows.is_empty() {
            return Ok(0);
        }
        let state = EventsState {
            format: TABLE_FORMAT_VERSION,
        };
        let keeper = lake.keeper();
        let to_state = keeper
            .store(table, &app_id, from_state, &state, lake.random())
            .await?;
        let transaction = Transaction {
            app_id: app_id.clone(),
            from_state,
            to_state,
        };
        let batch = batch(&rows, now)?;
        match lake.append(&EVENTS, batch, transaction, now).await {
            Ok(_) => return Ok(rows.len() as u64),
            // Another came between, or an earlier try of ours had landed: see what is there now.
            Err(LakeError::Fenced { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(LakeError::Contended {
        table: EVENTS.name,
        attempts: TRIES_MAX,
    })
}

fn batch(rows: &Rows<'_>, now: Timestamp) -> Result<RecordBatch, LakeError> {
    let found = || rows.values().map(|(_, row)| *row);
    // Of two changes under one time the later one counts.
    let changed = rows
        .values()
        .map(|(place, _)| now.micros().saturating_add(*place));
    let changed = TimestampMicrosecondArray::from_iter_values(changed).with_timezone("UTC");
    let times = |time: &dyn Fn(&FoundEvent) -> i64| -> ArrayRef {
        let times = found().map(time);
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let texts = |text: &dyn Fn(&FoundEvent) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(found().map(text)))
    };
    let tags = found().map(|row| row.event.tag.as_ref().map(TagName::as_str));
    let severities = found().map(|row| row.event.severity.map(f64::from));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.keys())),
        Arc::new(changed),
        texts(&|row| row.event.connector.clone()),
        Arc::new(StringArray::new_null(rows.len())),
        texts(&|row| row.series.site.to_string()),
        texts(&|row| row.series.device.to_string()),
        Arc::new(tags.collect::<StringArray>()),
        texts(&|row| kind(row.event.form).to_owned()),
        times(&FoundEvent::happened),
        // Each row is one change at one moment.
        times(&FoundEvent::happened),
        Arc::new(severities.collect::<Float64Array>()),
        texts(&|row| severity(row.event.severity).to_owned()),
        texts(&|row| row.text().to_owned()),
        texts(&FoundEvent::attributes),
    ];
    Ok(RecordBatch::try_new(file_schema(&EVENTS), columns)?)
}

fn kind(form: EventForm) -> &'static str {
    match form {
        EventForm::Event => "event",
        EventForm::Condition => "condition",
        EventForm::Alarm => "alarm",
    }
}

/// The thirds of OPC UA's range (Part 9, annex D: low, medium, high).
fn severity(severity: Option<u16>) -> &'static str {
    match severity {
        None | Some(0..=333) => "info",
        Some(334..=666) => "warning",
        Some(667..) => "critical",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
