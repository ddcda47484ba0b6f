//! The ways to a device other than Modbus TCP, against pymodbus: RTU over TCP, a serial line, TLS with certificates.

use std::path::Path;

use forebay_connectors::{Parcel, Sample};
use forebay_connectors_conformance::{LOSS_REPORTED_WITHIN, PATIENCE};
use forebay_schemas::{Quality, Value};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::{
    peer::{Peer, head_at, served, start, tag, unit},
    server::{Deed, Server},
};

/// Two units with a few values; address 40 of the first is not there.
fn units() -> Vec<String> {
    let first = [
        served("holding", 0, "f32", "CDAB", "123.5"),
        served("holding", 10, "i48", "", "-5"),
        served("input", 100, "u16", "", "7"),
        served("coil", 17, "bool", "", "true"),
        served("discrete", 3, "bool", "", "true"),
    ];
    vec![
        unit(1, "", &first),
        unit(2, "", &[served("holding", 0, "u16", "", "2")]),
    ]
}

const TAGS: [(&str, &str, Option<Value>); 7] = [
    (
        "flow",
        "register = \"holding\"; address = 0; type = \"f32\"; order = \"CDAB\"",
        Some(Value::F64(123.5)),
    ),
    (
        "counter",
        "register = \"holding\"; address = 10; type = \"i48\"",
        Some(Value::I64(-5)),
    ),
    (
        "level",
        "register = \"input\"; address = 100; type = \"u16\"",
        Some(Value::U64(7)),
    ),
    (
        "pump",
        "register = \"coil\"; address = 17",
        Some(Value::Bool(true)),
    ),
    (
        "door",
        "register = \"discrete\"; address = 3",
        Some(Value::Bool(true)),
    ),
    (
        "none",
        "register = \"holding\"; address = 40; type = \"u16\"",
        None,
    ),
    (
        "other",
        "register = \"holding\"; address = 0; type = \"u16\"; unit_id = 2; device = \"b\"",
        Some(Value::U64(2)),
    ),
];

fn file(url: &str, keys: &str, tables: &str) -> String {
    let tags = TAGS.map(|(name, keys, _)| tag(name, keys));
    format!(
        "{}{tables}{}",
        head_at(url, &format!("every = \"100ms\"; {keys}")),
        tags.concat()
    )
}

fn check(sample: &Sample) {
    let name = sample.tag.as_str();
    let (_, _, expected) = TAGS.iter().find(|(tag, ..)| *tag == name).unwrap();
    assert_eq!(&sample.value, expected, "{sample:?}");
    if expected.is_none() {
        assert_eq!(
            sample.status.reason.as_deref(),
            Some("illegal data address (2)")
        );
    } else {
        assert_eq!(sample.status.quality, Quality::Good);
    }
}

