//! What is posted, what comes of it, and what is refused with which words.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use forebay_connectors::Parcel;
use forebay_connectors_conformance::{Kept, Receipts, Rig};
use forebay_schemas::{Quality, Value};

use crate::peer::{Peer, asked, file, free_port, listening, post};

const TAGS: [&str; 5] = [
    "path = \"/ingest/{device}\"\ntime = \"$.ts\"\ntime_unit = \"ms\"",
    "path = \"/write\"\nformat = \"line\"\ndevice_tag = \"host\"",
    "path = \"/csv\"\nformat = \"csv\"",
    "path = \"/raw/{device}/{tag}\"\nformat = \"raw\"",
    "path = \"/fixed\"\nname = \"level\"\ntype = \"f64\"",
];
const DEVICE: &str = "device = \"gate\"";

fn shown(rig: &Rig) -> Vec<String> {
    let samples = rig.samples();
    let show = samples.iter().map(|sample| {
        let value = match &sample.value {
            Some(Value::F64(value)) => value.to_string(),
            Some(Value::I64(value)) => format!("{value}i"),
            other => format!("{other:?}"),
        };
        let time = sample
            .event_time
            .map_or_else(|| "-".to_owned(), |at| (at.nanos() / 1_000_000).to_string());
        let quality = if sample.status.quality == Quality::Good {
            ""
        } else {
            " bad"
        };
        format!(
            "{} {}/{} {value} {time}{quality}",
            sample.rule.0, sample.device, sample.tag
        )
    });
    show.collect()
}

#[tokio::test]
async fn every_format_becomes_samples_once_they_are_kept() {
    let port = free_port();
    let rig = listening(port, DEVICE, &TAGS, Receipts::Given).await;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(b"m,host=z v=3 1700000000000000000").unwrap();
    let gzip = gzip.finish().unwrap();
    let requests = [
        post(
            "/ingest/pump%201",
            "Content-Type: application/json\r\n",
            b"{\"ts\": 1700000000000, \"heat\": 21.5, \"no\": null}",
        ),
        post(
            "/write?bucket=x&precision=s",
            "",
            b"m,host=a v=1 1700000000\nm v=2i",
        ),
        post(
            "/write",
            "Content-Encoding: gzip\r\nContent-Type: text/plain; charset=utf-8\r\n",
            &gzip,
        ),
        post(
            "/csv",
            "Content-Type: text/csv\r\n",
            b"time,a\n2023-11-14T22:13:20Z,7\n",
        ),
        post("/raw/p/t", "", b"12"),
        post("/fixed", "", b"8"),
        b"POST /fixed HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n9\r\n0\r\n\r\n"
            .to_vec(),
    ];
    for request in &requests {
        let answer = asked(port, request).await;
        assert_eq!(
            answer,
            (204, String::new()),
            "{}",
            String::from_utf8_lossy(request)
        );
    }
    let expected = [
        "0 pump 1/heat 21.5 1700000000000",
        "0 pump 1/no None 1700000000000 bad",
        "1 a/m.v 1 1700000000000",
        "1 gate/m.v 2i -",
        "1 z/m.v 3 1700000000000",
        "2 gate/a 7i 1700000000000",
        "3 p/t 12i -",
        "4 gate/level 8 -",
        "4 gate/level 9 -",
    ];
    assert_eq!(shown(&rig), expected);
    rig.stop().await;
}

#[tokio::test]
async fn what_is_refused_is_refused_as_a_whole_with_its_reason() {
    let port = free_port();
    let keys = "device = \"gate\"\ntoken = \"0123456789abcdef\"\nmax_body = \"64B\"";
    let rig = listening(port, keys, &TAGS, Receipts::Given).await;
    let token = "Authorization: Bearer 0123456789abcdef\r\n";
    let with = |more: &str| format!("{token}{more}");
    let long = vec![b'1'; 65];
    let table: [(u16, &str, Vec<u8>); 14] = [
        (401, "Bearer … is missing", post("/fixed", "", b"1")),
        (401, "the token is wrong", post("/fixed", "Authorization: Bearer x\r\n", b"1")),
        (404, "no [[connector.tag]] has this path", post("/nowhere", token, b"1")),
        (400, "in the path: a device name must not be empty", post("/ingest/", token, b"{}")),
        (405, "POST is expected", format!("GET /fixed HTTP/1.1\r\nHost: g\r\n{token}\r\n").into_bytes()),
        (415, "content type \\\"image/png\\\" is not known", post("/fixed", &with("Content-Type: image/png\r\n"), b"1")),
        (415, "content encoding \\\"br\\\" is not known", post("/fixed", &with("Content-Encoding: br\r\n"), b"1")),
        (413, "more than max_body (64 bytes)", post("/fixed", token, &long)),
        (413, "more than max_body (64 bytes)", format!("POST /fixed HTTP/1.1\r\nHost: g\r\n{token}Transfer-Encoding: chunked\r\n\r\n41\r\n{}\r\n0\r\n\r\n", "1".repeat(65)).into_bytes()),
        (400, "the body is not gzip", post("/fixed", &with("Content-Encoding: gzip\r\n"), b"1")),
        (400, "line 2, column 5", post("/write", token, b"m a=1\nm b=x")),
        (400, "precision=y is not ns", post("/write?precision=y", token, b"m a=1")),
        (400, "line 2, column 1 (time): \\\"noon\\\"", post("/csv", token, b"time,a\nnoon,1\n")),
        (400, "at line 1 column", post("/fixed", token, b"{\"v\":")),
    ];
    for (status, reason, request) in &table {
        let (found, body) = asked(port, request).await;
        assert!(
            found == *status && body.starts_with("{\"error\":") && body.contains(reason),
            "{found} {body}, not {status} {reason}"
        );
    }
    assert_eq!(shown(&rig), [""; 0]);
    rig.stop().await;
}

