//! Readings whose series and time are there already from another import.
//!
//! Asked of the table for a chunk at a time: what it needs is bounded by the chunk and by what the table holds of the same
//! devices in its time. Readings that came live are not asked about: a recording of what was measured here is rarely on the
//! same microsecond, and never in a lane of imports. Two imports that run at once do not see each other.

use std::collections::{BTreeSet, HashMap, VecDeque};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::Int64Type,
};
use forebay_lake::{LakeWriter, session};
use forebay_schemas::{Epoch, Reading, SiteId, table::READINGS};

use super::IMPORT_LANE;
use crate::CompactorError;

/// More devices than this are not named in the question.
const DEVICES_NAMED_MAX: usize = 32;

/// Series and event time of a reading.
type Key<'a> = (&'a str, &'a str, i64);

/// Places in `chunk` of the readings that another import than `own` has brought already.
pub(super) async fn find(
    lake: &LakeWriter,
    site: &SiteId,
    own: Epoch,
    chunk: &[Reading],
) -> Result<BTreeSet<usize>, CompactorError> {
    let found = ask(lake, site, &format!("epoch <> {own}"), chunk).await?;
    let mut places = places(chunk);
    Ok(found
        .iter()
        .flat_map(keys)
        .filter_map(|key| places.remove(&key))
        .flatten()
        .collect())
}

/// Places in `chunk` of the readings that this import has brought before: of equal ones the first, as many as are there.
pub(super) async fn find_own(
    lake: &LakeWriter,
    site: &SiteId,
    own: Epoch,
    chunk: &[Reading],
) -> Result<BTreeSet<usize>, CompactorError> {
    let found = ask(lake, site, &format!("epoch = {own}"), chunk).await?;
    let mut places = places(chunk);
    Ok(found
        .iter()
        .flat_map(keys)
        .filter_map(|key| places.get_mut(&key)?.pop_front())
        .collect())
}

/// What the table holds of the devices of `chunk` in its time: device, tag and event time, of the imports of this condition.
async fn ask(
    lake: &LakeWriter,
    site: &SiteId,
    whose: &str,
    chunk: &[Reading],
) -> Result<Vec<RecordBatch>, CompactorError> {
    let times = chunk.iter().map(|reading| reading.event_time.micros());
    let Some((first, last)) = times.clone().min().zip(times.max()) else {
        return Ok(Vec::new());
    };
    let devices: BTreeSet<&str> = chunk
        .iter()
        .map(|reading| reading.series.device.as_str())
        .collect();
    let of_devices = match devices.len() <= DEVICES_NAMED_MAX {
        true => format!(
            "and device in ({})",
            devices
                .iter()
                .copied()
                .map(text)
                .collect::<Vec<_>>()
                .join(", ")
        ),
        false => String::new(),
    };
    let sql = format!(
        "select arrow_cast(device, 'Utf8'), arrow_cast(tag, 'Utf8'), cast(event_time as bigint) from readings \
         where site = {} and lane = {} and {whose} and event_time >= {} and event_time <= {} {of_devices}",
        text(site.as_str()),
        IMPORT_LANE.0,
        time(first),
        time(last),
    );
    let failed = |source| CompactorError::Query {
        source: Box::new(source),
    };
    let wrong = |source| CompactorError::Lake {
        place: "import".into(),
        source,
    };
    let table = lake.table(&READINGS).map_err(wrong)?.clone();
    let session = session(&[table], &lake.decrypter()).await.map_err(wrong)?;
    session
        .sql(&sql)
        .await
        .map_err(failed)?
        .collect()
        .await
        .map_err(failed)
}

/// Where in a chunk each key stands.
fn places(chunk: &[Reading]) -> HashMap<Key<'_>, VecDeque<usize>> {
    let mut places: HashMap<Key<'_>, VecDeque<usize>> = HashMap::new();
    for (place, reading) in chunk.iter().enumerate() {
        let series = &reading.series;
        let key = (
            series.device.as_str(),
            series.tag.as_str(),
            reading.event_time.micros(),
        );
        places.entry(key).or_default().push_back(place);
    }
    places
}

/// The keys that rows of the table hold.
fn keys(rows: &RecordBatch) -> impl Iterator<Item = Key<'_>> {
    let (devices, tags) = (
        rows.column(0).as_string::<i32>(),
        rows.column(1).as_string::<i32>(),
    );
    let times = rows.column(2).as_primitive::<Int64Type>();
    (0..rows.num_rows()).map(|row| (devices.value(row), tags.value(row), times.value(row)))
}

/// A text as a literal of SQL.
fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A time as a constant of SQL, so that files of other times are left out.
fn time(micros: i64) -> String {
    format!("arrow_cast({micros}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}
