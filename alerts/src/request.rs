//! What a person asks of the alerts: acknowledge, shelve, silence.

use forebay_schemas::Timestamp;
use globset::Glob;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    Book, Instance, Silence,
    book::id_of,
    instance::Acknowledgement,
    instant::{maybe_micros, micros, rfc3339},
    silence::Matchers,
};

/// Silences at a time.
const SILENCES_MAX: usize = 1000;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Request {
    /// Somebody takes an alert up: it is sent no more while it lasts, unless it becomes worse.
    Acknowledge {
        /// The alert's name, or the beginning of it that no other has.
        alert: String,
        /// Who.
        by: String,
        /// What they say.
        note: Option<String>,
    },
    /// An alert is put aside until then, or no longer.
    Shelve {
        /// As of [`Request::Acknowledge`].
        alert: String,
        /// Until when; none takes it back.
        #[serde(with = "maybe_micros")]
        until: Option<Timestamp>,
    },
    /// Nobody is to hear of the alerts that all of these fit.
    Silence {
        /// Labels and their globs.
        matchers: Matchers,
        /// Until when.
        #[serde(with = "micros")]
        until: Timestamp,
        /// Who asks.
        by: String,
        /// Why.
        note: Option<String>,
    },
    /// A silence ends now.
    EndSilence {
        /// Its name, or the beginning of it.
        silence: String,
    },
}

/// A request with the time at which it was made, which is the same for whoever applies it, and whenever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    #[serde(with = "micros")]
    pub(crate) at: Timestamp,
    #[serde(flatten)]
    pub(crate) request: Request,
}

impl Asked {
    pub(crate) fn new(request: &Request, now: Timestamp) -> Self {
        Self {
            // As it is stored: a silence's name follows from it.
            at: Timestamp::from_micros(now.micros()).unwrap_or(now),
            request: request.clone(),
        }
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// Nothing is called so.
    #[error("there is no {what} {name:?}: see `forebay alerts list`")]
    Unknown {
        /// Alert or silence.
        what: &'static str,
        /// As asked for.
        name: String,
    },
    /// It was taken, and does not hold.
    #[error("{0}")]
    NotSo(String),
    /// Several are called so.
    #[error("{name:?} is the beginning of {count} names: write more of it")]
    Ambiguous {
        /// As asked for.
        name: String,
        /// Of how many.
        count: usize,
    },
    /// It is over already.
    #[error("alert {alert} was resolved at {at}")]
    Over {
        /// Its name.
        alert: String,
        /// When.
        at: String,
    },
    /// Too much.
    #[error("there are {SILENCES_MAX} silences already")]
    TooMany,
    /// A silence that would cover everything, or a glob that cannot be read.
    #[error("{0}")]
    Matchers(String),
    /// A time that has passed.
    #[error("{0} has passed")]
    Past(String),
}

impl Book {
    /// Does as a request asks that was made at this time, and answers what was done, for people. A silence that is there
    /// already stays as it is.
    ///
    /// # Errors
    /// What cannot be done; nothing is changed then.
    pub fn apply(&mut self, request: &Request, now: Timestamp) -> Result<String, Refused> {
        match request {
            Request::Acknowledge { alert, by, note } => {
                let instance = self.alive(alert)?;
                instance.acknowledged = Some(Acknowledgement {
                    by: by.clone(),
                    at: now,
                    note: note.clone(),
                });
                Ok(format!("{} is acknowledged by {by}", named(instance)))
            }
            Request::Shelve { alert, until } => {
                let instance = self.alive(alert)?;
                instance.shelved_until = until.filter(|until| *until > now);
                Ok(shelved(instance))
            }
            Request::Silence {
                matchers,
                until,
                by,
                note,
            } => {
                let silence = new_silence(matchers, *until, by, note.as_deref(), now)?;
                let done = holds(&silence);
                if !self.silences.iter().any(|known| known.id == silence.id) {
                    if self.silences.len() >= SILENCES_MAX {
                        return Err(Refused::TooMany);
                    }
                    self.silences.push(silence);
                }
                Ok(done)
            }
            Request::EndSilence { silence } => {
                let names = self.silences.iter().map(|known| known.id.as_str());
                let id = only("silence", silence, names)?;
                self.silences.retain(|known| known.id != id);
                Ok(format!("silence {id} has ended"))
            }
        }
    }

