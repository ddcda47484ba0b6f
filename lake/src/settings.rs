//! What `[lake]` says of the lake: where it lies and how it is reached, whether its files are sealed, and how long those
//! that nobody needs are kept.
//!
//! The table holds keys of the compactor too, which the compactor reads; whoever opens the table says which keys there are.

pub mod keys;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use forebay_config::{Defaulted, Table};
use url::Url;

use crate::{Location, MaintainPolicy, RETENTION_MIN, S3Credentials, S3Settings, Sealed};

/// The folder in the data folder where no url is given.
const FOLDER_DEFAULT: &str = "lake";

/// The shortest retention of the log of a lake in a bucket: far longer than a request is tried again. A create that
/// came so late that
/// its name had been cleaned away would be a commit that nobody reads (E7).
const BUCKET_LOG_RETENTION_MIN: Duration = Duration::from_secs(3_600);

/// The settings of a lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeSettings {
    /// A folder may be relative to the data folder.
    location: Location,
    /// Whether files are encrypted.
    pub sealed: Sealed,
    /// How long log entries and needless files are kept.
    pub maintain: MaintainPolicy,
}

impl Default for LakeSettings {
    fn default() -> Self {
        Self {
            location: Location::Folder(PathBuf::from(FOLDER_DEFAULT)),
            sealed: keys::PROFILE.default(),
            maintain: MaintainPolicy::default(),
        }
    }
}

impl LakeSettings {
    /// Reads the keys of `[lake]` in [`keys`]. Notes what is wrong in the table, and answers `None` then.
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let url = table.read(&keys::URL);
        let log_retention = retention(table, &keys::LOG_RETENTION);
        let file_retention = retention(table, &keys::FILE_RETENTION);
        let sealed = table.read(&keys::PROFILE);
        let reach = table.table(&keys::S3).map(BucketReach::read);
        let location = location(table, url.as_deref(), reach.as_ref());
        let is_in_bucket = url.as_deref().is_some_and(|url| url.starts_with("s3://"));
        if is_in_bucket && log_retention.is_some_and(|found| found < BUCKET_LOG_RETENTION_MIN) {
            table.problem(
                &keys::LOG_RETENTION,
                "at least \"1h\" is expected for a lake in a bucket: a request may be retried for minutes",
            );
            return None;
        }
        if reach.is_some() && !is_in_bucket {
            table.problem(
                &keys::S3,
                "is for a url such as \"s3://bucket/prefix\"; set url, or remove the table",
            );
            return None;
        }
        Some(Self {
            location: location?,
            sealed,
            maintain: MaintainPolicy {
                log_retention: log_retention?,
                file_retention: file_retention?,
                ..MaintainPolicy::DEFAULT
            },
        })
    }

    /// Where the lake lies; relative folders start from `data_dir`.
    pub fn location(&self, data_dir: &Path) -> Location {
        match &self.location {
            Location::Folder(folder) => Location::Folder(data_dir.join(folder)),
            bucket @ Location::S3(_) => bucket.clone(),
        }
    }
}

/// Where a url leads, as far as can be said without the data folder.
fn location(
    table: &mut Table<'_>,
    url: Option<&str>,
    reach: Option<&BucketReach>,
) -> Option<Location> {
    let Some(text) = url else {
        return Some(Location::Folder(PathBuf::from(FOLDER_DEFAULT)));
    };
    if !is_place(text) {
        table.problem(
            &keys::URL,
            "\"s3://bucket/prefix\", \"file:///folder\" or a folder is expected",
        );
        return None;
    }
    if !text.starts_with("s3://") {
        let folder = text.strip_prefix("file://").unwrap_or(text);
        return Some(Location::Folder(PathBuf::from(folder)));
    }
    let bucket = Url::parse(text)
        .map_err(|error| format!("cannot be read as a URL: {error}"))
        .and_then(|url| S3Settings::from_url(&url).map_err(|error| error.to_string()));
    match bucket {
        Ok(bucket) => Some(Location::S3(Box::new(match reach {
            Some(reach) => reach.clone().over(bucket),
            None => bucket,
        }))),
        Err(why) => {
            table.problem(&keys::URL, why);
            None
        }
    }
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

/// How long something is kept after nobody needs it: readers and merges under way must be done by then.
fn retention(table: &mut Table<'_>, key: &Defaulted<Duration>) -> Option<Duration> {
    let found = table.read(key);
    if found < RETENTION_MIN {
        table.problem(key, "at least \"1m\" is expected");
        return None;
    }
    Some(found)
}

/// What `[lake.s3]` says of the way to a bucket.
#[derive(Debug, Clone)]
struct BucketReach {
    endpoint: Option<Url>,
    region: Option<String>,
    credentials: Option<S3Credentials>,
    allow_http: bool,
}

impl BucketReach {
    fn read(mut table: Table<'_>) -> Self {
        let endpoint = table.read(&keys::ENDPOINT);
        let region = table.read(&keys::REGION);
        let id = table.read(&keys::ACCESS_KEY_ID);
        let secret = table.read(&keys::SECRET_ACCESS_KEY);
        let allow_http = table.read(&keys::ALLOW_HTTP);
        let url = endpoint.as_deref().and_then(http_url);
        if endpoint.is_some() && url.is_none() {
            table.problem(
                &keys::ENDPOINT,
                "a URL such as \"https://s3.example.com\" or \"http://127.0.0.1:9000\" is expected",
            );
        }
        if id.is_some() != secret.is_some() {
            table.problem(
                &keys::ACCESS_KEY_ID,
                "access_key_id and secret_access_key go together: set both or neither",
            );
        }
        table.finish();
        Self {
            endpoint: url,
            region,
            credentials: id
                .zip(secret)
                .map(|(id, secret)| S3Credentials::new(id, secret.expose())),
            allow_http,
        }
    }

    /// The settings of a bucket, reached this way.
    fn over(self, bucket: S3Settings) -> S3Settings {
        S3Settings {
            endpoint: self.endpoint,
            region: self.region.unwrap_or(bucket.region),
            credentials: self.credentials,
            allow_http: self.allow_http,
            ..bucket
        }
    }
}

fn http_url(text: &str) -> Option<Url> {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))?;
    if !host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[') {
        return None;
    }
    Url::parse(text).ok()
}
