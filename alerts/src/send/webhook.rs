//! A webhook: a POST that its receiver can prove to be ours.
//!
//! `Forebay-Signature: v1=HEX` is the HMAC-SHA256 (RFC 2104) of `Forebay-Timestamp`, a full stop, and the body, under the
//! route's secret. The time stamp is that of the try, so that a receiver can refuse what is old; `Forebay-Delivery` stays the
//! same over all tries, so that it can tell doubles.

use std::{fs, path::PathBuf};

use forebay_schemas::Timestamp;
use ring::hmac;
use tokio::task::spawn_blocking;

use super::{SendError, failed, http::Target};
use crate::{Delivery, Sender, book::hex};

/// A webhook.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    pub(crate) target: Target,
    /// File with the secret of the signature; none sends none.
    pub(crate) secret_file: Option<PathBuf>,
    /// File with a token for `Authorization: Bearer`.
    pub(crate) token_file: Option<PathBuf>,
}

impl Webhook {
    pub(super) async fn send(
        &self,
        delivery: &Delivery,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<String, SendError> {
        let body = delivery.body(sender).to_string();
        let timestamp = (now.nanos() / 1_000_000_000).to_string();
        let mut headers = vec![
            ("forebay-delivery", delivery.id.clone()),
            ("forebay-timestamp", timestamp.clone()),
        ];
        if let Some(file) = &self.secret_file {
            let secret = secret_in(file.clone()).await?;
            headers.push(("forebay-signature", signature(&secret, &timestamp, &body)));
        }
        headers.extend(bearer(self.token_file.as_ref()).await?);
        self.target.post(&headers, body.into_bytes()).await
    }
}

/// The header of a token.
pub(super) async fn bearer(
    file: Option<&PathBuf>,
) -> Result<Option<(&'static str, String)>, SendError> {
    let Some(file) = file else { return Ok(None) };
    let token = secret_in(file.clone()).await?;
    Ok(Some(("authorization", format!("Bearer {token}"))))
}

/// A secret in a file, without the end of its line. Read at each try: it may have been replaced.
pub(super) async fn secret_in(file: PathBuf) -> Result<String, SendError> {
    let shown = file.display().to_string();
    let text = spawn_blocking(move || fs::read_to_string(file))
        .await
        .map_err(|error| failed("reading a secret", error))?
        .map_err(|error| failed(&format!("reading the secret in {shown}"), error))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(SendError::Failed(format!("the secret in {shown} is empty"))),
        secret => Ok(secret.to_owned()),
    }
}

fn signature(secret: &str, timestamp: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut signed = hmac::Context::with_key(&key);
    for part in [timestamp, ".", body] {
        signed.update(part.as_bytes());
    }
    format!("v1={}", hex(signed.sign().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_hmac_of_time_stamp_and_body() {
        // RFC 4231, test case 2: key "Jefe", data "what do ya want for nothing?"; the data is split at its first full stop,
        // so here it is checked through a text that has one.
        let by_hand = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, b"Jefe"),
            b"1700000000.{\"a\":1}",
        );
        assert_eq!(
            signature("Jefe", "1700000000", "{\"a\":1}"),
            format!("v1={}", hex(by_hand.as_ref()))
        );
    }
}
