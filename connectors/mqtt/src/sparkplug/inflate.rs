//! Compressed payloads, which Eclipse Tahu and what is built on it can send: a payload whose `uuid` says so has another one in its
//! `body`. Sparkplug 3.0.0 does not speak of them; this is what Tahu's `PayloadUtil` writes. What they hold is bounded as payloads are.

use std::io::Read;

use flate2::read::{MultiGzDecoder, ZlibDecoder};

use super::payload::{Payload, RawValue};

const COMPRESSED: &[u8] = b"SPBV1.0_COMPRESSED";
/// The metric that names the algorithm; without it, it is DEFLATE.
const ALGORITHM: &str = "algorithm";

impl Payload<'_> {
    pub(super) fn is_compressed(&self) -> bool {
        self.uuid == Some(COMPRESSED)
    }

    /// The payload that is in the body of this one.
    ///
    /// # Errors
    /// For people.
    pub(super) fn inflated(&self, bytes_max: usize) -> Result<Vec<u8>, String> {
        let body = self.body.ok_or("the compressed payload has no body")?;
        match self.algorithm() {
            None | Some("DEFLATE") => plain(ZlibDecoder::new(body), bytes_max),
            Some("GZIP") => plain(MultiGzDecoder::new(body), bytes_max),
            Some(other) => Err(format!(
                "the payload is compressed by {other:?}: DEFLATE and GZIP are known"
            )),
        }
    }

    fn algorithm(&self) -> Option<&str> {
        self.metrics().flatten().find_map(|metric| {
            let value = metric.value.filter(|_| metric.name == Some(ALGORITHM));
            match value {
                Some(RawValue::Text(algorithm)) => Some(algorithm),
                _ => None,
            }
        })
    }
}

fn plain(body: impl Read, bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    body.take(bytes_max as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|error| format!("the compressed payload cannot be read: {error}"))?;
    if plain.len() > bytes_max {
        return Err(format!(
            "the compressed payload holds more than max_payload ({bytes_max}) bytes"
        ));
    }
    Ok(plain)
}
