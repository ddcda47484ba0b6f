//! RFC 7677's own example, and what must not pass.

use super::*;

/// RFC 7677, section 3: user "user", password "pencil".
const CLIENT_FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const OWN_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn pencil() -> Verifier {
    Verifier::salted("pencil", STANDARD.decode(SALT).unwrap(), 4096)
}

fn begun(verifier: Verifier) -> Exchange {
    Exchange::begin_with(CLIENT_FIRST, verifier, OWN_NONCE).unwrap()
}

#[test]
fn the_example_of_the_standard_passes() {
    let exchange = begun(pencil());
    assert_eq!(exchange.server_first(), SERVER_FIRST);
    let answer = exchange.finish(CLIENT_FINAL.as_bytes()).unwrap();
    assert_eq!(answer, SERVER_FINAL);
}

#[test]
fn a_verifier_as_postgresql_keeps_it_does_as_well() {
    let pencil = pencil();
    let text = format!(
        "SCRAM-SHA-256$4096:{SALT}${}:{}",
        STANDARD.encode(&pencil.stored_key),
        STANDARD.encode(&pencil.server_key)
    );
    let parsed = Verifier::parse(&text).unwrap();
    assert!(parsed == pencil);
    assert!(begun(parsed).finish(CLIENT_FINAL.as_bytes()).is_ok());
    for text in [
        "pencil",
        "SCRAM-SHA-256$4096:$:",
        "SCRAM-SHA-256$0:W22ZaJ0SNY7soEsUEjb6gQ==$AAAA:AAAA",
        "md5abcdef",
    ] {
        assert!(Verifier::parse(text).is_none(), "{text}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let wrong = Verifier::salted("pencils", STANDARD.decode(SALT).unwrap(), 4096);
    let made_up = Verifier::made_up("user", b"secret", Shape::default());
    for verifier in [wrong, made_up] {
        let refused = begun(verifier).finish(CLIENT_FINAL.as_bytes());
        assert_eq!(refused, Err(ScramError::WrongProof));
    }
    let malformed = |message: &str| {
        let refused = begun(pencil()).finish(message.as_bytes());
        matches!(refused, Err(ScramError::Malformed(_)))
    };
    // Another header, another nonce, no proof.
    assert!(malformed(&CLIENT_FINAL.replace("c=biws", "c=eSws")));
    assert!(malformed(&CLIENT_FINAL.replace("r=rOpr", "r=ropr")));
    assert!(malformed("c=biws,r=x"));
    let begin = |message: &[u8]| Exchange::begin_with(message, pencil(), OWN_NONCE).err();
    for message in [
        &b"p=tls-server-end-point,,n=user,r=abc"[..],
        b"n,,n=user",
        b"n,,n=user,r=",
        b"n,,m=ext,n=user,r=abc",
        b"\xff\xfe",
        b"",
    ] {
        assert!(begin(message).is_some(), "{message:?}");
    }
}

#[test]
fn a_name_that_nobody_has_looks_the_same_each_time() {
    let shape = Shape {
        iterations: 600_000,
        salt_bytes: 40,
    };
    let first = Verifier::made_up("nobody", b"secret", shape);
    assert!(first == Verifier::made_up("nobody", b"secret", shape));
    assert!(first != Verifier::made_up("nobody", b"other", shape));
    // It looks like those of the users there are.
    assert_eq!(first.shape(), shape);
    assert_eq!(first.salt.len(), shape.salt_bytes);
}
