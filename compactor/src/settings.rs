//! What the table `[lake]` says of how the tables are filled; where they lie is read by the lake.

use std::time::Duration;

use forebay_config::{Defaulted, Table};

use crate::{
    ConsumeSettings, MergeSettings, RollupLevel, RollupLevels, WindowSettings,
    consume::COMMITS_IN_MEMORY, keys,
};

/// Bounds of a window's length.
const WINDOW_MIN: Duration = Duration::from_secs(1);
const WINDOW_MAX: Duration = Duration::from_secs(31 * 86_400);

/// Least memory with which files of a useful size come about.
const MEMORY_MIN: u64 = 16 << 20;

/// What `[lake]` says of how the lake is filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactorSettings {
    /// Which windows there are, and when they close.
    pub windows: WindowSettings,
    /// Readings are in the table at most so long after they were read.
    pub commit_interval: Duration,
    /// About how many bytes of readings may wait for a commit, of all partitions.
    pub memory_bytes_max: usize,
    /// How far ahead of its gateway's clock a device's may be.
    pub max_skew: Duration,
    /// When small files are merged.
    pub merge: MergeSettings,
}

impl Default for CompactorSettings {
    fn default() -> Self {
        Self {
            windows: WindowSettings::default(),
            commit_interval: ConsumeSettings::default().commit_interval,
            memory_bytes_max: ConsumeSettings::DEFAULT.memory_bytes_max,
            max_skew: ConsumeSettings::DEFAULT.max_skew,
            merge: MergeSettings::default(),
        }
    }
}

impl CompactorSettings {
    /// Reads the compactor's own keys of `[lake]`. Notes what is wrong in the table, and answers `None` then.
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let window = window(table);
        let lateness = table.read(&keys::LATENESS);
        let idle_timeout = positive(table, &keys::IDLE_TIMEOUT);
        let rollups = rollups(table);
        let commit_interval = positive(table, &keys::COMMIT_INTERVAL);
        let memory_bytes_max = memory(table);
        let max_skew = table.read(&keys::MAX_SKEW);
        let merge_every = positive(table, &keys::MERGE_EVERY);
        let settled = table.read(&keys::MERGE_SETTLED);
        Some(Self {
            windows: WindowSettings {
                window: window?,
                lateness,
                idle_timeout: idle_timeout?,
                rollups: rollups?,
            },
            commit_interval: commit_interval?,
            memory_bytes_max: memory_bytes_max?,
            max_skew,
            merge: MergeSettings {
                every: merge_every?,
                settled,
            },
        })
    }

    /// How streams are consumed, with the defaults of what `[lake]` does not say.
    pub fn consume(&self) -> ConsumeSettings {
        ConsumeSettings {
            commit_interval: self.commit_interval,
            commit_bytes_max: self.memory_bytes_max / COMMITS_IN_MEMORY,
            memory_bytes_max: self.memory_bytes_max,
            max_skew: self.max_skew,
            ..ConsumeSettings::default()
        }
    }
}

/// The length of windows: short ones would cost more than they hold, long ones never close.
fn window(table: &mut Table<'_>) -> Option<Duration> {
    let found = table.read(&keys::WINDOW);
    if !(WINDOW_MIN..=WINDOW_MAX).contains(&found) {
        table.problem(&keys::WINDOW, "a length from \"1s\" to \"31d\" is expected");
        return None;
    }
    Some(found)
}

/// The lengths by which readings are rolled up.
fn rollups(table: &mut Table<'_>) -> Option<RollupLevels> {
    let mut levels = Vec::new();
    for name in table.read(&keys::ROLLUPS) {
        let found = RollupLevel::ALL
            .into_iter()
            .find(|level| level.name() == name);
        let Some(level) = found else {
            let message = format!("\"1m\" and \"1h\" are expected, not {name:?}");
            table.problem(&keys::ROLLUPS, message);
            return None;
        };
        levels.push(level);
    }
    Some(RollupLevels::of(&levels))
}

/// Bytes of readings that wait for a commit.
fn memory(table: &mut Table<'_>) -> Option<usize> {
    let found = table.read(&keys::MEMORY_MAX).0;
    if found < MEMORY_MIN {
        table.problem(&keys::MEMORY_MAX, "\"16MiB\" is the least that is of use");
        return None;
    }
    Some(usize::try_from(found).unwrap_or(usize::MAX))
}

