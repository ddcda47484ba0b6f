//! What a server's answers make of a mail.

use forebay_schemas::{GatewayId, SiteId};
use tokio::io::{AsyncReadExt as _, duplex};

use super::*;

fn second(n: i64) -> Timestamp {
    Timestamp::from_nanos(n * 1_000_000_000)
}

/// Sends a mail that was queued so many seconds ago to two; the server gives these answers, one to each line of the dialogue.
async fn sent(age: i64, answers: &str) -> Result<String, String> {
    let (ours, mut server) = duplex(64 * 1024);
    let answers = answers.replace(", ", "\r\n") + "\r\n";
    server.write_all(answers.as_bytes()).await.unwrap();
    let smtp = Smtp {
        host: "mail".into(),
        port: 25,
        tls: SmtpTls::Plain,
        trust: Trust::default(),
        user: None,
        password: None,
        from: "f@x".into(),
        to: vec!["a@x".into(), "b@x".into()],
    };
    let sender = Sender {
        gateway: GatewayId::new("g").unwrap(),
        site: SiteId::new("s").unwrap(),
    };
    let delivery = Delivery::test("mail", &sender, second(0));
    let mut dialogue = Dialogue {
        stream: BufReader::new(Box::new(ours)),
    };
    let sent = smtp.transmit(&mut dialogue, &delivery, &sender, second(age));
    let sent = sent.await.map_err(|error| format!("{error:?}"));
    drop(dialogue);
    let mut said = String::new();
    server.read_to_string(&mut said).await.unwrap();
    // Whoever was refused is not written to behind the server's back.
    assert_eq!(
        sent.is_ok(),
        said.ends_with("\r\n.\r\n") && answers.ends_with("250 ok\r\n")
    );
    sent
}

#[tokio::test]
async fn a_mail_goes_to_whom_the_server_takes_it_for() {
    for (age, answers, outcome) in [
        (0, "250 f, 250 a, 250 b, 354 go, 250 ok", "250 ok"),
        (0, "250 f, 251 a, 250 b, 354 go, 250 ok", "250 ok"),
        (
            0,
            "250 f, 550 no, 250 b, 354 go, 250 ok",
            "250 ok, but not for a@x: 550 no",
        ),
        (
            0,
            "250 f, 550 no, 553 no",
            "Failed(\"RCPT TO:<a@x> failed: 550 no\")",
        ),
        (
            0,
            "250 f, 250 a, 452 full",
            "Failed(\"RCPT TO:<b@x> failed: 452 full\")",
        ),
        (
            300,
            "250 f, 250 a, 452 full, 354 go, 250 ok",
            "250 ok, but not for b@x: 452 full",
        ),
        (
            300,
            "250 f, 250 a, 421 bye",
            "Failed(\"RCPT TO:<b@x> failed: 421 bye\")",
        ),
        (
            300,
            "250 f, 451 later, 451 later",
            "Failed(\"RCPT TO:<a@x> failed: 451 later\")",
        ),
        (
            0,
            "250 f, 250 a, 250 b, 354 go, 550 spam",
            "Refused(\"550 spam\")",
        ),
        (
            0,
            "250 f, 250 a, 250 b, 354 go, 451 later",
            "Failed(\"the mail failed: 451 later\")",
        ),
        (0, "550 who", "Failed(\"MAIL FROM failed: 550 who\")"),
    ] {
        let found = sent(age, answers).await.unwrap_or_else(|error| error);
        assert_eq!(found, outcome, "{answers}");
    }
}
