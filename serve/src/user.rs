//! Who may ask: names, what they prove themselves with, what they see.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::{
    ServeError,
    scram::{self, Shape, Verifier},
    settings::UserSettings,
    sites::SiteSet,
};

/// The shortest token that is taken.
const TOKEN_CHARS_MIN: usize = 16;
/// A file of a password or token is not longer than this.
const SECRET_BYTES_MAX: u64 = 4_096;

/// One user.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) sites: SiteSet,
    pub(crate) columns_hidden: BTreeSet<String>,
}

/// All users, with what they prove themselves with.
#[derive(Clone)]
pub(crate) struct Users {
    users: Vec<Known>,
    /// For the verifiers of names that nobody has.
    secret: [u8; 32],
}

#[derive(Clone)]
struct Known {
    user: Arc<User>,
    verifier: Option<Verifier>,
    /// SHA-256 of the token.
    token: Option<Vec<u8>>,
}

impl Users {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// [`ServeError::Secret`] for a file that cannot be read, or holds no password or token.
    pub(crate) fn load(settings: &[UserSettings]) -> Result<Self, ServeError> {
        let random = SystemRandom::new();
        let mut secret = [0; 32];
        random
            .fill(&mut secret)
            .map_err(|_| ServeError::NoRandomness)?;
        let load = |settings: &UserSettings| Known::load(settings, &random);
        Ok(Self {
            users: settings.iter().map(load).collect::<Result<_, _>>()?,
            secret,
        })
    }

    /// Reads the files of the user at this place of the settings again. Of the others salts and made-up verifiers stay as they
    /// are, so that a change tells nobody which names there are.
    ///
    /// # Errors
    /// As [`Users::load`]; nothing has changed then.
    pub(crate) fn read_again(
        &mut self,
        place: usize,
        settings: &UserSettings,
    ) -> Result<(), ServeError> {
        let read = Known::load(settings, &SystemRandom::new())?;
        if let Some(known) = self.users.get_mut(place) {
            *known = read;
        }
        Ok(())
    }

    /// The verifier of a name, and who it is; for a name that nobody has a verifier that nothing fits.
    pub(crate) fn verifier(&self, name: &str) -> (Verifier, Option<Arc<User>>) {
        let known = self.users.iter().find(|known| known.user.name == name);
        let proven = known.and_then(|known| known.verifier.clone().zip(Some(known.user.clone())));
        match proven {
            Some((verifier, user)) => (verifier, Some(user)),
            None => (Verifier::made_up(name, &self.secret, self.shape()), None),
        }
    }

    /// Of the first user who has a password: where all have one shape, it tells nobody from a name that nobody has.
    fn shape(&self) -> Shape {
        let mut verifiers = self
            .users
            .iter()
            .filter_map(|known| known.verifier.as_ref());
        verifiers.next().map(Verifier::shape).unwrap_or_default()
    }

    /// Whose token this is.
    pub(crate) fn by_token(&self, token: &str) -> Option<Arc<User>> {
        // Hashes are compared, so how long it takes tells nothing of the token.
        let hash = scram::hash(token.as_bytes());
        let found = self
            .users
            .iter()
            .find(|known| known.token.as_ref() == Some(&hash));
        found.map(|known| known.user.clone())
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.iter().map(|known| &known.user)
    }
}

impl Known {
    fn load(settings: &UserSettings, random: &SystemRandom) -> Result<Self, ServeError> {
        let password = settings.password_file.as_deref().map(secret).transpose()?;
        let token = settings.token_file.as_deref().map(secret).transpose()?;
        if let Some(token) = &token
            && token.chars().count() < TOKEN_CHARS_MIN
        {
            return Err(ServeError::Secret {
                file: settings.token_file.clone().unwrap_or_default(),
                why: format!("a token of at least {TOKEN_CHARS_MIN} characters is expected"),
            });
        }
        let verifier = match password {
            Some(password) => Some(match Verifier::parse(&password) {
                Some(verifier) => verifier,
                None => Verifier::of_password(&password, random)
                    .map_err(|_| ServeError::NoRandomness)?,
            }),
            None => None,
        };
        Ok(Self {
            user: Arc::new(User {
                name: settings.name.clone(),
                sites: settings.sites.clone(),
                columns_hidden: settings.columns_hidden.clone(),
            }),
            verifier,
            token: token.map(|token| scram::hash(token.as_bytes())),
        })
    }
}

/// What a file holds, without the line's end.
fn secret(file: &Path) -> Result<String, ServeError> {
    let failed = |why: String| ServeError::Secret {
        file: file.to_owned(),
        why,
    };
    let size = fs::metadata(file).map_err(|error| failed(error.to_string()))?;
    if size.len() > SECRET_BYTES_MAX {
        return Err(failed(
            "the file is too long for a password or token".into(),
        ));
    }
    let text = fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(failed("the file is empty".into()));
    }
    Ok(text.to_owned())
}
