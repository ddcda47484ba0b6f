//! One POST over a connection of its own.
//!
//! It follows no redirect, uses no proxy, keeps no cookie, and reads at most [`ANSWER_BYTES_MAX`] of a refusal. A status from 200
//! to 299 says all: what stands behind it is not waited for.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use url::Url;

use super::{
    SendError,
    address::{Reach, connect},
    failed,
    tls::{Stream, Trust},
};

/// So much of an answer is shown to people.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const ANSWER_CHARS_SHOWN: usize = 200;
/// And waited for so long, after its status is known.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Where to post.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// `http` or `https`, with a host.
    pub(crate) url: Url,
    pub(crate) trust: Trust,
    pub(crate) reach: Reach,
}

impl Target {
    /// Posts a body of JSON; answers the receiver's status line.
    pub(crate) async fn post(
        &self,
        headers: &[(&str, String)],
        body: Vec<u8>,
    ) -> Result<String, SendError> {
        let host = self.url.host_str().unwrap_or_default().to_owned();
        let port = self.url.port_or_known_default().unwrap_or(80);
        let plain = connect(&host, port, self.reach).await?;
        let stream: Box<dyn Stream> = match self.url.scheme() {
            "https" => Box::new(self.trust.secured(plain, &host).await?),
            _ => Box::new(plain),
        };
        let request = self.request(headers, body)?;
        let (mut requests, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed("the HTTP connection", error))?;
        let exchange = async {
            let answer = requests.send_request(request).await?;
            let status = answer.status();
            if status.is_success() {
                return Ok((status, Bytes::new()));
            }
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
            let text = timeout(ANSWER_MAX, body.collect()).await;
            let text = text.ok().and_then(Result::ok);
            let text = text.map(|body| body.to_bytes()).unwrap_or_default();
            Ok::<_, hyper::Error>((status, text))
        };
        let (mut exchange, mut connection) = (pin!(exchange), pin!(connection));
        let answer = tokio::select! {
            answer = &mut exchange => answer,
            ended = &mut connection => match exchange.await {
                // It may end, or break, as soon as it has handed the answer over: then the answer is there.
                Ok(answer) => Ok(answer),
                Err(error) => Err(ended.err().unwrap_or(error)),
            },
        };
        let (status, text) = answer.map_err(|error| failed("the request", error))?;
        judged(status, &text)
    }

    fn request(
        &self,
        headers: &[(&str, String)],
        body: Vec<u8>,
    ) -> Result<Request<Full<Bytes>>, SendError> {
        let path = self.url.path();
        let target = match self.url.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let host = self.url.host_str().unwrap_or_default();
        let host = match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let mut request = Request::post(target)
            .header(header::HOST, host)
            .header(
                header::USER_AGENT,
                concat!("forebay/", env!("CARGO_PKG_VERSION")),
            )
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| failed("the request", error))
    }
}

/// What an answer means: whether the delivery has arrived, may arrive later, or will be refused again.
fn judged(status: StatusCode, text: &[u8]) -> Result<String, SendError> {
    if status.is_success() {
        return Ok(status.to_string());
    }
    if status.is_redirection() {
        let message = format!("{status}: redirects are not followed, set url to the final address");
        return Err(SendError::Failed(message));
    }
    let said: String = String::from_utf8_lossy(text)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(ANSWER_CHARS_SHOWN)
        .collect();
    let message = match said.trim() {
        "" => status.to_string(),
        said => format!("{status}: {said}"),
    };
    let is_about_this_body = matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY
    );
    if is_about_this_body {
        Err(SendError::Refused(message))
    } else {
        Err(SendError::Failed(message))
    }
}
