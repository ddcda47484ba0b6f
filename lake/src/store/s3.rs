//! Where a lake lies in an S3 bucket, and how patient the link to it is.
//!
//! Invariants: objects that must be created once (log entries, state objects) are put with `If-None-Match: *`, which
//! the store must honour: whoever opens a lake for writing asks it (`creation`); every request has a time-out and a
//! bounded number of retries. A retried create may find its
//! own first try in place: that is for those who create to tell apart (E7), not decided here.

mod creation;
#[cfg(test)]
mod tests;

use std::{error::Error, fmt, sync::Arc, time::Duration};

use futures::StreamExt as _;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut},
    path::Path,
};
use url::Url;
use zeroize::Zeroizing;

use crate::LakeError;

pub(crate) use creation::check_creation;

/// Where the region matters to nobody, as with most stores that are not Amazon's.
const REGION_DEFAULT: &str = "us-east-1";

/// How long the question whether a bucket is there may take.
const PROBE_REQUEST: Duration = Duration::from_secs(15);
const PROBE_RETRIES: usize = 1;

/// A bucket and the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Settings {
    /// The bucket's name.
    pub bucket: String,
    /// The folder of the lake in the bucket, with `/` between its parts; empty for the whole bucket.
    pub prefix: String,
    /// Where the store answers; Amazon's for the region if `None`.
    pub endpoint: Option<Url>,
    /// The region.
    pub region: String,
    /// Who asks; if `None`, what the environment names (`AWS_ACCESS_KEY_ID` and others, a web identity, the machine's
    /// role).
    pub credentials: Option<S3Credentials>,
    /// May an `http://` endpoint be used? Objects are sealed, but the Delta log travels as plain text.
    pub allow_http: bool,
    /// How patient to be.
    pub link: S3Link,
}

/// An access key.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Credentials {
    id: String,
    secret: Zeroizing<String>,
}

impl S3Credentials {
    /// An access key's id and its secret.
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            secret: Zeroizing::new(secret.into()),
        }
    }
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Credentials")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Bounds for one request and its retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct S3Link {
    /// Longest time until a connection stands.
    pub connect_timeout: Duration,
    /// Longest time for one request with all its bytes: an upload of 5 MB at 1 Mbit/s takes 40 s.
    pub request_timeout: Duration,
    /// Most retries of one request, with growing pauses.
    pub retries_max: usize,
    /// No retry begins later than this after the first try.
    pub retry_for: Duration,
}

impl Default for S3Link {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(120),
            retries_max: 8,
            retry_for: Duration::from_secs(180),
        }
    }
}

