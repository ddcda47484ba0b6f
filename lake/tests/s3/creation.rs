//! What is created once: a store must honour it, and a bad link must not look as if it did not.

use std::sync::Arc;

use forebay_lake::{Lake, LakeWriter, S3Settings, Sealed, keys::FileKeyring};
use forebay_schemas::{ErrorKind, table::READINGS};
use object_store::{ObjectStoreExt as _, PutMode};

use crate::{
    Bench, batch, count, ingest,
    moto::Moto,
    proxy::{Creation, Fault, Proxy},
    settings,
};

#[tokio::test]
async fn what_must_be_created_once_is() {
    let store = Moto::start(&[]);
    let (bench, settings) = (Bench::new(), settings(store.url()));
    let lake = bench.writer(&settings).await;
    let objects = lake.table(&READINGS).unwrap().store();
    let path = object_store::path::Path::from("_forebay/once");
    objects
        .put_opts(&path, "first".into(), PutMode::Create.into())
        .await
        .unwrap();
    let error = objects
        .put_opts(&path, "second".into(), PutMode::Create.into())
        .await
        .unwrap_err();
    assert!(
        matches!(error, object_store::Error::AlreadyExists { .. }),
        "{error}"
    );
    assert_eq!(
        objects
            .get(&path)
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
            .as_ref(),
        b"first"
    );
    objects.delete(&path).await.unwrap();
}

/// On such a store one of two writers would overwrite the other's commits, and nobody would hear of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_does_not_create_once_is_refused_by_name() {
    let store = Moto::start(&[]);
    let bench = Bench::new();
    for (creation, why) in [
        (Creation::Ignored, "both succeeded"),
        (
            Creation::Refused("501 Not Implemented"),
            "501 Not Implemented",
        ),
        (Creation::Refused("400 Bad Request"), "400 Bad Request"),
        (
            Creation::ToldAs("405 Method Not Allowed"),
            "405 Method Not Allowed",
        ),
    ] {
        let proxy = Proxy::with_creation(store.address, creation);
        let settings = settings(proxy.url());
        let lake = Lake::s3(&settings)
            .await
            .expect("who only reads does not ask");
        let keyring = FileKeyring::open(bench.keys.path(), bench.random.clone()).unwrap();
        let opened = LakeWriter::open(
            &lake,
            Arc::new(keyring),
            Sealed::Columns,
            bench.random.clone(),
        )
        .await;
        let error = opened.err().expect("a writer is refused");
        assert_eq!(error.kind(), ErrorKind::Fatal, "{creation:?}: {error}");
        let text = error.to_string();
        for part in [
            why,
            settings
                .endpoint
                .as_ref()
                .unwrap()
                .as_str()
                .trim_end_matches('/'),
            "conditional creation",
        ] {
            assert!(
                text.contains(part),
                "{creation:?}: {part} is not in: {text}"
            );
        }
    }
    // The same store without the proxy is taken.
    let lake = bench.writer(&settings(store.url())).await;
    let app_id = lake.keeper().app_id("spool", 0);
    ingest(&lake, &app_id, &batch(1, 1, 5)).await;
    assert_eq!(count(&lake, "true").await, "|5|5|15.0|");
}

/// An answer that got lost makes the winner hear that it lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_link_does_not_get_a_good_store_refused() {
    let store = Moto::start(&[]);
    let proxy = Proxy::to(store.address);
    let (bench, settings) = (Bench::new(), settings(proxy.url()));
    for fault in [Fault::Refused, Fault::DoneAnd500, Fault::DoneAndCut] {
        for nth in 0..3 {
            proxy.fail_put(nth, 1, fault);
            bench.writer(&settings).await;
            assert_eq!(proxy.heal().len(), 1, "{fault:?}");
        }
    }
}

/// The first entry of a table's log, over a bad link: it is made once, and the table can be used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_created_once() {
    let store = Moto::start(&[]);
    let proxy = Proxy::to(store.address);
    let cases = [
        (Fault::Refused, 1),
        (Fault::DoneAnd500, 1),
        (Fault::DoneAnd500, 3),
        (Fault::DoneAndCut, 1),
    ];
    for (n, (fault, times)) in cases
        .into_iter()
        .chain([(Fault::DoneAndSilent, 1)])
        .enumerate()
    {
        let lake = Lake::s3(&S3Settings {
            prefix: format!("lake{n}"),
            ..settings(proxy.url())
        })
        .await
        .unwrap();
        proxy.fail_put(0, times, fault);
        let table = lake.table(&READINGS).await.unwrap();
        assert_eq!(proxy.heal().len(), times.min(3), "{fault:?}");
        assert_eq!(table.snapshot().await.unwrap().version(), 0, "{fault:?}");
        let again = lake.table(&READINGS).await.unwrap();
        assert_eq!(again.snapshot().await.unwrap().version(), 0, "{fault:?}");
    }
}
