//! Why a request is not taken: a status and a reason that a person can act on.

use axum::{
    body::Body,
    http::{Response, StatusCode, header},
};

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) reason: String,
}

/// A place in a body, both from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
        }
    }

    /// A body that cannot be read.
    pub(crate) fn bad(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    /// A body that cannot be read at one place.
    pub(crate) fn at(place: Place, what: impl AsRef<str>) -> Self {
        let Place { line, column } = place;
        Self::bad(format!("line {line}, column {column}: {}", what.as_ref()))
    }

    /// As JSON: `{"error": "…"}`.
    pub(crate) fn response(&self) -> Response<Body> {
        let body = serde_json::json!({ "error": self.reason }).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let json = header::HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = header::HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, bearer);
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            let post = header::HeaderValue::from_static("POST");
            response.headers_mut().insert(header::ALLOW, post);
        }
        response
    }
}
