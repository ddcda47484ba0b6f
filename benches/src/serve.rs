//! How long a chart takes: a day of ten tags out of very many readings, over PostgreSQL's protocol, with roll-ups and without.
//!
//! Readings of 100 tags, one a second, are imported day by day into a lake in a folder, so that the text of one day at most is on
//! the disk. The role `serve` of the shipped binary then answers psql, which times each statement itself: the first one after a
//! start of the role, and the same one again and again. The same lake is served twice, once with `use_rollups = false`.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    meter::median,
    served::{PASSWORD, free_port, serve},
};

const TAGS: u64 = 100;
/// Of these one chart has so many.
const CHARTED: u64 = 10;
const SECONDS_A_DAY: u64 = 86_400;
/// 2026-01-01T00:00:00Z, in seconds.
const START: u64 = 1_767_225_600;

/// What is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Plan {
    /// The binary `forebay`.
    #[arg(long)]
    forebay: PathBuf,
    /// Readings in the lake: whole days of 100 tags, one reading a second, at least two.
    #[arg(long, default_value_t = 100_000_000, value_parser = clap::value_parser!(u64).range(1..=300_000_000))]
    rows: u64,
    /// How often each chart is asked for once the role is warm.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u8).range(1..=99))]
    rounds: u8,
}

/// All figures of a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ServeFigures {
    pub(crate) rows: u64,
    pub(crate) days: u64,
    pub(crate) lake_bytes: u64,
    pub(crate) import_seconds: f64,
    pub(crate) charts: Vec<ChartFigures>,
}

/// One chart, in ms.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ChartFigures {
    pub(crate) chart: &'static str,
    pub(crate) rollups: bool,
    pub(crate) rows: u64,
    /// The first answer after the role's start; the kernel may have the files in memory.
    pub(crate) cold: f64,
    /// The median of the answers after it.
    pub(crate) warm: f64,
    /// The longest of them.
    pub(crate) warm_max: f64,
}

/// Makes a lake of so many readings, and times its charts.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<ServeFigures> {
    let folder = TempDir::new()?;
    let days = plan.rows.div_ceil(TAGS * SECONDS_A_DAY).max(2);
    let port = free_port()?;
    configure(folder.path(), port, Rollups::Used)?;
    let begun = Instant::now();
    for day in 0..days {
        eprintln!("day {} of {days}", day + 1);
        import(plan, folder.path(), day)?;
    }
    let import_seconds = begun.elapsed().as_secs_f64();
    let mut charts = Vec::new();
    for rollups in [Rollups::Used, Rollups::Off] {
        configure(folder.path(), port, rollups)?;
        for (chart, sql) in [
            ("a day by the minute", day_chart()),
            ("all days by the hour", all_chart()),
        ] {
            let served = serve(&plan.forebay, folder.path(), port).await?;
            let (rows, times) = timed(port, &sql, plan.rounds)?;
            drop(served);
            let (cold, warm) = times.split_first().context("psql gave no times")?;
            charts.push(ChartFigures {
                chart,
                rollups: rollups == Rollups::Used,
                rows,
                cold: *cold,
                warm: median(warm.iter().copied()),
                warm_max: warm.iter().copied().fold(0.0, f64::max),
            });
        }
    }
    Ok(ServeFigures {
        rows: days * TAGS * SECONDS_A_DAY,
        days,
        lake_bytes: bytes_below(&folder.path().join("lake"))?,
        import_seconds,
        charts,
    })
}

/// Whether charts may be answered from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rollups {
    Used,
    Off,
}

fn configure(folder: &Path, port: u16, rollups: Rollups) -> anyhow::Result<()> {
    fs::write(folder.join("password"), PASSWORD)?;
    let use_rollups = rollups == Rollups::Used;
    let text = format!(
        r#"[gateway]
id = "bench"
site = "bench"

[lake]
rollups = ["1m", "1h"]

[serve]
postgres_listen = "127.0.0.1:{port}"
timeout = "5m"
use_rollups = {use_rollups}

[[serve.user]]
name = "grafana"
password_file = "password"
sites = ["bench"]

[telemetry]
log = "warn"
"#
    );
    Ok(fs::write(folder.join("forebay.toml"), text)?)
}

