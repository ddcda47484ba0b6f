//! Whether a store creates an object once (E7).
//!
//! Some stores that speak S3 ignore `If-None-Match: *`, and some heed it only while no other request is under way:
//! then two
//! writers overwrite each other's log entries, and whole commits are gone without an error. So a writer asks before it
//! relies on it: two creates of one name at once, and one more after them. A create whose own answer got lost may be
//! answered as a loser: the object's content tells who won.

use futures::future::join;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, path::Path};
use uuid::Uuid;

use super::{Refusal, innermost};
use crate::LakeError;

/// Folder of the objects that are created to see what happens; each is deleted at once.
const FOLDER: &str = "_forebay";

/// What became of one create.
enum Create {
    Won,
    /// Refused as a second create has to be.
    Lost,
    /// Neither: what the store says.
    Odd(String),
}

/// Refuses a store that does not create objects once. `location` names it.
///
/// # Errors
/// [`LakeError::Unconditional`] when the store lets two creates of one name through, or does not know conditional
/// creation;
/// [`LakeError::Location`] when it refuses to store; [`LakeError::Unreachable`] when it does not answer.
pub(crate) async fn check_creation(
    store: &dyn ObjectStore,
    location: &str,
    id: Uuid,
) -> Result<(), LakeError> {
    let probe = Path::from_iter([FOLDER, &format!("probe-{id}")]);
    let checked = create_thrice(store, &probe, location).await;
    if let Err(error) = store.delete(&probe).await
        && !matches!(error, Error::NotFound { .. })
    {
        tracing::warn!(path = %probe, %error, "deleting a probe object failed, which is harmless");
    }
    checked
}

async fn create_thrice(
    store: &dyn ObjectStore,
    probe: &Path,
    location: &str,
) -> Result<(), LakeError> {
    let unconditional = |why: &str| LakeError::Unconditional {
        location: location.to_owned(),
        why: why.to_owned(),
    };
    let (first, second) = join(
        create(store, probe, "first"),
        create(store, probe, "second"),
    )
    .await;
    let won = match (first, second) {
        (Create::Won, Create::Won) => {
            return Err(unconditional(
                "two creates of one name at once both succeeded",
            ));
        }
        (Create::Won, _) => Some("first"),
        (_, Create::Won) => Some("second"),
        (Create::Odd(why), _) | (_, Create::Odd(why)) => return Err(refused(location, &why)),
        (Create::Lost, Create::Lost) => None,
    };
    match create(store, probe, "third").await {
        Create::Lost => {}
        Create::Won => {
            return Err(unconditional(
                "an object was created although it already existed",
            ));
        }
        Create::Odd(why) => return Err(refused(location, &why)),
    }
    let found = async { store.get(probe).await?.bytes().await }.await;
    let found = found.map_err(|error| refused(location, &innermost(&error)))?;
    let is_one_of_both = matches!(found.as_ref(), b"first" | b"second");
    let is_winner = won.is_none_or(|won| won.as_bytes() == found.as_ref());
    if !is_one_of_both || !is_winner {
        return Err(unconditional(
            "a create that was refused has replaced the object",
        ));
    }
    Ok(())
}

async fn create(store: &dyn ObjectStore, probe: &Path, content: &'static str) -> Create {
    match store
        .put_opts(
            probe,
            PutPayload::from_static(content.as_bytes()),
            PutMode::Create.into(),
        )
        .await
    {
        Ok(_) => Create::Won,
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Create::Lost,
        Err(error) => Create::Odd(innermost(&error)),
    }
}

/// A create that neither succeeded nor lost: what the store cannot do is told from a link that is down.
fn refused(location: &str, why: &str) -> LakeError {
    let location = location.to_owned();
    match Refusal::of(why) {
        Some(Refusal {
            status: 401 | 403,
            text,
        }) => {
            let why = format!(
                "the store refuses to create an object: {text}: check the key's right to write"
            );
            LakeError::Location { location, why }
        }
        Some(Refusal {
            status: 300..=499 | 501,
            text,
        }) => LakeError::Unconditional {
            location,
            why: text,
        },
        _ => LakeError::Unreachable {
            location,
            why: why.to_owned(),
        },
    }
}
