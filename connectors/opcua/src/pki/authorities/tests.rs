use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use tempfile::TempDir;

use super::*;

const URI: &str = "urn:press";
const SERIAL: u64 = 77;

/// Folders below `pki_dir`, and a file in each.
type Files<'a> = &'a [(&'a str, &'a [u8])];
type Shown<'a> = &'a [&'a [u8]];

/// An authority's certificate and what it signs with.
struct Authority {
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

/// 2026-05-28.
fn now() -> Timestamp {
    Timestamp::from_micros(1_780_000_000_000_000).unwrap()
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

fn authority(
    name: &str,
    above: Option<&Authority>,
    change: impl Fn(&mut CertificateParams),
) -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    change(&mut params);
    let made = match above {
        Some(above) => params.signed_by(&key, &above.issuer),
        None => params.self_signed(&key),
    };
    Authority {
        der: made.unwrap().der().to_vec(),
        issuer: Issuer::new(params, key),
    }
}

fn server(by: &Authority, change: impl Fn(&mut CertificateParams)) -> Vec<u8> {
    let mut params = params("Press");
    params.serial_number = Some(SerialNumber::from(SERIAL));
    params.subject_alt_names = vec![
        SanType::DnsName("press".try_into().unwrap()),
        SanType::URI(URI.try_into().unwrap()),
        SanType::IpAddress("10.0.0.9".parse().unwrap()),
    ];
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    params.signed_by(&key, &by.issuer).unwrap().der().to_vec()
}

fn list(by: &Authority, serial: u64, until: i32) -> Vec<u8> {
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 2, 1),
        next_update: date_time_ymd(until, 3, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2026, 2, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(&by.issuer).unwrap().der().to_vec()
}

fn folder(files: Files<'_>) -> TempDir {
    let pki = tempfile::tempdir().unwrap();
    for (number, (kind, bytes)) in files.iter().enumerate() {
        fs::create_dir_all(pki.path().join(kind)).unwrap();
        fs::write(pki.path().join(kind).join(format!("{number}.der")), bytes).unwrap();
    }
    pki
}

/// `None` where it is vouched for, else why it is not.
fn judged(files: Files<'_>, shown: Shown<'_>, host: &str) -> Option<Option<String>> {
    let claim = Claim {
        host,
        application_uri: URI,
    };
    let pki = folder(files);
    vouch(pki.path(), shown, claim, now()).unwrap().err()
}

fn same(_: &mut CertificateParams) {}

fn over(params: &mut CertificateParams) {
    params.not_after = date_time_ymd(2026, 2, 1);
}

/// A root, an authority below it, and the server that it signed for.
struct Plant {
    root: Authority,
    below: Authority,
    press: Vec<u8>,
}

impl Plant {
    fn new() -> Self {
        let root = authority("Root", None, same);
        let below = authority("Below", Some(&root), same);
        let press = server(&below, same);
        Self { root, below, press }
    }

    fn trusted(&self) -> (&str, &[u8]) {
        ("trusted", &self.root.der)
    }

    /// The server's chain with all that it has.
    fn whole(&self) -> [&[u8]; 3] {
        [&self.press, &self.below.der, &self.root.der]
    }
}

/// A table's rows are not vouched for, each for the reason in these words.
fn refused(rows: &[(Files<'_>, Shown<'_>, &str, &str)]) {
    for (number, (files, shown, host, words)) in rows.iter().enumerate() {
        let why = judged(files, shown, host).flatten();
        let why = why.unwrap_or_else(|| panic!("{number} is vouched for"));
        assert!(why.contains(words), "{number}: {words} in {why}");
    }
}

#[test]
fn a_path_to_a_trusted_authority_counts_for_the_server_that_it_names() {
    let plant = Plant::new();
    let (press, below) = (plant.press.as_slice(), plant.below.der.as_slice());
    let (trusted, whole) = (plant.trusted(), &plant.whole());
    let rubbish: Files<'_> = &[trusted, ("trusted", b"rubbish"), ("issuers", b"rubbish")];
    let others = list(&plant.below, SERIAL + 1, 2027);
    let good: [(Files<'_>, Shown<'_>, &str); 7] = [
        (&[trusted], whole, "press"),
        (&[trusted], whole, "10.0.0.9"),
        (&[trusted], &[press, below], "PRESS"),
        (&[trusted, ("issuers", below)], &[press], "press"),
        (&[("trusted", below)], &[press], "press"),
        (rubbish, whole, "press"),
        (&[trusted, ("crl", &others)], whole, "press"),
    ];
    for (number, (files, shown, host)) in good.into_iter().enumerate() {
        assert_eq!(judged(files, shown, host), None, "{number}");
    }
}

#[test]
fn a_broken_path_another_host_and_another_application_are_refused() {
    let plant = Plant::new();
    let (press, below) = (plant.press.as_slice(), plant.below.der.as_slice());
    let (trusted, whole) = (plant.trusted(), &plant.whole());
    let other = authority("Root", None, same);
    // It may not sign, and says so.
    let posing = authority("Posing", Some(&plant.root), |params| {
        params.is_ca = IsCa::ExplicitNoCa;
    });
    let forged = server(&posing, same);
    let old = server(&plant.below, over);
    let bad = "invalid peer certificate";
    refused(&[
        (&[trusted], &[press], "press", "UnknownIssuer"),
        (&[("trusted", &other.der)], whole, "press", bad),
        (&[trusted], &[&forged, &posing.der], "press", bad),
        (&[trusted], whole, "mill", "not valid for"),
        (&[trusted], whole, "10.0.0.8", "not valid for"),
        (&[trusted], whole, "pre ss", "no host"),
        (&[trusted], &[&old, below], "press", "expired"),
    ]);
    let pki = folder(&[trusted]);
    let claim = Claim {
        host: "press",
        application_uri: "urn:mill",
    };
    let why = vouch(pki.path(), whole, claim, now()).unwrap().unwrap_err();
    let words = "does not name the server's application \"urn:mill\"";
    assert!(why.unwrap().contains(words));
}

#[test]
fn a_revoked_certificate_and_a_list_that_is_no_good_are_refused() {
    let plant = Plant::new();
    let (trusted, whole) = (plant.trusted(), &plant.whole());
    let revoked = list(&plant.below, SERIAL, 2027);
    let old = list(&plant.below, 1, 2026);
    refused(&[
        (&[trusted, ("crl", &revoked)], whole, "press", "Revoked"),
        (&[trusted, ("crl", &old)], whole, "press", "expired"),
        (&[trusted, ("crl", b"rubbish")], whole, "press", "CRL"),
    ]);
}

#[test]
fn a_list_that_is_too_large_is_an_error_and_not_no_list() {
    let plant = Plant::new();
    let pki = folder(&[plant.trusted(), ("crl", b"")]);
    let list = pki.path().join("crl/1.der");
    let judged = |bytes: u64| {
        let file = fs::File::options().write(true).open(&list).unwrap();
        file.set_len(bytes).unwrap();
        let claim = Claim {
            host: "press",
            application_uri: URI,
        };
        vouch(pki.path(), &plant.whole(), claim, now())
    };
    let why = judged(REVOCATIONS_BYTES_MAX + 1).unwrap_err().to_string();
    let words = "more than 16777216 bytes";
    assert!(why.contains(words) && why.contains("1.der"), "{why}");
    let refused = judged(REVOCATIONS_BYTES_MAX).unwrap().unwrap_err();
    assert!(refused.unwrap().contains("CRL"), "it is read, and is none");
}

#[test]
fn only_what_says_that_it_is_an_authority_is_one_and_not_after_its_time() {
    let plant = Plant::new();
    let whole = &plant.whole();
    let plain = authority("Plain", None, |params| params.is_ca = IsCa::NoCa);
    let files: [Files<'_>; 3] = [
        &[],
        &[("trusted", &plant.press)],
        &[("trusted", &plain.der)],
    ];
    for files in files {
        assert_eq!(judged(files, whole, "press"), Some(None));
    }
    let expired = authority("Root", None, over);
    let why = judged(&[("trusted", &expired.der)], whole, "press").flatten();
    assert!(why.unwrap().ends_with("0.der: expired"));
}

#[test]
fn a_chain_is_cut_into_its_certificates() {
    let root = authority("Root", None, same);
    let both = [root.der.as_slice(), &root.der].concat();
    assert_eq!(chain(&both).unwrap(), [&root.der, &root.der]);
    assert_eq!(first_certificate(&both).unwrap(), root.der);
    assert_eq!(chain(&[]).unwrap(), Vec::<&[u8]>::new());
    for broken in [
        b"\x30\x82\xFF".as_slice(),
        &[0; 20],
        &both[..both.len() - 1],
    ] {
        assert!(chain(broken).is_err());
    }
    assert!(chain(&root.der.repeat(CHAIN_MAX)).is_ok());
    assert!(chain(&root.der.repeat(CHAIN_MAX + 1)).is_err());
}
