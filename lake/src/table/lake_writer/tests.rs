//! A keyring that is older than the lake.

use std::fs;

use super::*;
use crate::{
    keys::FileKeyring,
    testing::{Bench, DAY_START, at, batch},
};

/// Seals a batch of another site as an import would, and answers its file.
async fn put(writer: &LakeWriter, site: &str) -> Result<Add, LakeError> {
    let mut readings = batch(1, 5, DAY_START);
    for reading in &mut readings.readings {
        reading.series.site = SiteId::new(site).unwrap();
    }
    let rows = crate::partition_rows(&[readings]).unwrap().remove(0);
    let partition = crate::readings_partition(&rows);
    let table = writer.table(&forebay_schemas::table::READINGS)?;
    writer
        .put(
            table,
            rows.rows.clone(),
            &partition,
            Some(&rows.site),
            at(DAY_START),
        )
        .await
}

async fn commit(writer: &LakeWriter, stream: &str, add: Add) {
    let id = writer.id().unwrap();
    let attempt = Attempt {
        id,
        app_id: stream.into(),
        from_state: None,
        to_state: 1,
        adds: vec![add],
    };
    writer
        .table(&forebay_schemas::table::READINGS)
        .unwrap()
        .commit(&attempt)
        .await
        .unwrap();
}

/// A site's key was made after the backup: a second key of its name would make files that no keyring reads together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyring_older_than_the_lake_makes_no_second_key_of_a_name() {
    let bench = Bench::new(Sealed::Columns).await;
    let keyring = bench.folder.path().join("keys/keyring.json");
    let backup = fs::read(&keyring).unwrap();
    commit(&bench.writer, "b", put(&bench.writer, "B").await.unwrap()).await;
    let newer = fs::read(&keyring).unwrap();

    fs::write(&keyring, &backup).unwrap();
    let writer = bench.another().await.unwrap();
    let error = put(&writer, "B").await.map(drop).unwrap_err();
    assert_eq!(error.kind(), forebay_schemas::ErrorKind::Fatal, "{error}");
    for part in [
        "forebay.site.B.v1",
        &keyring.display().to_string(),
        "restore the newer copy",
    ] {
        assert!(
            error.to_string().contains(part),
            "{part} is not in: {error}"
        );
    }
    assert_eq!(fs::read(&keyring).unwrap(), backup, "no key was made");
    commit(
        &writer,
        "c",
        put(&writer, "C")
            .await
            .expect("a site that the lake does not know"),
    )
    .await;

    // The newer copy is brought back while the program runs.
    fs::write(&keyring, &newer).unwrap();
    commit(&writer, "b2", put(&writer, "B").await.unwrap()).await;
}

/// `forebay keys init --site` asks as a writer does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_made_by_hand_is_no_second_one_either() {
    let bench = Bench::new(Sealed::Columns).await;
    let dir = bench.folder.path().join("keys");
    let backup = fs::read(dir.join("keyring.json")).unwrap();
    commit(&bench.writer, "b", put(&bench.writer, "B").await.unwrap()).await;
    fs::write(dir.join("keyring.json"), &backup).unwrap();
    let keyring = FileKeyring::open(&dir, bench.writer.random().clone()).unwrap();
    let (lake, sites) = (
        bench.store.lake(),
        ["C", "B"].map(|site| SiteId::new(site).unwrap()),
    );
    let error = crate::ensure_site_keys(&lake, &keyring, &sites[1..])
        .await
        .unwrap_err();
    assert!(
        matches!(&error, LakeError::Key(KeyError::Older { id, .. }) if id.as_str() == "forebay.site.B.v1"),
        "{error}"
    );
    assert_eq!(
        fs::read(dir.join("keyring.json")).unwrap(),
        backup,
        "no key was made"
    );
    let keys = crate::ensure_site_keys(&lake, &keyring, &sites[..1])
        .await
        .unwrap();
    assert_eq!(keys[0].as_str(), "forebay.site.C.v1");
}

/// Another process that uses the same keyring file has made the key meanwhile: that is no older keyring.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_another_process_made_is_found() {
    let bench = Bench::new(Sealed::Columns).await;
    let other = bench.another().await.unwrap();
    commit(&other, "b", put(&other, "B").await.unwrap()).await;
    commit(&bench.writer, "b2", put(&bench.writer, "B").await.unwrap()).await;
}

/// A key was rotated after the backup: the next rotation would give the same version to another key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyring_from_before_a_rotation_is_refused_at_opening() {
    let bench = Bench::new(Sealed::Columns).await;
    let dir = bench.folder.path().join("keys");
    commit(&bench.writer, "b", put(&bench.writer, "B").await.unwrap()).await;
    let backup = fs::read(dir.join("keyring.json")).unwrap();
    let rotated = FileKeyring::open(&dir, bench.writer.random().clone()).unwrap();
    rotated.rotate("forebay.site.B").unwrap();
    let writer = bench.another().await.unwrap();
    commit(&writer, "b2", put(&writer, "B").await.unwrap()).await;

    fs::write(dir.join("keyring.json"), &backup).unwrap();
    let error = bench.another().await.map(drop).unwrap_err();
    assert!(
        matches!(&error, LakeError::Key(KeyError::Older { id, .. }) if id.as_str() == "forebay.site.B.v2"),
        "{error}"
    );
}