/// A duration that must not be zero.
fn positive(table: &mut Table<'_>, key: &Defaulted<Duration>) -> Option<Duration> {
    let found = table.read(key);
    if found.is_zero() {
        table.problem(key, "more than nothing is expected");
        return None;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use forebay_config::{ConfigErrors, Document};
    use forebay_lake::{LakeSettings, Location, Sealed};

    use super::*;

    /// Both halves of the table, as the binary reads them.
    fn read(text: &str) -> Result<(LakeSettings, CompactorSettings), ConfigErrors> {
        Document::new(Path::new("f.toml"), text, &|_| None).read(|root| {
            let mut table = root.table(&keys::LAKE)?;
            let lake = LakeSettings::read(&mut table);
            let compactor = CompactorSettings::read(&mut table);
            table.finish();
            lake.zip(compactor)
        })
    }

    #[test]
    fn an_empty_table_is_the_defaults() {
        let defaults = (LakeSettings::default(), CompactorSettings::default());
        assert_eq!(read("[lake]"), Ok(defaults));
    }

    #[test]
    fn every_key_is_read() {
        let text = "[lake]\nurl = \"s3://b/p\"\nwindow = \"10m\"\nlateness = \"0s\"\nidle_timeout = \"1m\"\nrollups = [\"1h\", \"1m\"]\n\
                    commit_interval = \"1s\"\nmemory_max = \"50MiB\"\nmax_skew = \"1h\"\nlog_retention = \"2h\"\n\
                    file_retention = \"1d\"\nmerge_every = \"5m\"\nmerge_settled = \"0s\"\n\
                    profile = \"none\"\n[lake.s3]\n\
                    endpoint = \"http://127.0.0.1:9\"\nregion = \"r\"\naccess_key_id = \"a\"\n\
                    secret_access_key = \"b\"\nallow_http = true\n";
        let (lake, settings) = read(text).unwrap();
        assert_eq!(settings.windows.window, Duration::from_secs(600));
        assert_eq!(settings.windows.rollups, RollupLevels::ALL);
        assert_eq!(settings.consume().max_skew, Duration::from_secs(3_600));
        let memory = (
            settings.consume().memory_bytes_max,
            settings.consume().commit_bytes_max,
        );
        assert_eq!(memory, (50 << 20, 10 << 20));
        let kept = (lake.maintain.log_retention, lake.maintain.file_retention);
        assert_eq!(
            kept,
            (Duration::from_secs(7_200), Duration::from_secs(86_400))
        );
        let merge = MergeSettings {
            every: Duration::from_secs(300),
            settled: Duration::ZERO,
        };
        assert_eq!(settings.merge, merge);
        assert_eq!(lake.sealed, Sealed::None);
        assert!(matches!(lake.location(Path::new("d")), Location::S3(_)));
    }

    #[test]
    fn one_wrong_key_makes_no_other_unknown() {
        let wrong = "window = \"0s\"\nidle_timeout = \"0s\"\ncommit_interval = \"0s\"\nlog_retention = \"1s\"\n\
                     file_retention = \"1s\"\nmerge_every = \"0s\"\nmerge_settled = \"1m\"\nprofile = \"columns\"\n";
        let errors = read(&format!("[lake]\n{wrong}")).unwrap_err().to_string();
        assert!(!errors.contains("unknown"), "{errors}");
        for line in 2..=7 {
            assert!(
                errors.contains(&format!("f.toml:{line}:")),
                "line {line} is not in {errors}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, message) in [
            (
                "profile = \"uniform\"",
                "f.toml:2:11: lake.profile: \"uniform\" is not in this release: write \"columns\" or \"none\"",
            ),
            (
                "window = \"0s\"",
                "f.toml:2:10: lake.window: a length from \"1s\" to \"31d\" is expected",
            ),
            (
                "commit_interval = \"0s\"",
                "lake.commit_interval: more than nothing is expected",
            ),
            (
                "memory_max = \"15MiB\"",
                "lake.memory_max: \"16MiB\" is the least that is of use",
            ),
            (
                "file_retention = \"59s\"",
                "f.toml:2:18: lake.file_retention: at least \"1m\" is expected",
            ),
            (
                "log_retention = \"59s\"",
                "lake.log_retention: at least \"1m\" is expected",
            ),
            (
                "url = \"s3://b\"\nlog_retention = \"59m\"",
                "f.toml:3:17: lake.log_retention: at least \"1h\" is expected for a lake in a bucket",
            ),
            (
                "merge_every = \"0s\"",
                "lake.merge_every: more than nothing is expected",
            ),
            (
                "rollups = [\"1m\", \"1d\"]",
                "lake.rollups: \"1m\" and \"1h\" are expected, not \"1d\"",
            ),
            (
                "windw = \"1h\"",
                "f.toml:2:1: lake.windw: unknown key; did you mean \"window\"?",
            ),
            ("[lake.s3]\nregion = \"r\"", "is for a url such as"),
            (
                "url = \"s3:/b\"",
                "f.toml:2:7: lake.url: \"s3://bucket/prefix\", \"file:///folder\" or a folder is expected",
            ),
            ("url = \"gs://b/p\"", "lake.url: \"s3://bucket/prefix\""),
            (
                "url = \"file://folder\"",
                "lake.url: \"s3://bucket/prefix\"",
            ),
            (
                "url = \"s3://b\"\n[lake.s3]\nendpoint = \"minio:9000\"",
                "lake.s3.endpoint: a URL such as",
            ),
            (
                "url = \"s3://b\"\n[lake.s3]\naccess_key_id = \"a\"",
                "go together",
            ),
        ] {
            let errors = read(&format!("[lake]\n{text}")).unwrap_err().to_string();
            assert!(errors.contains(message), "{errors}");
        }
    }
}
