//! What retention has deleted is accounted for, and hides nothing else.

use std::sync::Arc;

use forebay_schemas::{SiteId, table::READINGS};

use super::*;
use crate::{ExpireSpec, ExpiryRule, Swept, expire, testing::SITE};

#[test]
fn expired_readings_are_not_missing_and_others_are() {
    let check = |seqs: &[u64], deleted: u64, line: &str| {
        let mut report = Report::default();
        let mut accounts = Accounts::of([state(5, 0, &[])]);
        let epoch = ("gw".to_owned(), 0, 7);
        accounts.expire(&BTreeMap::from([(epoch.clone(), deleted)]));
        let mut found = SeqSet::default();
        found.add(seqs.to_vec());
        compare(BTreeMap::from([(epoch, found)]), accounts, &mut report);
        assert_eq!(report.to_string(), line, "{seqs:?} less {deleted}");
    };
    let ok = |readings| format!("ok readings={readings} files=0 gaps=0 doubled=0 missing=0");
    check(&[4, 5], 3, &ok(2));
    check(&[], 5, &ok(0));
    check(
        &[5],
        3,
        "FAULT readings=1 files=0 gaps=0 doubled=0 missing=1",
    );
    // One of those that had expired has come again.
    check(
        &[3, 4, 5],
        3,
        "FAULT readings=3 files=0 gaps=0 doubled=0 missing=0",
    );
}

#[test]
fn expired_readings_of_forgotten_epochs_are_accounted_for_too() {
    let forgotten = Forgotten {
        gateway: "gw".into(),
        lane: 0,
        epoch: 6,
        readings: 10,
        gaps: 0,
    };
    let check = |of_six: &[u64], deleted: u64, line: &str| {
        let mut report = Report::default();
        let state = StreamState {
            forgotten: vec![forgotten.clone()],
            ..state(2, 0, &[])
        };
        let mut accounts = Accounts::of([state]);
        let epoch = |number| ("gw".to_owned(), 0, number);
        accounts.expire(&BTreeMap::from([(epoch(6), deleted), (epoch(7), 1)]));
        let set = |seqs: &[u64]| {
            let mut found = SeqSet::default();
            found.add(seqs.to_vec());
            found
        };
        let seqs = BTreeMap::from([(epoch(6), set(of_six)), (epoch(7), set(&[2]))]);
        compare(seqs, accounts, &mut report);
        assert_eq!(report.to_string(), line);
    };
    let nine: Vec<u64> = (2..=10).collect();
    check(
        &nine,
        1,
        "ok readings=10 files=0 gaps=0 doubled=0 missing=0",
    );
    check(&[], 10, "ok readings=1 files=0 gaps=0 doubled=0 missing=0");
    check(
        &[10],
        8,
        "FAULT readings=2 files=0 gaps=0 doubled=0 missing=1",
    );
}

#[tokio::test]
async fn a_lake_of_which_readings_have_expired_is_sound() {
    let bench = Bench::new(Sealed::Columns).await;
    let (table, writer) = (bench.readings(), &bench.writer);
    bench
        .ingest("forebay.test", &batch(1, 40, DAY_START), at(DAY_START))
        .await;
    let mut taken = state(40, 0, &[]);
    taken.epochs[0].epoch = 1;
    let keeper = writer.keeper();
    let to_state = keeper
        .store(table, "s", None, &taken, writer.random())
        .await
        .unwrap();
    commit_state(&bench, table, "s", to_state).await;
    let rule = ExpiryRule {
        rule: "fan".into(),
        fits: Arc::new(|device, _| device == "fan"),
        before: Some(DAY_START + 30_000_000),
    };
    let spec = ExpireSpec {
        table: &READINGS,
        site: SiteId::new(SITE).unwrap(),
        rules: vec![rule],
        protected: Vec::new(),
    };
    let done = expire(writer, &spec, &mut Swept::default(), at(DAY_START)).await;
    assert_eq!(done.unwrap().rows(), 15);
    let tables: Vec<_> = writer.tables().cloned().collect();
    let decrypter = writer.decrypter();
    let report = verify_lake(&tables, keeper, &decrypter).await.unwrap();
    assert_eq!(
        report.to_string(),
        "ok readings=25 files=1 gaps=0 doubled=0 missing=0"
    );
    assert_eq!(report.expired, 15);
}