#[tokio::test]
async fn gzip_is_no_way_around_the_limit() {
    let port = free_port();
    let rig = listening(
        port,
        "device = \"gate\"\nmax_body = \"1KiB\"",
        &TAGS,
        Receipts::Given,
    )
    .await;
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![b' '; 200_000]).unwrap();
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1_024, "{}", bomb.len());
    let (status, body) = asked(port, &post("/fixed", "Content-Encoding: gzip\r\n", &bomb)).await;
    assert_eq!(status, 413, "{body}");
    rig.stop().await;
}

#[tokio::test]
async fn an_answer_waits_for_the_receipt_and_a_stop_for_the_answer() {
    let port = free_port();
    let rig = listening(port, DEVICE, &TAGS, Receipts::Withheld).await;
    let asking = tokio::spawn(async move { asked(port, &post("/fixed", "", b"1")).await });
    rig.until_held().await;
    rig.ask_to_stop();
    assert!(!asking.is_finished());
    rig.receipts(Receipts::Given);
    assert_eq!(asking.await.unwrap().0, 204);
    assert_eq!(rig.stop().await.len(), 1);
}

#[tokio::test]
async fn a_gateway_that_ends_answers_that_it_does() {
    let port = free_port();
    let rig = listening(port, DEVICE, &TAGS, Receipts::Withheld).await;
    let asking = tokio::spawn(async move { asked(port, &post("/fixed", "", b"1")).await });
    rig.until_held().await;
    rig.close();
    let (status, body) = asking.await.unwrap();
    assert_eq!(
        (status, body.as_str()),
        (503, "{\"error\":\"the gateway is stopping, try again\"}")
    );
    rig.ended(forebay_connectors_conformance::ENDED_WITHIN)
        .await;
}

#[tokio::test]
async fn a_silent_device_is_lost_until_it_posts_again() {
    let port = free_port();
    let keys = "device = \"gate\"\nsilent_after = \"1s\"";
    let rig = listening(port, keys, &TAGS, Receipts::Given).await;
    let mut peer = Peer::start(port);
    assert_eq!(peer.ask("/fixed", "1").await, "204 ");
    let is_of_gate = |rig: &Rig| {
        let of_gate = rig.links().into_iter().filter(|link| link.device.is_some());
        of_gate.map(|link| link.down).collect::<Vec<_>>()
    };
    let lost = Some("nothing received for 1s".to_owned());
    let is_lost =
        |kept: &Kept| matches!(&kept.parcel, Parcel::Link(change) if change.device.is_some());
    rig.until("the silence", 0, |kept| {
        kept.iter().any(is_lost).then_some(())
    })
    .await;
    assert_eq!(is_of_gate(&rig), std::slice::from_ref(&lost));
    assert_eq!(peer.ask("/fixed", "2").await, "204 ");
    assert_eq!(is_of_gate(&rig), [lost, None]);
    rig.stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_tried_again() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let rig = Rig::start(
        &forebay_http::HttpKind,
        &file("push", port, DEVICE, &TAGS),
        Receipts::Given,
    );
    rig.until_down().await;
    let down = rig.links()[0].down.clone().unwrap();
    assert!(
        down.starts_with(&format!("listening on 127.0.0.1:{port} failed")),
        "{down}"
    );
    drop(taken);
    rig.until_up().await;
    rig.stop().await;
}

#[test]
fn what_is_wrong_with_the_file_is_said() {
    let configure = forebay_connectors_conformance::configure;
    let table = [
        (
            "listen = \"0.0.0.0:80\"",
            "path = \"/a\"\nname = \"t\"",
            "anyone who reaches this address could write",
        ),
        (
            "listen = \"localhost\"",
            "path = \"/a\"\nname = \"t\"",
            "\"localhost\" is not an address and port",
        ),
        (
            "listen = \"127.0.0.1:80800\"",
            "path = \"/a\"\nname = \"t\"",
            "port 80800 is too large",
        ),
        (
            "listen = \"127.0.0.1:0\"\ntoken = \"short\"",
            "path = \"/a\"\nname = \"t\"",
            "at least 16 characters",
        ),
        (
            "listen = \"127.0.0.1:0\"",
            "path = \"a\"\nname = \"t\"",
            "a path begins with a slash",
        ),
        (
            "listen = \"127.0.0.1:0\"",
            "path = \"/a\"\nformat = \"raw\"",
            "the tag is not known",
        ),
        (
            "listen = \"127.0.0.1:0\"",
            "path = \"/{tag}\"\nformat = \"line\"",
            "leave out the tag",
        ),
        (
            "listen = \"127.0.0.1:0\"\nmax_body = \"1GiB\"",
            "path = \"/a\"\nname = \"t\"",
            "from 1B to 16MiB",
        ),
    ];
    for (keys, tag, expected) in table {
        let text = format!(
            "[[connector]]\nname = \"a\"\nkind = \"http\"\ndevice = \"d\"\n{keys}\n[[connector.tag]]\n{tag}\n"
        );
        let Err(errors) = configure(&forebay_http::HttpKind, &text) else {
            panic!("{text} is taken");
        };
        assert!(errors.to_string().contains(expected), "{errors}");
    }
}

/// The page's example is what it says.
#[test]
fn the_example_of_the_page_is_valid() {
    let page = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/reference/connectors/http.md"
    );
    let page = std::fs::read_to_string(page).unwrap();
    let (_, example) = page.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let configured = forebay_connectors_conformance::configure(&forebay_http::HttpKind, example);
    let connector = configured.unwrap_or_else(|errors| panic!("{errors}"));
    assert!(
        connector.declared().is_empty(),
        "every tag is named by what is posted"
    );
}
