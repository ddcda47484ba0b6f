//! The files of passwords, tokens and certificate, read again when they change.
//!
//! A certificate is renewed every few weeks, and nobody restarts a gateway for it. The files are looked at every
//! [`LOOK_EVERY`]; what has changed counts for who comes after that, and who has signed in stays so. Files that cannot be used
//! leave what was read before, and are tried again: a certificate and its key are two files, and one of them comes first.

use std::{
    collections::BTreeMap,
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
    /// What the files held when they were read last, and what they held when they could not be used.
    seen: Mutex<(Contents, Option<Contents>)>,
}

/// SHA-256 of each file; `None` of one that cannot be read.
type Contents = BTreeMap<PathBuf, Option<Vec<u8>>>;

impl Secrets {
    /// Reads all files.
    ///
    /// # Errors
    /// [`ServeError::Secret`] for one that cannot be used.
    pub(crate) fn load(settings: &ServeSettings) -> Result<Self, ServeError> {
        // Before they are read: what changes meanwhile is seen at the next look.
        let contents = contents(&settings.users, settings.tls.as_ref());
        let tls = match &settings.tls {
            Some(files) => Some((files.clone(), Arc::new(Certificate::load(files)?))),
            None => None,
        };
        Ok(Self {
            users: RwLock::new(Arc::new(Users::load(&settings.users)?)),
            settings: settings.users.clone(),
            tls,
            seen: Mutex::new((contents, None)),
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
        let files = self.tls.as_ref().map(|(files, _)| files);
        let now = contents(&self.settings, files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (used, refused) = &mut *seen;
        if *used == now || refused.as_ref() == Some(&now) {
            return;
        }
        match self.read(used, &now) {
            Ok(()) => {
                info!("the files of passwords, tokens and certificate were read again");
                *used = now;
                *refused = None;
            }
            Err(error) => {
                warn!(%error, "a file of a password, token or certificate cannot be used, what was read before still counts");
                *refused = Some(now);
            }
        }
    }

    fn read(&self, before: &Contents, now: &Contents) -> Result<(), ServeError> {
        let has_changed = |file: &PathBuf| before.get(file) != now.get(file);
        let users = self.users().changed(&self.settings, &has_changed)?;
        if let Some((files, certificate)) = &self.tls
            && (has_changed(&files.cert) || has_changed(&files.key))
        {
            certificate.reload(files)?;
        }
        *self.users.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(users);
        Ok(())
    }
}

fn contents(users: &[UserSettings], tls: Option<&TlsFiles>) -> Contents {
    let of_users = users
        .iter()
        .flat_map(|user| [&user.password_file, &user.token_file]);
    let of_users = of_users.flatten();
    let of_tls = tls.into_iter().flat_map(|files| [&files.cert, &files.key]);
    let content = |file: &PathBuf| fs::read(file).ok().map(|bytes| hash(&bytes));
    let files = of_users.chain(of_tls);
    files.map(|file| (file.clone(), content(file))).collect()
}
