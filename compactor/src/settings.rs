//! The table `[lake]` of the configuration: where the tables lie, and how they are filled.

use std::time::Duration;

use forebay_config::{Defaulted, Secret, Table};
use forebay_lake::{MaintainPolicy, RETENTION_MIN};

use crate::{
    ConsumeSettings, MergeSettings, WindowSettings,
    keys::{self, ProfileChoice},
};

/// Bounds of a window's length.
const WINDOW_MIN: Duration = Duration::from_secs(1);
const WINDOW_MAX: Duration = Duration::from_secs(31 * 86_400);

/// The shortest retention of the log of a lake in a bucket: far longer than a request is tried again. A create that
/// came so late that
/// its name had been cleaned away would be a commit that nobody reads (E7).
const BUCKET_LOG_RETENTION_MIN: Duration = Duration::from_secs(3_600);

/// What `[lake]` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeSettings {
    /// Where the lake lies; none for the data folder's `lake`.
    pub url: Option<String>,
    /// Which windows there are, and when they close.
    pub windows: WindowSettings,
    /// Readings are in the table at most so long after they were read.
    pub commit_interval: Duration,
    /// How far ahead of its gateway's clock a device's may be.
    pub max_skew: Duration,
    /// How long log entries and needless files are kept.
    pub maintain: MaintainPolicy,
    /// When small files are merged.
    pub merge: MergeSettings,
    /// Whether files are encrypted.
    pub profile: ProfileChoice,
    /// What an `s3://` url needs; none where `[lake.s3]` is missing.
    pub s3: Option<S3Settings>,
}

/// What `[lake.s3]` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct S3Settings {
    /// Of a store that is not Amazon's.
    pub endpoint: Option<String>,
    /// The bucket's region.
    pub region: Option<String>,
    /// Who asks; none for what the machine's environment says.
    pub access_key_id: Option<String>,
    /// Proof of it.
    pub secret_access_key: Option<Secret>,
    /// Whether the endpoint may be reached without TLS.
    pub allow_http: bool,
}

impl Default for LakeSettings {
    fn default() -> Self {
        Self {
            url: None,
            windows: WindowSettings::default(),
            commit_interval: ConsumeSettings::default().commit_interval,
            max_skew: ConsumeSettings::DEFAULT.max_skew,
            maintain: MaintainPolicy::default(),
            merge: MergeSettings::default(),
            profile: keys::PROFILE.default(),
            s3: None,
        }
    }
}

impl LakeSettings {
    /// How streams are consumed, with the defaults of what `[lake]` does not say.
    pub fn consume(&self) -> ConsumeSettings {
        ConsumeSettings {
            commit_interval: self.commit_interval,
            max_skew: self.max_skew,
            ..ConsumeSettings::default()
        }
    }
}

/// Reads `[lake]`; what is wrong is noted, and then there may be no answer.
pub fn lake_settings(table: &mut Table<'_>) -> Option<LakeSettings> {
    let url = table.read(&keys::URL);
    if url.as_deref().is_some_and(|url| !is_place(url)) {
        table.problem(
            &keys::URL,
            "\"s3://bucket/prefix\", \"file:///folder\" or a folder is expected",
        );
    }
    let window = window(table);
    let lateness = table.read(&keys::LATENESS);
    let idle_timeout = positive(table, &keys::IDLE_TIMEOUT);
    let commit_interval = positive(table, &keys::COMMIT_INTERVAL);
    let max_skew = table.read(&keys::MAX_SKEW);
    let log_retention = retention(table, &keys::LOG_RETENTION);
    let file_retention = retention(table, &keys::FILE_RETENTION);
    let merge_every = positive(table, &keys::MERGE_EVERY);
    let settled = table.read(&keys::MERGE_SETTLED);
    let profile = table.read(&keys::PROFILE);
    let s3 = table.table(&keys::S3).map(s3_settings);
    let is_in_bucket = url.as_deref().is_some_and(|url| url.starts_with("s3://"));
    if is_in_bucket && log_retention.is_some_and(|found| found < BUCKET_LOG_RETENTION_MIN) {
        table.problem(
            &keys::LOG_RETENTION,
            "at least \"1h\" is expected for a lake in a bucket: a request may be retried for minutes",
        );
        return None;
    }
    if s3.is_some() && !is_in_bucket {
        table.problem(
            &keys::S3,
            "is for a url such as \"s3://bucket/prefix\"; set url, or remove the table",
        );
        return None;
    }
    Some(LakeSettings {
        url,
        windows: WindowSettings {
            window: window?,
            lateness,
            idle_timeout: idle_timeout?,
        },
        commit_interval: commit_interval?,
        max_skew,
        merge: MergeSettings {
            every: merge_every?,
            settled,
        },
        maintain: MaintainPolicy {
            log_retention: log_retention?,
            file_retention: file_retention?,
            ..MaintainPolicy::DEFAULT
        },
        profile,
        s3,
    })
}

