//! What every provider of master keys must do. A broken promise panics, as in a test.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "the suite is a test"
)]

use std::collections::BTreeSet;

use crate::{KEY_BYTES, KeyError, KeyProvider, MasterKeyId, TABLE_KEY};

/// Runs every case against a provider that has the tables' key and no other. `again` opens the same provider once more, as
/// another process does.
pub async fn suite<P: KeyProvider>(provider: P, again: impl Fn() -> P) {
    keys_are_made_once(&provider, &again()).await;
    keys_that_a_lake_knows_are_not_made_again(&provider).await;
    wrapped_keys_open_under_their_own_key_alone(&provider, &again()).await;
    secrets_never_change(&provider, &again()).await;
}

async fn keys_are_made_once<P: KeyProvider>(provider: &P, other: &P) {
    assert!(provider.current(TABLE_KEY).await.is_ok());
    assert!(matches!(
        provider.current("forebay.site.new").await,
        Err(KeyError::MissingKey { .. })
    ));
    let made = provider
        .ensure("forebay.site.new", &BTreeSet::new())
        .await
        .unwrap();
    assert_eq!(
        provider
            .ensure("forebay.site.new", &BTreeSet::new())
            .await
            .unwrap(),
        made
    );
    assert_eq!(provider.current("forebay.site.new").await.unwrap(), made);
    assert_eq!(
        other
            .ensure("forebay.site.new", &BTreeSet::new())
            .await
            .unwrap(),
        made,
        "another process makes no second one"
    );
}

async fn keys_that_a_lake_knows_are_not_made_again<P: KeyProvider>(provider: &P) {
    let lost = BTreeSet::from([MasterKeyId::new("forebay.site.lost.v1")]);
    assert!(matches!(
        provider.ensure("forebay.site.lost", &lost).await,
        Err(KeyError::Older { .. })
    ));
    assert!(matches!(
        provider.current("forebay.site.lost").await,
        Err(KeyError::MissingKey { .. })
    ));
    provider.check_not_older(&lost).await.unwrap();
    let newer = BTreeSet::from([MasterKeyId::new(format!("{TABLE_KEY}.v9"))]);
    assert!(matches!(
        provider.check_not_older(&newer).await,
        Err(KeyError::Older { .. })
    ));
    let known = BTreeSet::from([provider.current(TABLE_KEY).await.unwrap()]);
    provider.check_not_older(&known).await.unwrap();
    assert_eq!(
        provider.ensure(TABLE_KEY, &known).await.unwrap(),
        provider.current(TABLE_KEY).await.unwrap()
    );
}

async fn wrapped_keys_open_under_their_own_key_alone<P: KeyProvider>(provider: &P, other: &P) {
    let table = provider.current(TABLE_KEY).await.unwrap();
    let site = provider
        .ensure("forebay.site.wrapped", &BTreeSet::new())
        .await
        .unwrap();
    for length in [16, 32] {
        let key = vec![7; length];
        let wrapped = provider.wrap(&site, &key).await.unwrap();
        assert_ne!(
            provider.wrap(&site, &key).await.unwrap(),
            wrapped,
            "each wrapping has a nonce of its own"
        );
        assert_eq!(
            provider.unwrap(&site, &wrapped).await.unwrap().expose(),
            key
        );
        assert_eq!(other.unwrap(&site, &wrapped).await.unwrap().expose(), key);
        assert!(matches!(
            provider.unwrap(&table, &wrapped).await,
            Err(KeyError::WrongKey { .. })
        ));
    }
    assert!(matches!(
        provider.unwrap(&site, "AAAA").await,
        Err(KeyError::WrongKey { .. })
    ));
    let missing = MasterKeyId::new("forebay.site.never.v1");
    assert!(matches!(
        provider.wrap(&missing, &[7; 32]).await,
        Err(KeyError::MissingKey { .. })
    ));
}

async fn secrets_never_change<P: KeyProvider>(provider: &P, other: &P) {
    let secret = provider.secret("forebay.spool").await.unwrap();
    assert_eq!(secret.expose().len(), KEY_BYTES);
    assert_eq!(
        other.secret("forebay.spool").await.unwrap().expose(),
        secret.expose()
    );
    assert_ne!(
        provider.secret("forebay.series").await.unwrap().expose(),
        secret.expose()
    );
}
