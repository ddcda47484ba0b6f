//! The figures as tables for people.

#[cfg(feature = "lake")]
mod lake;

#[cfg(feature = "lake")]
pub(crate) use self::lake::table;
use crate::{
    hostile::HostileFigures, idle::IdleFigures, jobs::JobFigures, path::PathFigures,
    serve::ServeFigures, turns::ProgramFigures,
};

const MEBI: f64 = 1024.0 * 1024.0;

/// The table of programs that were measured in turns; the ratio is that of the first to each.
pub(crate) fn programs_table(figures: &[ProgramFigures]) -> String {
    let mut text = format!(
        "{:<10} {:>16} {:>12} {:>10} {:>14} {:>8}\n",
        "", "readings/CPU s", "readings/s", "RSS, MiB", "peak RSS, MiB", "ratio"
    );
    let first = figures
        .first()
        .map_or(f64::NAN, |first| first.readings_per_cpu_second);
    for one in figures {
        text.push_str(&format!(
            "{:<10} {:>16.0} {:>12.0} {:>10.1} {:>14.1} {:>8.2}\n",
            one.program,
            one.readings_per_cpu_second,
            one.readings_per_second,
            one.resident_bytes / MEBI,
            one.peak_bytes / MEBI,
            first / one.readings_per_cpu_second
        ));
    }
    text
}

/// The table of the way from the device to the table.
pub(crate) fn path_table(figures: &PathFigures) -> String {
    format!(
        "{:>8} {:>12} {:>18} {:>10} {:>14}\n{:>8} {:>12.0} {:>18.2} {:>10.1} {:>14.1}\n",
        "tags",
        "readings/s",
        "CPU s per million",
        "RSS, MiB",
        "peak RSS, MiB",
        figures.tags,
        figures.readings_per_second,
        figures.cpu_seconds_per_million,
        figures.resident_bytes / MEBI,
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
