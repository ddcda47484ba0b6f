//! The figures as a table for people.

use crate::{
    edge::EdgeFigures,
    hostile::HostileFigures,
    idle::IdleFigures,
    jobs::JobFigures,
    modbus::ModbusFigures,
    place::Profile,
    serve::ServeFigures,
    signals::RECORD_READINGS,
    suite::{Figures, LakeFigures, Rate},
};

const MEBI: f64 = 1024.0 * 1024.0;

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

/// The table of the edge's programs; the ratio is that of the first to each.
pub(crate) fn edge_table(figures: &[EdgeFigures]) -> String {
    let mut text = format!(
        "{:<10} {:>16} {:>12} {:>14} {:>10}\n",
        "", "messages/CPU s", "messages/s", "peak RSS, MiB", "ratio"
    );
    let first = figures
        .first()
        .map_or(f64::NAN, |first| first.messages_per_cpu_second);
    for one in figures {
        text.push_str(&format!(
            "{:<10} {:>16.0} {:>12.0} {:>14.0} {:>10.2}\n",
            one.program,
            one.messages_per_cpu_second,
            one.messages_per_second,
            one.peak_bytes / MEBI,
            first / one.messages_per_cpu_second
        ));
    }
    text
}

/// The table of Modbus.
pub(crate) fn modbus_table(figures: &ModbusFigures) -> String {
    format!(
        "{:>8} {:>16} {:>18} {:>14}\n{:>8} {:>16.0} {:>18.0} {:>14.0}\n",
        "tags",
        "registers/s",
        "registers/CPU s",
        "peak RSS, MiB",
        figures.tags,
        figures.registers_per_second,
        figures.registers_per_cpu_second,
        figures.peak_bytes / MEBI
    )
}

/// The table of charts.
pub(crate) fn serve_table(figures: &ServeFigures) -> String {
    let mut text = format!(
        "{} readings of {} days, {:.0} MiB in the lake, imported and rolled up in {:.0} s\n\n{:<24} {:<10} {:>8} {:>10} {:>10} {:>10}\n",
        figures.rows,
        figures.days,
        figures.lake_bytes as f64 / MEBI,
        figures.import_seconds,
        "ms",
        "roll-ups",
        "rows",
        "cold",
        "warm",
        "warm, max"
    );
    for chart in &figures.charts {
        text.push_str(&format!(
            "{:<24} {:<10} {:>8} {:>10.0} {:>10.0} {:>10.0}\n",
            chart.chart,
            if chart.rollups { "used" } else { "off" },
            chart.rows,
            chart.cold,
            chart.warm,
            chart.warm_max
        ));
    }
    text
}

/// The table of what runs idly beside the data path.
pub(crate) fn idle_table(figures: &IdleFigures) -> String {
    format!(
        "{:.0} readings/s; ns of CPU a reading: {:.0} without telemetry and ports for queries, {:.0} with them, idle; ratio {:.4} ({:.4} to {:.4}); \
         their own threads take {:.2} % of it\n",
        figures.readings_per_second,
        figures.cpu_nanos_without,
        figures.cpu_nanos_with,
        figures.ratio,
        figures.ratios.0,
        figures.ratios.1,
        figures.own_share * 100.0
    )
}

/// The table of quiet and attacked stretches.
pub(crate) fn hostile_table(figures: &HostileFigures) -> String {
    let attacks = &figures.attacks;
    format!(
        "{:<10} {:>10} {:>10}\n{:<10} {:>10.1} {:>10.1}\n{:<10} {:>10.1} {:>10.1}\nratio of the 99th percentiles {:.2}, of {} posts; {} slow \
         connections, {} wrong passwords and tokens, {} greedy statements\n",
        "ms",
        "p50",
        "p99",
        "quiet",
        figures.quiet_p50,
        figures.quiet_p99,
        "attacked",
        figures.attacked_p50,
        figures.attacked_p99,
        figures.ratio,
        figures.probes,
        attacks.slow_connections,
        attacks.guesses,
        attacks.statements
    )
}

/// The table of jobs over many series.
pub(crate) fn jobs_table(figures: &[JobFigures]) -> String {
    let mut text = format!(
        "{:<10} {:>8} {:>8} {:>14} {:>14} {:>16}\n",
        "", "series", "CPU s", "peak RSS, MiB", "CPU ms/series", "RSS KiB/series"
    );
    for one in figures {
        text.push_str(&format!(
            "{:<10} {:>8} {:>8.1} {:>14.0} {:>14.1} {:>16.0}\n",
            one.job,
            one.series,
            one.cpu_seconds,
            one.peak_bytes as f64 / MEBI,
            1000.0 * one.cpu_seconds_per_series,
            one.peak_bytes_per_series / 1024.0
        ));
    }
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