    fn alive(&mut self, name: &str) -> Result<&mut Instance, Refused> {
        let names = self.instances.values().map(|one| one.alert_id.as_str());
        let id = only("alert", name, names)?;
        let unknown = Refused::Unknown {
            what: "alert",
            name: name.to_owned(),
        };
        let instance = self.instances.values_mut().find(|one| one.alert_id == id);
        let instance = instance.ok_or(unknown)?;
        match instance.state.resolved_at() {
            Some(at) => Err(Refused::Over {
                alert: id,
                at: rfc3339(at),
            }),
            None => Ok(instance),
        }
    }
}

impl Book {
    /// The request with the whole name of what it is about: the beginning may fit another alert by the time it is taken.
    ///
    /// # Errors
    /// A name that fits no alert, or several.
    pub(crate) fn meant(&mut self, request: &Request) -> Result<Request, Refused> {
        let mut meant = request.clone();
        match &mut meant {
            Request::Acknowledge { alert, .. } | Request::Shelve { alert, .. } => {
                alert.clone_from(&self.alive(alert)?.alert_id);
            }
            Request::EndSilence { silence } => {
                let names = self.silences.iter().map(|known| known.id.as_str());
                *silence = only("silence", silence, names)?;
            }
            Request::Silence { .. } => {}
        }
        Ok(meant)
    }

    /// What a request that has been taken has brought about, for people.
    ///
    /// # Errors
    /// It does not hold: the alert is over, or has become worse meanwhile.
    pub(crate) fn confirmed(&mut self, asked: &Asked) -> Result<String, Refused> {
        match &asked.request {
            Request::Acknowledge { alert, .. } => {
                let instance = self.alive(alert)?;
                match &instance.acknowledged {
                    Some(taken) => Ok(format!(
                        "{} is acknowledged by {}",
                        named(instance),
                        taken.by
                    )),
                    None => Err(Refused::NotSo(format!(
                        "{} is not acknowledged: it has become worse meanwhile",
                        named(instance)
                    ))),
                }
            }
            Request::Shelve { alert, until } => {
                let instance = self.alive(alert)?;
                let wanted = until.is_some_and(|until| until > asked.at);
                if instance.shelved_until.is_some() != wanted {
                    let named = named(instance);
                    return Err(Refused::NotSo(format!(
                        "{named} was shelved otherwise meanwhile"
                    )));
                }
                Ok(shelved(instance))
            }
            Request::Silence {
                matchers,
                until,
                by,
                note,
            } => {
                let silence = new_silence(matchers, *until, by, note.as_deref(), asked.at)?;
                if !self.silences.iter().any(|known| known.id == silence.id) {
                    return Err(Refused::NotSo(format!(
                        "silence {} was refused: see the log of the process that runs the alerts",
                        silence.id
                    )));
                }
                Ok(holds(&silence))
            }
            Request::EndSilence { silence } => {
                if self.silences.iter().any(|known| known.id == *silence) {
                    return Err(Refused::NotSo(format!("silence {silence} has not ended")));
                }
                Ok(format!("silence {silence} has ended"))
            }
        }
    }
}

fn shelved(instance: &Instance) -> String {
    match instance.shelved_until {
        Some(until) => format!("{} is shelved until {}", named(instance), rfc3339(until)),
        None => format!("{} is no longer shelved", named(instance)),
    }
}

fn holds(silence: &Silence) -> String {
    format!(
        "silence {} holds until {}",
        silence.id,
        rfc3339(silence.until)
    )
}

fn named(instance: &Instance) -> String {
    format!("alert {} ({})", instance.alert_id, instance.summary)
}

/// The one name that begins so.
fn only<'n>(
    what: &'static str,
    begins: &str,
    names: impl Iterator<Item = &'n str>,
) -> Result<String, Refused> {
    let fitting: Vec<&str> = names.filter(|name| name.starts_with(begins)).collect();
    match fitting[..] {
        [one] if !begins.is_empty() => Ok(one.to_owned()),
        [] | [_] => Err(Refused::Unknown {
            what,
            name: begins.to_owned(),
        }),
        _ => Err(Refused::Ambiguous {
            name: begins.to_owned(),
            count: fitting.len(),
        }),
    }
}

fn new_silence(
    matchers: &Matchers,
    until: Timestamp,
    by: &str,
    note: Option<&str>,
    now: Timestamp,
) -> Result<Silence, Refused> {
    if matchers.is_empty() {
        let message = "a silence needs at least one matcher, such as device=pump-*";
        return Err(Refused::Matchers(message.to_owned()));
    }
    for glob in matchers.values() {
        Glob::new(glob).map_err(|error| Refused::Matchers(error.to_string()))?;
    }
    if until <= now {
        return Err(Refused::Past(rfc3339(until)));
    }
    let mut words = vec![now.nanos().to_string()];
    words.extend(
        matchers
            .iter()
            .map(|(label, glob)| format!("{label}={glob}")),
    );
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Ok(Silence {
        id: id_of(&words, 4),
        matchers: matchers.clone(),
        until,
        by: by.to_owned(),
        note: note.map(str::to_owned),
    })
}
