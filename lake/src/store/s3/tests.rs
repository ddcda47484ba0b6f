//! Settings, and what a store's answer says.

use super::*;

#[test]
fn a_url_names_bucket_and_prefix() {
    for (url, bucket, prefix) in [
        ("s3://plant", "plant", ""),
        ("s3://plant/", "plant", ""),
        ("s3://plant/lake", "plant", "lake"),
        ("s3://plant/a/b%20c/", "plant", "a/b c"),
    ] {
        let settings = S3Settings::from_url(&Url::parse(url).unwrap()).unwrap();
        assert_eq!(
            (settings.bucket.as_str(), settings.prefix.as_str()),
            (bucket, prefix),
            "{url}"
        );
    }
    for url in ["https://plant/lake", "s3:lake", "file:///lake"] {
        let error = S3Settings::from_url(&Url::parse(url).unwrap()).unwrap_err();
        assert!(error.to_string().contains("s3://bucket/prefix"), "{error}");
    }
}

#[test]
fn a_secret_is_not_shown() {
    let shown = format!("{:?}", S3Credentials::new("id", "geheim"));
    assert!(shown.contains("id") && !shown.contains("geheim"), "{shown}");
}

#[test]
fn an_answer_is_told_from_silence() {
    let check = |error: &str, expected: Option<(u16, &str)>| {
        let found = Refusal::of(error);
        assert_eq!(
            found
                .as_ref()
                .map(|found| (found.status, found.text.as_str())),
            expected,
            "{error}"
        );
    };
    check(
        "Server returned non-2xx status code: 403 Forbidden: <?xml?>\n<Error><Code>SlowClock</Code><Message>Too \
         late.</Message></Error>",
        Some((403, "Too late (SlowClock)")),
    );
    check(
        "Server returned non-2xx status code: 502 Bad Gateway: oops",
        Some((502, "502 Bad Gateway: oops")),
    );
    check(
        "Received redirect without LOCATION",
        Some((301, "Received redirect without LOCATION")),
    );
    check("Connection refused (os error 111)", None);
    check("status code: x", None);
}

#[tokio::test]
async fn a_clear_endpoint_must_be_wanted() {
    let mut settings = S3Settings::from_url(&Url::parse("s3://plant/lake").unwrap()).unwrap();
    settings.endpoint = Some(Url::parse("http://127.0.0.1:1").unwrap());
    settings.credentials = Some(S3Credentials::new("id", "secret"));
    let error = settings.open().await.unwrap_err();
    assert!(matches!(error, LakeError::Location { .. }), "{error}");
    assert!(error.to_string().contains("allow_http"), "{error}");

    settings.allow_http = true;
    let error = settings.open().await.unwrap_err();
    assert!(matches!(error, LakeError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("http://127.0.0.1:1"), "{error}");
}