/// Whether a lake can lie there. What is no URL is a folder.
fn is_place(url: &str) -> bool {
    let bucket = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphanumeric());
    match url.split_once(':') {
        Some(("s3", rest)) => rest.strip_prefix("//").is_some_and(bucket),
        Some(("file", rest)) => rest.starts_with("///"),
        _ => !url.contains("://"),
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

/// A duration that must not be zero.
fn positive(table: &mut Table<'_>, key: &Defaulted<Duration>) -> Option<Duration> {
    let found = table.read(key);
    if found.is_zero() {
        table.problem(key, "more than nothing is expected");
        return None;
    }
    Some(found)
}

/// How long something is kept after nobody needs it: readers and merges under way must be done by then.
fn retention(table: &mut Table<'_>, key: &Defaulted<Duration>) -> Option<Duration> {
    let found = table.read(key);
    if found < RETENTION_MIN {
        table.problem(key, "at least \"1m\" is expected");
        return None;
    }
    Some(found)
}

fn s3_settings(mut table: Table<'_>) -> S3Settings {
    let settings = S3Settings {
        endpoint: table.read(&keys::ENDPOINT),
        region: table.read(&keys::REGION),
        access_key_id: table.read(&keys::ACCESS_KEY_ID),
        secret_access_key: table.read(&keys::SECRET_ACCESS_KEY),
        allow_http: table.read(&keys::ALLOW_HTTP),
    };
    let is_http = |endpoint: &str| {
        let host = endpoint
            .strip_prefix("https://")
            .or_else(|| endpoint.strip_prefix("http://"));
        host.is_some_and(|host| host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '['))
    };
    if settings
        .endpoint
        .as_deref()
        .is_some_and(|endpoint| !is_http(endpoint))
    {
        table.problem(
            &keys::ENDPOINT,
            "a URL such as \"https://s3.example.com\" or \"http://127.0.0.1:9000\" is expected",
        );
    }
    if settings.access_key_id.is_some() != settings.secret_access_key.is_some() {
        table.problem(
            &keys::ACCESS_KEY_ID,
            "access_key_id and secret_access_key go together: set both or neither",
        );
    }
    table.finish();
    settings
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use forebay_config::{ConfigErrors, Document};

    use super::*;

    fn read(text: &str) -> Result<LakeSettings, ConfigErrors> {
        Document::new(Path::new("f.toml"), text, &|_| None).read(|root| {
            let mut table = root.table(&keys::LAKE)?;
            let settings = lake_settings(&mut table);
            table.finish();
            settings
        })
    }

    #[test]
    fn an_empty_table_is_the_defaults() {
        assert_eq!(read("[lake]"), Ok(LakeSettings::default()));
    }

    #[test]
    fn every_key_is_read() {
        let text = "[lake]\nurl = \"s3://b/p\"\nwindow = \"10m\"\nlateness = \"0s\"\nidle_timeout = \"1m\"\n\
                    commit_interval = \"1s\"\nmax_skew = \"1h\"\nlog_retention = \"2h\"\n\
                    file_retention = \"1d\"\nmerge_every = \"5m\"\nmerge_settled = \"0s\"\n\
                    profile = \"none\"\n[lake.s3]\n\
                    endpoint = \"http://127.0.0.1:9\"\nregion = \"r\"\naccess_key_id = \"a\"\n\
                    secret_access_key = \"b\"\nallow_http = true\n";
        let settings = read(text).unwrap();
        let s3 = settings.s3.clone().unwrap();
        assert_eq!(
            (s3.allow_http, s3.secret_access_key.unwrap().expose()),
            (true, "b")
        );
        assert_eq!(settings.windows.window, Duration::from_secs(600));
        assert_eq!(settings.consume().max_skew, Duration::from_secs(3_600));
        let kept = (
            settings.maintain.log_retention,
            settings.maintain.file_retention,
        );
        assert_eq!(
            kept,
            (Duration::from_secs(7_200), Duration::from_secs(86_400))
        );
        let merge = MergeSettings {
            every: Duration::from_secs(300),
            settled: Duration::ZERO,
        };
        assert_eq!(settings.merge, merge);
        assert_eq!(
            (settings.profile, settings.url.as_deref()),
            (ProfileChoice::None, Some("s3://b/p"))
        );
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
