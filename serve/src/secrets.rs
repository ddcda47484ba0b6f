//! The files of passwords, tokens and certificate, read again when they change.
//!
//! A certificate is renewed every few weeks, and nobody restarts a gateway for it. The files are looked at every
//! [`LOOK_EVERY`]; what has changed counts for who comes after that, and who has signed in stays so. Files that cannot be used
//! leave what was read before, and are tried again: a certificate and its key are two files, and one of them comes first.
//!
//! Invariant: each user's files, and those of the certificate, are taken up on their own. One that cannot be used keeps nobody
//! else's from counting.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use datafusion_postgres::pgwire::tokio::TlsAcceptor;
use tokio::{select, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    ServeError,
    scram::hash,
    settings::{ServeSettings, TlsFiles, UserSettings},
    tls::Certificate,
    user::Users,
};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 10_000 });

/// What clients prove themselves with, and what the ports do.
pub(crate) struct Secrets {
    settings: Vec<UserSettings>,
    tls: Option<(TlsFiles, Arc<Certificate>)>,
    users: RwLock<Arc<Users>>,
    seen: Mutex<Seen>,
}

/// What was seen in all files.
struct Seen {
    /// In the order of the settings.
    users: Vec<SeenFiles>,
    certificate: SeenFiles,
}

/// What the files of one user, or of the certificate, held.
struct SeenFiles {
    /// When they were read last.
    read: Contents,
    /// When they could not be used after that.
    refused: Option<Contents>,
}

/// SHA-256 of each file; `None` of one that cannot be read.
type Contents = Vec<Option<Vec<u8>>>;

impl SeenFiles {
    fn of<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        Self {
            read: contents(files),
            refused: None,
        }
    }

    /// Whether this is to be read: it was neither read nor refused before.
    fn is_new(&mut self, now: &Contents) -> bool {
        if self.read == *now {
            self.refused = None;
            return false;
        }
        self.refused.as_ref() != Some(now)
    }

    fn note_read(&mut self, now: Contents) {
        self.read = now;
        self.refused = None;
    }

    /// Notes what could not be used, unless the files hold something else by now: it is not known which of the two was read.
    fn note_refused(&mut self, now: Contents, since: &Contents) {
        if now == *since {
            self.refused = Some(now);
        }
    }
}

impl Secrets {
    /// Reads all files.
    ///
    /// # Errors
    /// [`ServeError::Secret`] for one that cannot be used.
    pub(crate) fn load(settings: &ServeSettings) -> Result<Self, ServeError> {
        // Before they are read: what changes meanwhile is seen at the next look.
        let seen = Seen {
            users: settings
                .users
                .iter()
                .map(|user| SeenFiles::of(files_of(user)))
                .collect(),
            certificate: SeenFiles::of(settings.tls.iter().flat_map(files_of_certificate)),
        };
        let tls = match &settings.tls {
            Some(files) => Some((files.clone(), Arc::new(Certificate::load(files)?))),
            None => None,
        };
        Ok(Self {
            users: RwLock::new(Arc::new(Users::load(&settings.users)?)),
            settings: settings.users.clone(),
            tls,
            seen: Mutex::new(seen),
        })
    }

    /// Who may ask.
    pub(crate) fn users(&self) -> Arc<Users> {
        let users = self.users.read().unwrap_or_else(PoisonError::into_inner);
        users.clone()
    }

    /// What makes a connection a TLS connection, for PostgreSQL's clients and for HTTP's, with the certificate as it is then.
    ///
    /// # Errors
    /// [`ServeError::Engine`] when the library refuses its own defaults: a defect.
    pub(crate) fn acceptors(&self) -> Result<Option<(TlsAcceptor, TlsAcceptor)>, ServeError> {
        let tls = self.tls.as_ref();
        tls.map(|(_, certificate)| certificate.acceptors())
            .transpose()
    }

    /// Looks at the files until the stop.
    pub(crate) async fn follow(self: Arc<Self>, stop: CancellationToken) {
        loop {
            select! {
                () = sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
            let secrets = self.clone();
            // Files may lie on a slow disk, and a password takes its rounds of hashing.
            let looked = tokio::task::spawn_blocking(move || secrets.look()).await;
            if let Err(error) = looked {
                warn!(%error, "looking at the files of passwords and certificate failed");
            }
        }
    }

    fn look(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.look_at_users(&mut seen.users);
        if let Some((files, certificate)) = &self.tls {
            look_at_certificate(&mut seen.certificate, files, certificate);
        }
    }

    fn look_at_users(&self, seen: &mut [SeenFiles]) {
        let mut users = self.users().as_ref().clone();
        let mut are_changed = false;
        for (place, (settings, seen)) in self.settings.iter().zip(seen).enumerate() {
            let now = contents(files_of(settings));
            if !seen.is_new(&now) {
                continue;
            }
            let user = &settings.name;
            match users.read_again(place, settings) {
                Ok(()) => {
                    info!(
                        user,
                        "the files of a user's password and token were read again"
                    );
                    seen.note_read(now);
                    are_changed = true;
                }
                Err(error) => {
                    warn!(user, %error, "a file of a user's password or token cannot be used, what was read before still counts");
                    seen.note_refused(now, &contents(files_of(settings)));
                }
            }
        }
        if are_changed {
            *self.users.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(users);
        }
    }
}

fn look_at_certificate(seen: &mut SeenFiles, files: &TlsFiles, certificate: &Certificate) {
    let now = contents(files_of_certificate(files));
    if !seen.is_new(&now) {
        return;
    }
    match certificate.reload(files) {
        Ok(()) => {
            info!("the files of the certificate were read again");
            seen.note_read(now);
        }
        Err(error) => {
            warn!(%error, "a file of the certificate cannot be used, what was read before still counts");
            seen.note_refused(now, &contents(files_of_certificate(files)));
        }
    }
}

fn files_of(user: &UserSettings) -> impl Iterator<Item = &PathBuf> {
    [&user.password_file, &user.token_file]
        .into_iter()
        .flatten()
}

fn files_of_certificate(files: &TlsFiles) -> [&PathBuf; 2] {
    [&files.cert, &files.key]
}

fn contents<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Contents {
    let content = |file: &PathBuf| fs::read(file).ok().map(|bytes| hash(&bytes));
    files.into_iter().map(content).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_tried_once_until_it_changes() {
        let holding = |text: &str| vec![Some(text.as_bytes().to_vec())];
        let mut seen = SeenFiles {
            read: holding("good"),
            refused: None,
        };
        assert!(!seen.is_new(&holding("good")));
        for (held, is_new) in [
            (holding("bad"), true),
            (holding("bad"), false),
            (vec![None], true),
            (vec![None], false),
            (holding("good"), false),
            // It came back.
            (vec![None], true),
        ] {
            assert_eq!(seen.is_new(&held), is_new, "{held:?}");
            if is_new {
                seen.note_refused(held.clone(), &held);
            }
        }
        assert!(seen.is_new(&holding("better")));
        seen.note_read(holding("better"));
        assert!(!seen.is_new(&holding("better")));
        assert!(seen.is_new(&vec![None]));
    }

    #[test]
    fn what_changed_while_it_was_refused_is_tried_again() {
        let holding = |text: &str| vec![Some(text.as_bytes().to_vec())];
        let mut seen = SeenFiles {
            read: holding("good"),
            refused: None,
        };
        // The certificate was there, its key not yet; or the other way round.
        seen.note_refused(holding("half"), &holding("whole"));
        assert!(seen.is_new(&holding("whole")));
        assert!(seen.is_new(&holding("half")));
    }
}
