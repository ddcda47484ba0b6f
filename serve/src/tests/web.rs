//! Queries over HTTP.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use arrow::array::AsArray as _;
use datafusion::arrow::{datatypes::Int64Type, ipc::reader::StreamReader};

use super::fixture::{Site, TOKEN, limits};

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn send(site: &Site, request: &str) -> Answer {
    let mut link = TcpStream::connect(site.addresses.http.unwrap()).unwrap();
    link.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    link.read_to_end(&mut bytes).unwrap();
    let end = bytes
        .windows(4)
        .position(|part| part == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer to {request}"));
    let head = String::from_utf8(bytes[..end].to_vec())
        .unwrap()
        .to_lowercase();
    let mut body = bytes[end + 4..].to_vec();
    if head.contains("transfer-encoding: chunked") {
        body = unchunked(&body);
    }
    let status = head[9..12].parse().unwrap();
    Answer { status, head, body }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = bytes.windows(2).position(|part| part == b"\r\n") {
        let length =
            usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        whole.extend_from_slice(&bytes[end + 2..end + 2 + length]);
        bytes = &bytes[end + 4 + length..];
    }
    whole
}

fn get(site: &Site, user: &str, parameters: &str) -> Answer {
    let head = format!("GET /api/v1/query?{parameters} HTTP/1.1\r\nHost: x\r\n");
    send(
        site,
        &format!("{head}Authorization: Bearer {TOKEN}{user}\r\n\r\n"),
    )
}

fn post(site: &Site, kind: &str, body: &str) -> Answer {
    let head = format!(
        "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}quentin\r\n"
    );
    send(
        site,
        &format!(
            "{head}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
}

const SQL: &str =
    "SELECT%20event_time,device,value,value_text%20FROM%20readings%20ORDER%20BY%201,2%20LIMIT%201";

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_as_json_csv_and_arrow() {
    let site = Site::with(limits()).await;
    let json = get(&site, "quentin", &format!("q={SQL}"));
    assert_eq!(
        (json.status, json.text().as_str()),
        (
            200,
            "[{\"event_time\":\"2026-05-01T00:00:00Z\",\"device\":\"quartz-fan\",\"value\":1234.5,\"value_text\":null}]"
        )
    );
    let csv = get(&site, "quentin", &format!("q={SQL}&format=csv"));
    assert_eq!(
        csv.text(),
        "event_time,device,value,value_text\n2026-05-01T00:00:00.000000+00:00,quartz-fan,1234.5,\n"
    );
    assert!(csv.head.contains("content-type: text/csv"));
    let arrow = get(
        &site,
        "basil",
        "q=SELECT%20count(*)%20FROM%20readings&format=arrow",
    );
    let batch = StreamReader::try_new(&arrow.body[..], None)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0), 94);
    let none = get(&site, "quentin", "q=SELECT+site+FROM+readings+WHERE+false");
    assert_eq!((none.status, none.text().as_str()), (200, "[]"));
    let none = get(
        &site,
        "quentin",
        "q=SELECT+site+FROM+readings+WHERE+false&format=csv",
    );
    assert_eq!(none.text(), "site\n");
    let form = post(
        &site,
        "application/x-www-form-urlencoded",
        "q=SELECT+1+AS+a&format=csv",
    );
    assert_eq!(form.text(), "a\n1\n");
    let plain = post(&site, "text/plain", "SELECT count(*) AS n FROM readings");
    assert_eq!(plain.text(), "[{\"n\":120}]");
    // As curl's `--data` calls it.
    let called_form = "application/x-www-form-urlencoded";
    let plain = post(&site, called_form, "SELECT count(*) AS n FROM readings");
    assert_eq!(plain.text(), "[{\"n\":120}]");
    let twice = "SELECT value, value::int FROM readings LIMIT 1";
    let twice = post(&site, "text/plain", twice);
    assert_eq!(twice.text(), "[{\"value\":1234.5,\"value_2\":1234}]");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_has_a_status_and_a_reason() {
    let site = Site::with(limits()).await;
    for (parameters, status, expected) in [
        ("q=SELECT+nothing+FROM+readings", 400, "nothing"),
        ("q=SELEC+1", 400, "SELEC"),
        ("q=DROP+TABLE+readings", 403, "read only"),
        ("q=SET+timezone+TO+'UTC'", 400, "only queries"),
        ("q=SELECT+1;SELECT+2", 400, "one statement"),
        ("q=SELECT+1&format=xml", 400, "json, csv or arrow"),
        ("sql=SELECT+1", 400, "the only parameters"),
        ("", 400, "a statement is expected"),
        ("q=SELECT+*+FROM+quarantine", 400, "not found"),
        (
            "q=SELECT+1+FROM+generate_series(1,20000)",
            422,
            "more than 10000 rows",
        ),
    ] {
        let answer = get(&site, "quentin", parameters);
        assert_eq!(answer.status, status, "{parameters}: {}", answer.text());
        assert!(
            answer.text().contains(expected),
            "{parameters}: {}",
            answer.text()
        );
    }
    let without = send(
        &site,
        "GET /api/v1/query?q=SELECT+1 HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert_eq!(without.status, 401);
    assert!(
        without.head.contains("www-authenticate: bearer"),
        "{}",
        without.head
    );
    for _ in 0..5 {
        assert_eq!(get(&site, "nobody", "q=SELECT+1").status, 401);
    }
    let locked = get(&site, "nobody", "q=SELECT+1");
    assert_eq!(locked.status, 429);
    assert!(locked.head.contains("retry-after: 1"), "{}", locked.head);
    // Who has a token is not locked out by those who guess beside them.
    assert_eq!(get(&site, "quentin", "q=SELECT+1").status, 200);
}

/// Connections that are answered leave the count of those that may be anybody's.
#[tokio::test(flavor = "multi_thread")]
async fn many_panels_ask_at_once_and_strangers_are_told() {
    let site = Site::with(limits()).await;
    // Each has sent its token; its statement is still to come.
    let panel = |_| {
        let mut link = TcpStream::connect(site.addresses.http.unwrap()).unwrap();
        let head = "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\nExpect: 100-continue\r\n";
        let request = format!("{head}Authorization: Bearer {TOKEN}quentin\r\n\r\n");
        link.write_all(request.as_bytes()).unwrap();
        assert!(line(&mut link).starts_with("HTTP/1.1 100"));
        link
    };
    let mut panels: Vec<TcpStream> = (0..20).map(panel).collect();
    for link in &mut panels {
        link.write_all(b"SELECT 1").unwrap();
        let mut answer = String::new();
        link.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("HTTP/1.1 200"), "{answer}");
    }
    drop(panels);
    let strangers: Vec<TcpStream> = (0..16)
        .map(|_| TcpStream::connect(site.addresses.http.unwrap()).unwrap())
        .collect();
    let one_more = get(&site, "quentin", "q=SELECT+1");
    assert_eq!(one_more.status, 503, "{}", one_more.text());
    assert!(one_more.text().contains("have not signed in"));
    drop(strangers);
}

/// The first line of an answer.
fn line(link: &mut TcpStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        link.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}
