//! A mail's text: headers and body as RFC 5322 and MIME have them, all in ASCII.
//!
//! What is not ASCII stands in encoded words (RFC 2047) and in base64. A control character in a name cannot begin a header of
//! its own: subjects are encoded as soon as they hold anything but printable ASCII.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use forebay_schemas::Timestamp;

use crate::{
    Delivery, Sender,
    instant::{rfc3339, rfc5322},
};

/// Bytes of text in an encoded word, which may be 75 characters long.
const WORD_BYTES_MAX: usize = 42;
/// Characters in a line of base64.
const LINE_CHARS_MAX: usize = 76;
/// A subject that fits on its line as it is.
const SUBJECT_CHARS_MAX: usize = 200;

/// A mailbox without a display name, such as `ops@example.com`: ASCII, and nothing that SMTP's or a header's syntax knows.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn mailbox(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is not an address such as \"ops@example.com\"");
    let (local, domain) = text.rsplit_once('@').ok_or_else(wrong)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let fits = !local.is_empty()
        && local.chars().all(is_plain)
        && !domain.is_empty()
        && domain.chars().all(is_name);
    if fits {
        Ok(text.to_owned())
    } else {
        Err(wrong())
    }
}

/// The whole mail, its lines ended by CR LF, without the dot that ends it on the wire.
pub(super) fn mail(
    delivery: &Delivery,
    sender: &Sender,
    from: &str,
    to: &[String],
    now: Timestamp,
) -> String {
    let domain = from
        .rsplit_once('@')
        .map_or("forebay.invalid", |(_, domain)| domain);
    let alert = format!("<{}@{domain}>", delivery.alert_id);
    let headers = [
        ("From", from.to_owned()),
        ("To", to.join(",\r\n ")),
        ("Subject", subject(&delivery.title(sender))),
        ("Date", rfc5322(now)),
        ("Message-ID", format!("<{}@{domain}>", delivery.id)),
        // All mails of an alert are one thread.
        ("References", alert),
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("MIME-Version", "1.0".to_owned()),
        ("Content-Type", "text/plain; charset=utf-8".to_owned()),
        ("Content-Transfer-Encoding", "base64".to_owned()),
    ];
    let mut mail = String::new();
    for (name, value) in headers {
        mail.push_str(&format!("{name}: {value}\r\n"));
    }
    mail.push_str("\r\n");
    let body = BASE64_STANDARD.encode(body(delivery, sender));
    // Base64 has no character of more than one byte.
    for line in body.as_bytes().chunks(LINE_CHARS_MAX) {
        mail.push_str(&String::from_utf8_lossy(line));
        mail.push_str("\r\n");
    }
    mail
}

fn body(delivery: &Delivery, sender: &Sender) -> String {
    let mut lines = vec![
        delivery.summary.clone(),
        String::new(),
        format!("alert      {}", delivery.rule),
        format!("severity   {}", delivery.severity.name()),
        format!("since      {}", rfc3339(delivery.starts_at)),
    ];
    if let Some(at) = delivery.ends_at {
        lines.push(format!("resolved   {}", rfc3339(at)));
    }
    for (label, value) in &delivery.labels {
        lines.push(format!("{label:<10} {value}"));
    }
    lines.push(format!("site       {}", sender.site.as_str()));
    lines.push(format!("gateway    {}", sender.gateway.as_str()));
    lines.push(String::new());
    // What is over cannot be acknowledged.
    if delivery.ends_at.is_none() {
        lines.push(format!(
            "To acknowledge: forebay alerts ack {}",
            delivery.alert_id
        ));
        lines.push(String::new());
    }
    lines.join("\r\n")
}

/// A subject as it is, or in encoded words.
fn subject(text: &str) -> String {
    let is_printable = |c: char| c == ' ' || c.is_ascii_graphic();
    // "=?" would be taken for the beginning of an encoded word.
    if text.len() <= SUBJECT_CHARS_MAX && text.chars().all(is_printable) && !text.contains("=?") {
        return text.to_owned();
    }
    let mut words: Vec<String> = vec![String::new()];
    for c in text.chars() {
        let full = words
            .last()
            .is_none_or(|word| word.len() + c.len_utf8() > WORD_BYTES_MAX);
        if full {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    let encoded: Vec<String> = words
        .iter()
        .map(|word| format!("=?utf-8?B?{}?=", BASE64_STANDARD.encode(word)))
        .collect();
    encoded.join("\r\n ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_cannot_begin_a_header() {
        for (text, written) in [
            ("[warning] s: silent", "[warning] s: silent"),
            ("a\r\nBcc: x@y", "=?utf-8?B?YQ0KQmNjOiB4QHk=?="),
            ("Größe", "=?utf-8?B?R3LDtsOfZQ==?="),
            ("=?x", "=?utf-8?B?PT94?="),
        ] {
            assert_eq!(subject(text), written);
        }
        let long = subject(&"é".repeat(60));
        assert_eq!(long.lines().count(), 3, "{long}");
        assert!(long.lines().all(|line| line.len() <= 76), "{long}");
    }

    #[test]
    fn an_address_is_one_mailbox() {
        for good in ["ops@example.com", "a.b+c@x-y.org"] {
            assert_eq!(mailbox(good), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "ops",
            "@example.com",
            "ops@",
            "a b@c",
            "a@b>\r\nRCPT TO:<c@d",
            "Ops <ops@example.com>",
            "a@b,c@d",
            "ö@b.de",
        ] {
            assert!(mailbox(bad).is_err(), "{bad}");
        }
    }
}
