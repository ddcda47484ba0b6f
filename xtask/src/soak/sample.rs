//! One look at the gateway: what the system says of its process, what lies below its data folder, what its page says.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;

use super::{
    pace::shown,
    page::{read, value},
    site::Site,
    table_log::TableLog,
};

/// Linux counts a process's time in hundredths of a second, for programs, whatever it does itself.
const TICKS_A_SECOND: f64 = 100.0;
const KIB: f64 = 1024.0;

/// Files of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Files {
    pub(super) count: f64,
    pub(super) bytes: f64,
}

/// What was seen at one look. All numbers are floats: they are only compared.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sample {
    /// Since the devices began to send.
    pub(super) at: Duration,
    pub(super) resident_bytes: f64,
    pub(super) peak_bytes: f64,
    pub(super) threads: f64,
    pub(super) open_files: f64,
    pub(super) cpu_seconds: f64,
    pub(super) spool: Files,
    /// Entries and checkpoints of the tables' logs.
    pub(super) log: Files,
    pub(super) data: Files,
    pub(super) states: Files,
    /// The database of job runs.
    pub(super) runs: Files,
    pub(super) other: Files,
    /// Of the data files, those that the tables' newest versions name.
    pub(super) active: Files,
    /// Of these, those of `readings`.
    pub(super) active_readings: Files,
    /// Entries that the tables' logs have ever had.
    pub(super) entries_ever: f64,
    pub(super) committed: f64,
    /// Lines on the page for Prometheus.
    pub(super) page_lines: f64,
    pub(super) log_lines: f64,
    pub(super) job_runs: f64,
}

impl Sample {
    pub(super) fn line(&self) -> String {
        format!(
            "{:>7}  memory {:.0} MiB  open files {}  threads {}  cpu {:.1} s  spool {} files  log {} files {:.0} KiB  data {} files \
             ({} active)  states {}  readings {}  job runs {}",
            shown(self.at),
            self.resident_bytes / KIB / KIB,
            self.open_files,
            self.threads,
            self.cpu_seconds,
            self.spool.count,
            self.log.count,
            self.log.bytes / KIB,
            self.data.count,
            self.active.count,
            self.states.count,
            self.committed,
            self.job_runs,
        )
    }
}

/// Where to look.
pub(super) struct Probe {
    process: PathBuf,
    data: PathBuf,
    log: PathBuf,
    page: u16,
    tables: Vec<(String, TableLog)>,
}

impl Probe {
    pub(super) fn new(site: &Site, process: u32) -> Self {
        let process = Path::new("/proc").join(process.to_string());
        Self {
            process,
            data: site.data(),
            log: site.log(),
            page: site.page(),
            tables: Vec::new(),
        }
    }

    /// A number on the gateway's page; 0 while there is none.
    pub(super) fn metric(&self, name: &str, label: &str) -> f64 {
        read(self.page).map_or(0.0, |page| value(&page, name, label))
    }

    pub(super) fn sample(&mut self, at: Duration) -> anyhow::Result<Sample> {
        let mut sample = Sample {
            at,
            ..Sample::default()
        };
        self.of_process(&mut sample)
            .context("look at the gateway's process")?;
        let mut kinds = Kinds::default();
        walk(&self.data, &mut kinds)
            .with_context(|| format!("look below {}", self.data.display()))?;
        (sample.spool, sample.log, sample.data) = (kinds.spool, kinds.log, kinds.data);
        (sample.states, sample.runs, sample.other) = (kinds.states, kinds.runs, kinds.other);
        self.of_tables(&mut sample)?;
        let page = read(self.page).context("read the gateway's page for Prometheus")?;
        sample.committed = value(&page, "forebay_committed_total", "");
        sample.page_lines = page.lines().filter(|line| !line.starts_with('#')).count() as f64;
        let log = fs::read_to_string(&self.log)?;
        sample.log_lines = log.lines().count() as f64;
        sample.job_runs = log
            .lines()
            .filter(|line| line.contains("run succeeded"))
            .count() as f64;
        Ok(sample)
    }

