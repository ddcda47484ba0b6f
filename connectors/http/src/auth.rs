//! Who may post.

use axum::http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use forebay_config::Secret;

use crate::refusal::Refusal;

/// Least characters of a token: shorter ones can be guessed.
pub(crate) const TOKEN_CHARS_MIN: usize = 16;

/// Checks a request's token, in time that does not depend on how much of it is right.
pub(crate) fn check(token: Option<&Secret>, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(token) = token else { return Ok(()) };
    let refused = |reason: &str| Refusal::new(StatusCode::UNAUTHORIZED, reason);
    let sent = headers
        .get(AUTHORIZATION)
        .ok_or_else(|| refused("the header Authorization: Bearer … is missing"))?;
    let sent = sent.to_str().unwrap_or_default();
    let scheme = ["Bearer ", "Token "].iter().find_map(|scheme| {
        let found = sent.get(..scheme.len())?;
        found
            .eq_ignore_ascii_case(scheme)
            .then(|| &sent[scheme.len()..])
    });
    let Some(sent) = scheme else {
        return Err(refused("Authorization: Bearer … is expected"));
    };
    if is_same(sent.trim().as_bytes(), token.expose().trim().as_bytes()) {
        Ok(())
    } else {
        Err(refused("the token is wrong"))
    }
}

fn is_same(sent: &[u8], expected: &[u8]) -> bool {
    let differences = expected.iter().enumerate().fold(0_u8, |all, (at, byte)| {
        all | (byte ^ sent.get(at).copied().unwrap_or(!byte))
    });
    std::hint::black_box(differences) == 0 && sent.len() == expected.len()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_the_whole_token_is_let_in() {
        let token = Secret::new("0123456789abcdef");
        let table = [
            (Some("Bearer 0123456789abcdef"), None),
            (Some("bearer 0123456789abcdef"), None),
            (Some("Token 0123456789abcdef"), None),
            (Some("Bearer 0123456789abcdeF"), Some("the token is wrong")),
            (Some("Bearer 0123456789abcde"), Some("the token is wrong")),
            (Some("Bearer 0123456789abcdef0"), Some("the token is wrong")),
            (Some("Bearer "), Some("the token is wrong")),
            (
                Some("Basic MDEyMw=="),
                Some("Authorization: Bearer … is expected"),
            ),
            (Some("é"), Some("Authorization: Bearer … is expected")),
            (None, Some("the header Authorization: Bearer … is missing")),
        ];
        for (sent, expected) in table {
            let mut headers = HeaderMap::new();
            if let Some(sent) = sent {
                let sent = HeaderValue::from_bytes(sent.as_bytes()).unwrap();
                headers.insert(AUTHORIZATION, sent);
            }
            let found = check(Some(&token), &headers).err();
            assert_eq!(
                found.map(|refusal| refusal.reason).as_deref(),
                expected,
                "{sent:?}"
            );
            assert_eq!(check(None, &headers), Ok(()));
        }
    }
}
