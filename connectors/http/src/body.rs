//! A request's body, bounded in size and time, before and after gzip; all bodies together are bounded by the bytes that have
//! come of them, so that a slow client holds up no other.

use std::{future::poll_fn, io::Read as _, pin::Pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
};
use flate2::read::MultiGzDecoder;
use hyper::body::Body as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::refusal::Refusal;

/// How long a client may take for its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A body, and its part of what all bodies may hold.
pub(crate) struct ReadBody {
    pub(crate) bytes: Vec<u8>,
    taken: Option<OwnedSemaphorePermit>,
}

/// Reads the whole body; `room` has a permit for each byte that bodies may hold.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
    room: &Arc<Semaphore>,
) -> Result<ReadBody, Refusal> {
    let too_large = || {
        let reason = format!("the body has more than max_body ({bytes_max} bytes)");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, reason)
    };
    if declared(headers).is_some_and(|bytes| bytes > bytes_max as u64) {
        return Err(too_large());
    }
    let encoding = encoding(headers)?;
    let mut whole = ReadBody {
        bytes: Vec::new(),
        taken: None,
    };
    let timed_out = |_| {
        let reason = format!("the body timed out after {BODY_TIMEOUT:?}");
        Refusal::new(StatusCode::REQUEST_TIMEOUT, reason)
    };
    let reading = async {
        let mut body = body;
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            let frame =
                frame.map_err(|error| Refusal::bad(format!("reading the body failed: {error}")))?;
            let Some(part) = frame.data_ref() else {
                continue;
            };
            if whole.bytes.len() + part.len() > bytes_max {
                return Err(too_large());
            }
            whole.add(part, room)?;
        }
        Ok(())
    };
    timeout(BODY_TIMEOUT, reading).await.map_err(timed_out)??;
    let bytes = &whole.bytes;
    match encoding {
        Encoding::Identity => Ok(whole),
        Encoding::Gzip => {
            let mut plain = Vec::new();
            let mut decoder = MultiGzDecoder::new(&bytes[..]).take(bytes_max as u64 + 1);
            decoder
                .read_to_end(&mut plain)
                .map_err(|error| Refusal::bad(format!("the body is not gzip: {error}")))?;
            if plain.len() > bytes_max {
                return Err(too_large());
            }
            let mut decoded = ReadBody {
                bytes: Vec::new(),
                taken: None,
            };
            decoded.add(&plain, room)?;
            Ok(decoded)
        }
    }
}

impl ReadBody {
    fn add(&mut self, part: &[u8], room: &Arc<Semaphore>) -> Result<(), Refusal> {
        let bytes = u32::try_from(part.len()).unwrap_or(u32::MAX);
        let taken = room.clone().try_acquire_many_owned(bytes);
        // Waiting here for one another would end in time-outs.
        let taken = taken.map_err(|_| {
            let reason = "too many bodies are being read at once, try again";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason)
        })?;
        match &mut self.taken {
            Some(before) => before.merge(taken),
            None => self.taken = Some(taken),
        }
        self.bytes.extend_from_slice(part);
        Ok(())
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