/// Imports one day of all tags.
fn import(plan: &Plan, folder: &Path, day: u64) -> anyhow::Result<()> {
    let csv = folder.join("day.csv");
    write_day(&csv, day)?;
    let log = folder.join("import.txt");
    let status = Command::new(&plan.forebay)
        .args([
            "import",
            "--time",
            "t",
            "--time-format",
            "s",
            "--device",
            "plant",
        ])
        .arg(&csv)
        .arg("--data-dir")
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .status()
        .with_context(|| format!("{} cannot be started", plan.forebay.display()))?;
    let said = fs::read_to_string(&log).unwrap_or_default();
    ensure!(status.success(), "the import failed: {said}");
    Ok(fs::remove_file(csv)?)
}

/// A walk of each tag, to two digits, as a sensor gives it.
fn write_day(path: &Path, day: u64) -> anyhow::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    write!(out, "t")?;
    for tag in 0..TAGS {
        write!(out, ",tag-{tag}")?;
    }
    writeln!(out)?;
    let mut chance = day + 1;
    let mut cents: Vec<i64> = (0..TAGS)
        .map(|tag| 2_000 + 10 * tag.cast_signed())
        .collect();
    for second in 0..SECONDS_A_DAY {
        write!(out, "{}", START + day * SECONDS_A_DAY + second)?;
        for value in &mut cents {
            // The generator of Knuth's MMIX.
            chance = chance
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *value += (chance >> 62).cast_signed() - 1;
            write!(out, ",{}.{:02}", *value / 100, (*value % 100).abs())?;
        }
        writeln!(out)?;
    }
    Ok(out.flush()?)
}

/// As Grafana's PostgreSQL source sends it, for the second day.
fn day_chart() -> String {
    chart(
        60,
        &format!(
            "event_time BETWEEN to_timestamp({}) AND to_timestamp({})",
            START + SECONDS_A_DAY,
            START + 2 * SECONDS_A_DAY
        ),
    )
}

fn all_chart() -> String {
    chart(3_600, &format!("event_time >= to_timestamp({START})"))
}

fn chart(seconds: u64, times: &str) -> String {
    let tags: Vec<String> = (0..CHARTED)
        .map(|tag| format!("'tag-{}'", tag * TAGS / CHARTED))
        .collect();
    let tags = tags.join(",");
    format!(
        "SELECT floor(extract(epoch from event_time)/{seconds})*{seconds} AS \"time\", device || '/' || tag AS metric, avg(value) AS \
         value FROM readings WHERE {times} AND site IN ('bench') AND device IN ('plant') AND tag IN ({tags}) AND quality < 2 AND \
         value IS NOT NULL GROUP BY 1, 2 ORDER BY 1"
    )
}

/// The rows of a statement, and how many ms psql waited for each of its answers: the first one and `rounds` more.
fn timed(port: u16, sql: &str, rounds: u8) -> anyhow::Result<(u64, Vec<f64>)> {
    let mut script = String::from("\\timing on\n\\pset footer off\n");
    for _ in 0..=rounds {
        script.push_str(sql);
        script.push_str(";\n");
    }
    let mut psql = Command::new("psql")
        .args([
            "-X",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-U",
            "grafana",
            "-d",
            "forebay",
        ])
        .args(["-p", &port.to_string()])
        .env("PGPASSWORD", PASSWORD)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("psql cannot be started")?;
    let mut input = psql.stdin.take().context("no way to psql")?;
    // It reads while it answers: from a thread of its own it cannot block.
    let writing = std::thread::spawn(move || input.write_all(script.as_bytes()));
    let output = psql.wait_with_output()?;
    ensure!(output.status.success(), "psql failed");
    writing.join().ok().context("writing to psql failed")??;
    let text = String::from_utf8(output.stdout)?;
    let (times, rows): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with("Time: "));
    let times: Vec<f64> = times.iter().filter_map(|line| milliseconds(line)).collect();
    ensure!(
        times.len() == usize::from(rounds) + 1,
        "psql told {} times",
        times.len()
    );
    let rows = rows.iter().filter(|line| line.contains("plant/")).count() as u64;
    Ok((rows / times.len() as u64, times))
}

/// Of `Time: 1234.567 ms (00:01.235)`.
fn milliseconds(line: &str) -> Option<f64> {
    line.split_whitespace().nth(1)?.parse().ok()
}

fn bytes_below(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.metadata()?;
        bytes += if kind.is_dir() {
            bytes_below(&entry.path())?
        } else {
            kind.len()
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn psql_s_times_are_read() {
        for (line, expected) in [
            ("Time: 12.345 ms", Some(12.345)),
            ("Time: 61234.500 ms (01:01.235)", Some(61_234.5)),
            ("Time:", None),
        ] {
            assert_eq!(milliseconds(line), expected, "{line}");
        }
    }
}
