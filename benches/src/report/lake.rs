//! The figures from Kafka into the lake.

use super::MEBI;
use crate::{
    place::Profile,
    signals::RECORD_READINGS,
    suite::{Figures, LakeFigures, Rate},
};

/// The whole table.
pub(crate) fn table(figures: &Figures) -> String {
    let mut text = format!(
        "{} readings, {RECORD_READINGS} a record, {} cores; medians of {}\n\n",
        figures.readings, figures.cores, figures.rounds
    );
    let mut line = |cells: [&str; 5]| {
        let [what, rest @ ..] = cells;
        text.push_str(&format!(
            "{what:<34} {:>12} {:>14} {:>10} {:>9}\n",
            rest[0], rest[1], rest[2], rest[3]
        ));
    };
    line(["", "readings/s", "per core and s", "ns CPU", "of bound"]);
    let mut row = |what: &str, rate: &Rate, share: Option<f64>| {
        line([
            what,
            &millions(rate.per_second),
            &millions(rate.per_core_second),
            &format!("{:.0}", rate.cpu_nanos_per_reading),
            &share.map_or(String::new(), |share| format!("{:.0} %", share * 100.0)),
        ]);
    };
    row("limit: librdkafka and decode", &figures.consume, None);
    row("limit: Parquet encode, 1 thread", &figures.encode, None);
    let bound = Rate {
        per_second: f64::NAN,
        per_core_second: figures.bound_per_core_second,
        cpu_nanos_per_reading: 1e9 / figures.bound_per_core_second,
    };
    row("bound: both, nothing else", &bound, Some(1.0));
    for lake in &figures.lakes {
        row(
            &format!("{}: committed", name(lake)),
            &lake.committed,
            Some(lake.committed_share_of_bound),
        );
        row(
            &format!("{}: and merged", name(lake)),
            &lake.merged,
            Some(lake.merged_share_of_bound),
        );
    }
    for spool in &figures.spool {
        row(
            &format!("spool, synced: {} writers", spool.writers),
            &spool.rate,
            None,
        );
    }
    text.push('\n');
    rest(figures, &mut text);
    text
}

fn rest(figures: &Figures, text: &mut String) {
    let mut say = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    say(format!(
        "bytes a reading in Kafka (zstd, disk)      {:8.2}",
        figures.kafka_bytes_per_reading
    ));
    for lake in &figures.lakes {
        say(format!(
            "bytes a reading in the lake, {:<14}{:8.2}  ({:.0} files), merged {:.2} ({:.0} files)",
            name(lake),
            lake.bytes_per_reading_before_merge,
            lake.files_before_merge,
            lake.bytes_per_reading_after_merge,
            lake.files_after_merge
        ));
    }
    for lake in &figures.lakes {
        say(format!(
            "compactor's peak RSS, MiB,   {:<14}{:8.0}  with the merge {:.0}",
            name(lake),
            lake.peak_bytes / MEBI,
            lake.peak_bytes_with_merge / MEBI
        ));
    }
    for spool in &figures.spool {
        say(format!(
            "appends/s synced, {:>3} writers              {:8.0}",
            spool.writers, spool.appends_per_second
        ));
    }
    let encryption = &figures.encryption;
    say(format!(
        "encryption, columns over none              {:8.3}  CPU, {:.3} bytes",
        encryption.cpu, encryption.bytes
    ));
}

fn name(lake: &LakeFigures) -> String {
    let profile = match lake.profile {
        Profile::Columns => "columns",
        Profile::None => "none",
    };
    format!("{}, {profile}", lake.lake)
}

fn millions(number: f64) -> String {
    if number.is_nan() {
        String::new()
    } else {
        format!("{:.3} M", number / 1e6)
    }
}
