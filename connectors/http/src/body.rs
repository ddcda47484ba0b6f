//! A request's body, bounded in size and time, before and after gzip.

use std::{io::Read as _, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, StatusCode, header},
};
use flate2::read::MultiGzDecoder;
use tokio::time::timeout;

use crate::refusal::Refusal;

/// How long a client may take for its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads the whole body.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<Vec<u8>, Refusal> {
    let too_large = || {
        let reason = format!("the body has more than max_body ({bytes_max} bytes)");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, reason)
    };
    if declared(headers).is_some_and(|bytes| bytes > bytes_max as u64) {
        return Err(too_large());
    }
    let encoding = encoding(headers)?;
    let read = timeout(BODY_TIMEOUT, to_bytes(body, bytes_max)).await;
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if is_limit(&error) => return Err(too_large()),
        Ok(Err(error)) => return Err(Refusal::bad(format!("reading the body failed: {error}"))),
        Err(_) => {
            let reason = format!("the body timed out after {BODY_TIMEOUT:?}");
            return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, reason));
        }
    };
    match encoding {
        Encoding::Identity => Ok(bytes.to_vec()),
        Encoding::Gzip => {
            let mut plain = Vec::new();
            let mut decoder = MultiGzDecoder::new(&bytes[..]).take(bytes_max as u64 + 1);
            decoder
                .read_to_end(&mut plain)
                .map_err(|error| Refusal::bad(format!("the body is not gzip: {error}")))?;
            if plain.len() > bytes_max {
                return Err(too_large());
            }
            Ok(plain)
        }
    }
}

enum Encoding {
    Identity,
    Gzip,
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let Some(named) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(Encoding::Identity);
    };
    match named.to_str().unwrap_or("?").trim() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        other => {
            let reason =
                format!("content encoding {other:?} is not known: gzip or none is expected");
            Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason))
        }
    }
}

fn declared(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// axum names the limit only in the source of its error.
fn is_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        cause = error.source();
    }
    false
}