/// Polls until each tag has come a few times.
async fn reads_all(text: &str) {
    let rig = start(text);
    let mut came = 0;
    rig.next(PATIENCE, |parcel| {
        match parcel {
            Parcel::Samples(samples) => {
                samples.iter().for_each(check);
                came += samples.len();
            }
            Parcel::Link(change) => assert_eq!(change.down, None),
            Parcel::Messages { .. } | Parcel::Events(_) => {
                panic!("no device of Modbus sends anything again, nor events")
            }
        }
        (came >= 3 * TAGS.len()).then_some(())
    })
    .await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rtu_over_tcp_reads_what_tcp_reads() {
    let peer = Peer::start_over("\"transport\": \"rtu+tcp\"", 0, &units()).await;
    let url = format!("rtu+tcp://127.0.0.1:{}", peer.port);
    reads_all(&file(&url, "frame_gap = \"2ms\"", "")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serial_line_reads_what_tcp_reads() {
    let peer = Peer::start_over("\"transport\": \"serial\"", 0, &units()).await;
    let url = format!("serial://{}", peer.place);
    reads_all(&file(&url, "baud_rate = 115200; stop_bits = 1", "")).await;
    // Once more: the line was closed in order, and is free.
    reads_all(&file(&url, "baud_rate = 19200; frame_gap = \"5ms\"", "")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serial_line_is_shared_by_connectors_with_the_same_settings_only() {
    let peer = Peer::start_over("\"transport\": \"serial\"", 0, &units()).await;
    let url = format!("serial://{}", peer.place);
    let level = tag(
        "level",
        "register = \"input\"; address = 100; type = \"u16\"",
    );
    let other = tag(
        "other",
        "register = \"holding\"; address = 0; type = \"u16\"; unit_id = 2",
    );
    let fast = "every = \"50ms\"; baud_rate = 115200";
    let first = start(&format!("{}{level}", head_at(&url, fast)));
    let second = start(&format!("{}{other}", head_at(&url, fast)));
    for _ in 0..3 {
        assert_eq!(first.next_good("level").await, Value::U64(7));
        assert_eq!(second.next_good("other").await, Value::U64(2));
    }
    let third = start(&format!(
        "{}{level}",
        head_at(&url, "every = \"50ms\"; baud_rate = 9600")
    ));
    let down = third.next_link(LOSS_REPORTED_WITHIN).await.down.unwrap();
    assert!(
        down.ends_with("another connector uses this serial line with other settings"),
        "{down}"
    );
    first.stop().await;
    second.stop().await;
    assert_eq!(
        third.next_good("level").await,
        Value::U64(7),
        "the line is free"
    );
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serial_line_that_is_not_there_is_a_lost_link() {
    let level = tag(
        "level",
        "register = \"input\"; address = 100; type = \"u16\"",
    );
    let rig = start(&format!(
        "{}{level}",
        head_at("serial:///dev/forebay-none", "")
    ));
    let down = rig.next_link(LOSS_REPORTED_WITHIN).await.down.unwrap();
    assert!(
        down.starts_with("cannot open serial:///dev/forebay-none: "),
        "{down}"
    );
    rig.stop().await;
}

/// An authority, and certificates that it has signed, in files.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Test authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let write =
            |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        write("ca.pem", authority.pem());
        for name in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            write(&format!("{name}.pem"), certificate.pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        let path: &Path = self.folder.path();
        path.join(name).display().to_string()
    }

    /// `[connector.tls]` with these keys, each with the name of a file.
    fn table(&self, keys: &[(&str, &str)]) -> String {
        let line = |(key, name): &(&str, &str)| format!("{key} = \"{}\"\n", self.path(name));
        format!(
            "[connector.tls]\n{}",
            keys.iter().map(line).collect::<String>()
        )
    }

    async fn server(&self) -> Peer {
        let (ca, cert, key) = (
            self.path("ca.pem"),
            self.path("server.pem"),
            self.path("server.key"),
        );
        let transport = format!(
            "\"transport\": \"tls\", \"ca\": \"{ca}\", \"cert\": \"{cert}\", \"key\": \"{key}\""
        );
        Peer::start_over(&transport, 0, &units()).await
    }
}

const OWN: [(&str, &str); 3] = [
    ("ca_file", "ca.pem"),
    ("cert_file", "client.pem"),
    ("key_file", "client.key"),
];

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_a_client_certificate_reads_what_tcp_reads() {
    let certificates = Certificates::new();
    let peer = certificates.server().await;
    let url = format!("tls://localhost:{}", peer.port);
    reads_all(&file(&url, "timeout = \"5s\"", &certificates.table(&OWN))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_without_the_right_certificate_is_refused() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let peer = certificates.server().await;
    let plain = Server::start(|_, _| Deed::Send(b"no TLS here".to_vec())).await;
    for (port, table, part) in [
        (
            plain.port,
            certificates.table(&OWN),
            "TLS with tls://localhost:",
        ),
        (peer.port, others.table(&OWN), "invalid peer certificate"),
        (
            peer.port,
            // What the server says of it may be lost to a reset.
            certificates.table(&OWN[..1]),
            "",
        ),
    ] {
        let url = format!("tls://localhost:{port}");
        let rig = start(&file(&url, "", &table));
        let down = rig.next_link(LOSS_REPORTED_WITHIN).await.down.unwrap();
        assert!(down.contains(part), "{part} is not in {down}");
        rig.stop().await;
    }
}
