//! TLS and users.

use forebay_schemas::ErrorKind;
use forebay_stream::kafka::{KafkaGroup, KafkaSettings, Mechanism};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{
    kafka_broker::PASSWORD,
    support::{Publishing, WITHIN, append, broker, join, lane, read_until, spool, topic},
};

#[tokio::test(flavor = "multi_thread")]
async fn every_mechanism_works_over_tls() {
    let broker = broker().await;
    for mechanism in [
        Mechanism::Plain,
        Mechanism::ScramSha256,
        Mechanism::ScramSha512,
    ] {
        let (dir, topic, lane) = (TempDir::new().unwrap(), topic(1).await, lane("gw", 0));
        let settings = broker.secure_settings(&topic, mechanism, PASSWORD);
        let spool = spool(&dir.path().join("spool"), lane.clone()).await;
        let epoch = append(&spool.writer(), 1, 5).await;
        let publishing = Publishing::start(
            settings.clone(),
            &spool,
            lane.clone(),
            dir.path().join("places"),
        );
        let (group, sources) = join(settings, 1).await;
        read_until(&sources, &[(lane, epoch, 5)]).await;
        publishing.stop().await.unwrap();
        group.leave().await;
    }
}

/// Both ends are told, at once and in words that say what to mend.
pub(crate) async fn check_refused(settings: KafkaSettings, expected: &str) {
    let (dir, lane) = (TempDir::new().unwrap(), lane("gw", 0));
    let spool = spool(&dir.path().join("spool"), lane.clone()).await;
    let publishing = Publishing::start(settings.clone(), &spool, lane, dir.path().join("places"));
    let published = publishing.ended().await.unwrap_err();
    let joined = timeout(WITHIN, KafkaGroup::join(settings))
        .await
        .unwrap()
        .err()
        .unwrap();
    for error in [published, joined] {
        assert_eq!(error.kind(), ErrorKind::Fatal);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.to_string().contains("wrong-password"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_a_clear_error() {
    let broker = broker().await;
    for mechanism in [Mechanism::Plain, Mechanism::ScramSha512] {
        let settings = broker.secure_settings("any", mechanism, "wrong-password");
        check_refused(
            settings,
            "check mechanism, user and password in [stream.sasl]",
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_strangers_is_a_clear_error() {
    let mut settings = broker()
        .await
        .secure_settings("any", Mechanism::Plain, PASSWORD);
    if let Some(tls) = &mut settings.tls {
        tls.ca_file = None;
    }
    check_refused(
        settings,
        "check ca_file, cert_file and key_file in [stream.tls]",
    )
    .await;
}
