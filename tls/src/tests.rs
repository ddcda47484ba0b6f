use std::{
    fs,
    io::{self, Read, Write},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CertifiedKey, DnType, IsCa, KeyPair,
    date_time_ymd, generate_simple_self_signed,
};
use rustls::{ClientConnection, ServerConnection};
use tempfile::TempDir;

use super::*;

/// A folder with `cert.pem`, its `key.pem`, and `other.pem`, the key of another certificate.
fn files() -> (TempDir, OwnCertificate) {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(path("cert.pem"), cert.pem()).unwrap();
    fs::write(path("key.pem"), signing_key.serialize_pem()).unwrap();
    let other = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(path("other.pem"), other.signing_key.serialize_pem()).unwrap();
    let own = OwnCertificate {
        chain: path("cert.pem"),
        key: path("key.pem"),
    };
    (folder, own)
}

#[test]
fn a_pair_is_read_for_both_sides() {
    let (_folder, own) = files();
    client_config(Some(&own.chain), Some(&own)).unwrap();
    client_config(Some(&own.chain), None).unwrap();
    server_config(&own, Some(&own.chain)).unwrap();
    server_config(&own, None).unwrap();
}

#[test]
fn what_cannot_be_used_is_named() {
    let (folder, own) = files();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("empty.pem"), "").unwrap();
    let with = |chain: &str, key: &str| OwnCertificate {
        chain: path(chain),
        key: path(key),
    };
    for (given, expected) in [
        (with("none.pem", "key.pem"), "cannot read certificates in "),
        (with("empty.pem", "key.pem"), "there is no certificate in "),
        (with("key.pem", "key.pem"), "there is no certificate in "),
        (
            with("cert.pem", "none.pem"),
            "cannot read a private key in ",
        ),
        (
            with("cert.pem", "cert.pem"),
            "cannot read a private key in ",
        ),
        (
            with("cert.pem", "other.pem"),
            "the certificate or key is refused: ",
        ),
    ] {
        let of_server = server_config(&given, None).unwrap_err().to_string();
        let of_client = client_config(Some(&own.chain), Some(&given)).unwrap_err();
        assert!(of_server.starts_with(expected), "{of_server}");
        assert_eq!(of_server, of_client.to_string());
    }
    let missing = client_config(Some(&path("none.pem")), None).unwrap_err();
    assert!(
        missing
            .to_string()
            .starts_with("cannot read certificates in ")
    );
}

/// An authority of its own.
fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// What the other side sends, and what goes to it.
struct Wire<'w> {
    from: &'w [u8],
    to: Vec<u8>,
}

impl Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.from.read(into)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a client ends its handshake with a server.
fn handshake(client: &ClientFiles, server: ServerConfig) -> io::Result<()> {
    let config = client.client_config().unwrap();
    let mut client = ClientConnection::new(config, client.server_name.clone()).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let mut to_client = Vec::new();
    while client.is_handshaking() {
        let mut wire = Wire {
            from: &to_client,
            to: Vec::new(),
        };
        client
            .complete_io(&mut wire)
            .or_else(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Ok((0, 0)),
                _ => Err(error),
            })?;
        let mut from_client = wire.to.as_slice();
        while !from_client.is_empty() {
            server.read_tls(&mut from_client)?;
            server.process_new_packets().unwrap();
        }
        to_client.clear();
        while server.wants_write() {
            server.write_tls(&mut to_client)?;
        }
    }
    Ok(())
}

/// What a client says of a server's certificate for `localhost` that the second authority has signed.
fn said(of: impl FnOnce(&mut CertificateParams), name: &'static str, trusted: [bool; 2]) -> String {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let authorities = [authority("other"), authority("ours")];
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    of(&mut params);
    let certificate = params.signed_by(&key, &authorities[1]).unwrap();
    fs::write(path("server.pem"), certificate.pem()).unwrap();
    fs::write(path("server.key"), key.serialize_pem()).unwrap();
    let pem = authorities
        .iter()
        .zip(trusted)
        .filter(|(_, trusted)| *trusted);
    let pem: String = pem.map(|(authority, _)| authority.pem()).collect();
    fs::write(path("ca.pem"), pem).unwrap();
    let own = OwnCertificate {
        chain: path("server.pem"),
        key: path("server.key"),
    };
    let client = ClientFiles {
        ca: Some(path("ca.pem")),
        own: None,
        server_name: ServerName::try_from(name).unwrap(),
    };
    match handshake(&client, server_config(&own, None).unwrap()) {
        Ok(()) => "fine".to_owned(),
        Err(error) => {
            let place = format!("{}/", folder.path().display());
            client.explain(&error).replace(&place, "")
        }
    }
}

#[test]
fn a_refused_certificate_is_told_with_what_mends_it() {
    let sound = |_: &mut CertificateParams| {};
    assert_eq!(said(sound, "localhost", [true, true]), "fine");
    assert_eq!(
        said(sound, "localhost", [true, false]),
        "invalid peer certificate: UnknownIssuer: no authority in ca_file ca.pem has signed it: add the certificate of the one \
         that has"
    );
    assert_eq!(
        said(sound, "broker", [false, true]),
        "invalid peer certificate: not valid for name \"broker\", only for \"localhost\": set server_name to a name that it \
         holds, if that is the right server"
    );
    let many = |params: &mut CertificateParams| {
        let names: Vec<String> = (1..=7).map(|number| format!("plc-{number}")).collect();
        params.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names;
    };
    let other = said(many, "broker", [false, true]);
    assert!(
        other.contains("\"plc-4\", \"plc-5\" and 2 more: set server_name"),
        "{other}"
    );
    let old = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    };
    let expired = said(old, "localhost", [false, true]);
    assert!(
        expired.starts_with("invalid peer certificate: certificate expired ")
            && expired.ends_with(" days ago: renew it on the server, or set this machine's clock"),
        "{expired}"
    );
    let early = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(3000, 1, 1);
        params.not_after = date_time_ymd(3001, 1, 1);
    };
    assert_eq!(
        said(early, "localhost", [false, true]),
        "invalid peer certificate: NotValidYet: by this machine's clock its time has not come: set the clock"
    );
}

#[test]
fn without_a_file_of_authorities_the_key_is_named() {
    let refused = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
    let files = ClientFiles {
        ca: None,
        own: None,
        server_name: ServerName::try_from("localhost").unwrap(),
    };
    let said = files.explain(&io::Error::new(io::ErrorKind::InvalidData, refused));
    assert!(
        said.contains("UnknownIssuer") && said.contains("set ca_file"),
        "{said}"
    );
    // It may be that of the handshake: then no certificate helps.
    let refused = rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature);
    let said = files.explain(&io::Error::new(io::ErrorKind::InvalidData, refused));
    assert!(
        said.contains("BadSignature: the server does not hold") && !said.contains("ca_file"),
        "{said}"
    );
    let other = io::Error::from(io::ErrorKind::ConnectionReset);
    assert_eq!(files.explain(&other), other.to_string());
}
