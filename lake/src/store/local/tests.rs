//! Names, parts and races; what survives a power cut is in `power_cut`.

mod full_disk;
mod power_cut;

use std::fs;

use object_store::ObjectStoreExt as _;

use super::*;

#[tokio::test]
async fn of_many_that_create_one_name_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SyncedLocalStore::open(folder.path()).unwrap());
    one_wins(
        folder.path(),
        &(0..8).map(|_| store.clone()).collect::<Vec<_>>(),
    )
    .await;
}

/// As the processes of two containers on one volume, which may have the same id.
#[tokio::test]
async fn stores_that_know_nothing_of_each_other_do_not_write_into_each_others_files() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let open = |_| Arc::new(SyncedLocalStore::open(folder.path()).unwrap());
        one_wins(folder.path(), &(0..8).map(open).collect::<Vec<_>>()).await;
    }
}

async fn one_wins(folder: &FsPath, stores: &[Arc<SyncedLocalStore>]) {
    let at = Path::from("a/b/00000000000000000000.json");
    let puts = stores.iter().zip(0_u8..).map(|(store, n)| {
        let (store, at) = (store.clone(), at.clone());
        tokio::spawn(async move {
            (
                n,
                store
                    .put_opts(&at, vec![n].into(), PutMode::Create.into())
                    .await,
            )
        })
    });
    let mut winner = None;
    for put in puts.collect::<Vec<_>>() {
        match put.await.unwrap() {
            (n, Ok(_)) => assert_eq!(winner.replace(n), None, "two writers created one object"),
            (_, Err(error)) => assert!(
                matches!(error, object_store::Error::AlreadyExists { .. }),
                "{error}"
            ),
        }
    }
    let bytes = stores[0].get(&at).await.unwrap().bytes().await.unwrap();
    assert_eq!(bytes.as_ref(), [winner.unwrap()]);
    let left: Vec<_> = fs::read_dir(folder.join("a/b"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(
        left,
        ["00000000000000000000.json"],
        "temporary files are gone"
    );
}

#[tokio::test]
async fn parts_become_one_object_when_all_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = SyncedLocalStore::open(folder.path()).unwrap();
    let at = Path::from("a/b");
    store.put(&at, b"before".to_vec().into()).await.unwrap();
    let mut upload = store.put_multipart(&at).await.unwrap();
    let parts = [b"one ".to_vec(), b"two ".to_vec(), b"three".to_vec()]
        .map(|part| upload.put_part(part.into()));
    // In another order than they were given.
    for part in parts.into_iter().rev() {
        part.await.unwrap();
    }
    assert_eq!(
        store
            .get(&at)
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
            .as_ref(),
        b"before"
    );
    upload.complete().await.unwrap();
    assert_eq!(
        store
            .get(&at)
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
            .as_ref(),
        b"one two three"
    );

    let mut upload = store.put_multipart(&at).await.unwrap();
    upload.put_part(b"never".to_vec().into()).await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(
        store
            .get(&at)
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
            .as_ref(),
        b"one two three"
    );
    let left: Vec<_> = fs::read_dir(folder.path().join("a"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["b"], "temporary files are gone");
}

#[tokio::test]
async fn overwriting_replaces_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = SyncedLocalStore::open(folder.path()).unwrap();
    let at = Path::from("x");
    store
        .put(&at, b"longer than the next".to_vec().into())
        .await
        .unwrap();
    store.put(&at, b"short".to_vec().into()).await.unwrap();
    assert_eq!(
        store
            .get(&at)
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
            .as_ref(),
        b"short"
    );
}
