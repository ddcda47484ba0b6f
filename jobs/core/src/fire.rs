//! What makes a run happen: a time of the schedule, a closed window, or a person.

use forebay_schemas::{SiteId, Timestamp, path_segment};

use crate::clock::{instant, rfc3339};

/// A closed window of one site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// The site.
    pub site: SiteId,
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
    /// How often it has been amended.
    pub revision: i32,
}

/// One occasion for a job to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fire {
    /// Names the occasion: a job runs once for each.
    pub key: FireKey,
    /// When it was due. A window is due when it ends.
    pub due: Timestamp,
    /// The window that closed, if one did.
    pub window: Option<Window>,
    pub(crate) cause: Cause,
}

/// What made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    Cron,
    Window,
    Manual,
}

impl Cause {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cron => "cron",
            Self::Window => "window",
            Self::Manual => "manual",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Cron, Self::Window, Self::Manual]
            .into_iter()
            .find(|cause| cause.name() == name)
    }
}

/// The name of an occasion, unique within a job: the cron time in RFC 3339, `window/<site>/<start>/<revision>`, or
/// `manual/<time>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FireKey(String);

impl FireKey {
    /// As tables have it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }
}

/// What a fire key names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// A time of the schedule.
    Cron(Timestamp),
    /// A closed window: its site as a path has it, its start and its revision.
    Window(String, Timestamp, i32),
}

impl Occasion {
    /// What a stored key names; `None` for a run that a person asked for.
    pub(crate) fn of(key: &str) -> Option<Self> {
        let Some(window) = key.strip_prefix("window/") else {
            return instant(key).map(Self::Cron);
        };
        let mut parts = window.split('/');
        let (site, start, revision) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self::Window(
            site.to_owned(),
            instant(start)?,
            revision.parse().ok()?,
        ))
    }
}

impl std::fmt::Display for FireKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Fire {
    /// A time of a schedule.
    pub fn cron(due: Timestamp) -> Self {
        Self {
            key: FireKey(rfc3339(due)),
            due,
            window: None,
            cause: Cause::Cron,
        }
    }

    /// A window that has closed; it is due at its end.
    pub fn window(window: Window) -> Self {
        let Window {
            site,
            start,
            end,
            revision,
        } = &window;
        let key = FireKey(format!(
            "window/{}/{}/{revision}",
            site.path_segment(),
            rfc3339(*start)
        ));
        Self {
            key,
            due: *end,
            window: Some(window),
            cause: Cause::Window,
        }
    }

    /// A run that someone asked for at `now`; over a window, for jobs that run over windows.
    pub(crate) fn manual(now: Timestamp, window: Option<Window>) -> Self {
        let of_site = window.as_ref().map_or_else(String::new, |w| {
            format!("/{}", path_segment(w.site.as_str()))
        });
        let key = FireKey(format!("manual/{}{of_site}", rfc3339(now)));
        let due = window.as_ref().map_or(now, |window| window.end);
        Self {
            key,
            due,
            window,
            cause: Cause::Manual,
        }
    }

    /// The first instant whose readings the run must not see: they were not there when it was due.
    pub fn cutoff(&self) -> Timestamp {
        self.due
    }
}