impl S3Settings {
    /// A lake at `s3://bucket/prefix`, with credentials of the environment and defaults for the rest.
    ///
    /// # Errors
    /// [`LakeError::Location`] for any other URL.
    pub fn from_url(url: &Url) -> Result<Self, LakeError> {
        let wrong = |why: &str| LakeError::Location {
            location: url.to_string(),
            why: why.into(),
        };
        if url.scheme() != "s3" {
            return Err(wrong("a lake in a bucket is named as s3://bucket/prefix"));
        }
        let bucket = url
            .host_str()
            .ok_or_else(|| wrong("it names no bucket: write s3://bucket/prefix"))?;
        let prefix = Path::from_url_path(url.path()).map_err(|error| wrong(&error.to_string()))?;
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix: prefix.to_string(),
            endpoint: None,
            region: REGION_DEFAULT.to_owned(),
            credentials: None,
            allow_http: false,
            link: S3Link::default(),
        })
    }

    /// The same from a text.
    ///
    /// # Errors
    /// [`LakeError::Location`] for what is no such URL.
    pub fn parse(url: &str) -> Result<Self, LakeError> {
        let parsed = Url::parse(url).map_err(|error| LakeError::Location {
            location: url.to_owned(),
            why: error.to_string(),
        })?;
        Self::from_url(&parsed)
    }

    /// The bucket's store, the lake's path in it, and its URL; the bucket has answered.
    pub(crate) async fn open(&self) -> Result<(Arc<dyn ObjectStore>, Path, Url), LakeError> {
        let prefix = Path::parse(&self.prefix).map_err(|error| self.wrong(&error.to_string()))?;
        let mut url = Url::parse(&format!("s3://{}/", self.bucket))
            .map_err(|e| self.wrong(&e.to_string()))?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments
                .pop_if_empty()
                .extend(prefix.parts().map(|part| part.as_ref().to_owned()))
                .push("");
        }
        let link = self.link;
        let request_timeout = link.request_timeout.min(PROBE_REQUEST);
        let probe = S3Link {
            request_timeout,
            retries_max: link.retries_max.min(PROBE_RETRIES),
            ..link
        };
        self.probe(&self.build(probe)?, &prefix).await?;
        Ok((Arc::new(self.build(link)?), prefix, url))
    }

    fn build(&self, link: S3Link) -> Result<AmazonS3, LakeError> {
        let client = ClientOptions::new()
            .with_allow_http(self.allow_http)
            .with_connect_timeout(link.connect_timeout)
            .with_timeout(link.request_timeout);
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: link.retries_max,
            retry_timeout: link.retry_for,
        };
        let builder = match &self.credentials {
            Some(S3Credentials { id, secret }) => AmazonS3Builder::new()
                .with_access_key_id(id)
                .with_secret_access_key(secret.as_str()),
            None => AmazonS3Builder::from_env(),
        };
        let mut builder = builder
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            .with_client_options(client)
            .with_retry(retry)
            .with_conditional_put(S3ConditionalPut::ETagMatch);
        if let Some(endpoint) = &self.endpoint {
            if endpoint.scheme() == "http" && !self.allow_http {
                return Err(self
                    .wrong("the endpoint is not encrypted: use https, or set allow_http = true"));
            }
            builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
        }
        builder
            .build()
            .map_err(|error| self.wrong(&innermost(&error)))
    }

    /// Asks for one name in the bucket, so that a wrong setting is reported as one.
    async fn probe(&self, bucket: &AmazonS3, prefix: &Path) -> Result<(), LakeError> {
        let error = match bucket.list(Some(prefix)).next().await {
            None | Some(Ok(_)) => return Ok(()),
            Some(Err(error)) => error,
        };
        // Listing gives one kind of error for all answers: the status stands in its text only.
        let why = innermost(&error);
        Err(match Refusal::of(&why) {
            Some(Refusal { status: 404, .. }) => self.wrong(&format!(
                "there is no bucket {}: create it, or correct the lake's url",
                self.bucket
            )),
            Some(Refusal {
                status: 401 | 403,
                text,
            }) => {
                let who = match &self.credentials {
                    Some(credentials) => format!("access key {}", credentials.id),
                    None => "the environment's credentials".to_owned(),
                };
                self.wrong(&format!(
                    "the store refuses {who}: {text}: check the key, its right to list, read, write and delete, and \
                     this machine's clock"
                ))
            }
            Some(Refusal {
                status: 300..500,
                text,
            }) => self.wrong(&format!("{text}: check region and endpoint")),
            _ => LakeError::Unreachable {
                location: self.to_string(),
                why,
            },
        })
    }

    fn wrong(&self, why: &str) -> LakeError {
        LakeError::Location {
            location: self.to_string(),
            why: why.to_owned(),
        }
    }
}

impl fmt::Display for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)?;
        match &self.endpoint {
            Some(endpoint) => write!(f, " at {}", endpoint.as_str().trim_end_matches('/')),
            None => write!(f, " in region {}", self.region),
        }
    }
}

/// An answer of the store that is no success.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    status: u16,
    /// What the store says of it.
    text: String,
}

impl Refusal {
    /// From the text of an error: `… status code: 403 Forbidden: <Error>…`, or one about a redirect, which S3 gives
    /// for a wrong region. `None` for any other text.
    fn of(error: &str) -> Option<Self> {
        if error.contains("redirect") {
            return Some(Self {
                status: 301,
                text: error.to_owned(),
            });
        }
        let (_, answer) = error.split_once("status code: ")?;
        let status = answer.get(..3)?.parse().ok()?;
        let of = |tag: &str| {
            let (_, rest) = answer.split_once(&format!("<{tag}>"))?;
            rest.split_once(&format!("</{tag}>"))
                .map(|(text, _)| text.trim_end_matches('.'))
        };
        let text = match (of("Code"), of("Message")) {
            (Some(code), Some(message)) => format!("{message} ({code})"),
            _ => answer.lines().next().unwrap_or_default().to_owned(),
        };
        Some(Self { status, text })
    }
}

/// The cause at the bottom, which says what happened; what lies above it repeats the request.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