    fn of_process(&self, sample: &mut Sample) -> anyhow::Result<()> {
        let status = fs::read_to_string(self.process.join("status"))?;
        let field = |name: &str| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok())
                .with_context(|| format!("no {name}"))
        };
        sample.resident_bytes = field("VmRSS")? * KIB;
        sample.peak_bytes = field("VmHWM")? * KIB;
        sample.threads = field("Threads")?;
        sample.open_files = fs::read_dir(self.process.join("fd"))?.count() as f64;
        let stat = fs::read_to_string(self.process.join("stat"))?;
        // The name, in brackets, may hold anything; utime and stime are the 12th and 13th fields behind it (proc(5)).
        let behind = stat.rsplit_once(')').context("no name")?.1;
        let times: Vec<f64> = behind
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse().ok())
            .collect();
        sample.cpu_seconds = times.iter().sum::<f64>() / TICKS_A_SECOND;
        Ok(())
    }

    fn of_tables(&mut self, sample: &mut Sample) -> anyhow::Result<()> {
        if self.tables.is_empty() {
            for table in fs::read_dir(self.data.join("lake"))? {
                let table = table?;
                self.tables.push((
                    table.file_name().to_string_lossy().into_owned(),
                    TableLog::new(&table.path()),
                ));
            }
        }
        for (name, log) in &mut self.tables {
            log.advance()?;
            let files = Files {
                count: log.files() as f64,
                bytes: log.bytes() as f64,
            };
            sample.active.count += files.count;
            sample.active.bytes += files.bytes;
            sample.entries_ever += log.entries() as f64;
            if name == "readings" {
                sample.active_readings = files;
            }
        }
        Ok(())
    }
}

#[derive(Debug, Default, PartialEq)]
struct Kinds {
    spool: Files,
    log: Files,
    data: Files,
    states: Files,
    runs: Files,
    other: Files,
}

impl Kinds {
    /// By the path below the data folder.
    fn of(&mut self, path: &Path) -> &mut Files {
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
        let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
        match parts.as_slice() {
            ["spool", ..] => &mut self.spool,
            ["lake", _, "_delta_log", ..] => &mut self.log,
            ["lake", _, "_forebay", "state", ..] => &mut self.states,
            ["lake", _, .., name] if name.ends_with(".parquet") => &mut self.data,
            [name] if name.starts_with("jobs.sqlite") => &mut self.runs,
            _ => &mut self.other,
        }
    }
}

fn walk(root: &Path, kinds: &mut Kinds) -> anyhow::Result<()> {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        // The gateway deletes while it is looked: what has gone is no error.
        for entry in present(fs::read_dir(&folder))?.into_iter().flatten() {
            let Some(entry) = present(entry)? else {
                continue;
            };
            let path = entry.path();
            let Some(about) = present(fs::symlink_metadata(&path))? else {
                continue;
            };
            if about.is_dir() {
                folders.push(path);
                continue;
            }
            let files = kinds.of(path.strip_prefix(root)?);
            files.count += 1.0;
            files.bytes += about.len() as f64;
        }
    }
    Ok(())
}

fn present<T>(result: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_of_one_kind() {
        let mut kinds = Kinds::default();
        for path in [
            "spool/0/00000001.log",
            "lake/readings/_delta_log/00000000000000000000.json",
            "lake/readings/_delta_log/00000000000000000100.checkpoint.parquet",
            "lake/readings/site=a/part-1.parquet",
            "lake/windows/part-1.parquet",
            "lake/windows/_forebay/state/a/00000000000000000001",
            "lake/windows/_forebay/clock",
            "jobs.sqlite-wal",
            "keys",
        ] {
            kinds.of(Path::new(path)).count += 1.0;
        }
        let counts = [
            kinds.spool,
            kinds.log,
            kinds.data,
            kinds.states,
            kinds.runs,
            kinds.other,
        ]
        .map(|files| files.count);
        assert_eq!(counts, [1.0, 2.0, 2.0, 1.0, 1.0, 2.0]);
    }
}
