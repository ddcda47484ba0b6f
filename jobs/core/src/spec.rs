//! `[[job]]`: the keys that are common to all kinds, and the order in which jobs depend on each other.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc, time::Duration};

use forebay_config::{Describe, Table, nearest};

use crate::{
    Job, JobKind, JobLimits, SchedulerError, Trigger,
    keys::{self, CatchUp, OnLate},
    trigger::Configured,
};

/// Longest name of a job, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// The name of a job: unique, and part of its results' identity. Another name is another job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobName(Arc<str>);

impl JobName {
    /// Letters, digits, `-`, `_` and `.`, at most 128 of them.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn new(text: &str) -> Result<Self, String> {
        let odd = text
            .chars()
            .find(|c| !(c.is_alphanumeric() || "-_.".contains(*c)));
        match odd {
            _ if text.is_empty() || text.len() > NAME_BYTES_MAX => Err(format!(
                "a job's name has 1 to {NAME_BYTES_MAX} bytes, {text:?} has {}",
                text.len()
            )),
            Some(odd) => Err(format!(
                "{odd:?} in {text:?}: a job's name is made of letters, digits, '-', '_' and '.'"
            )),
            None => Ok(Self(text.into())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The keys that are common to all kinds.
#[derive(Debug, Clone)]
pub struct JobSpec {
    /// Its name.
    pub name: JobName,
    /// Its kind.
    pub kind: &'static str,
    /// What makes it run.
    pub trigger: Trigger,
    /// The jobs whose success for the same occasion it waits for.
    pub after: Vec<JobName>,
    /// What it does about late data.
    pub on_late: OnLate,
    /// Least completeness of the windows that it runs over.
    pub completeness_min: Option<f64>,
    /// What it does about fires that came while nobody ran jobs.
    pub catch_up: CatchUp,
    /// The higher goes first.
    pub priority: i64,
    /// How often a run is tried again after it has failed.
    pub retries: u32,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// How far back before its window a run may read.
    pub holds: Duration,
}

impl JobSpec {
    /// The time zone of its schedule; UTC without one.
    pub fn zone_name(&self) -> &str {
        match &self.trigger {
            Trigger::Cron(schedule) => schedule.zone_name(),
            _ => "UTC",
        }
    }
}

/// A job and when it runs.
pub struct ScheduledJob {
    /// When.
    pub spec: JobSpec,
    /// What.
    pub job: Box<dyn Job>,
}

/// Jobs with unique names, each behind those that it waits for.
#[derive(Default)]
pub struct Jobs {
    jobs: Vec<ScheduledJob>,
    limits: JobLimits,
}

impl Jobs {
    /// In an order in which each stands behind those that it waits for.
    pub fn iter(&self) -> impl Iterator<Item = &ScheduledJob> {
        self.jobs.iter()
    }

    /// The job of this name.
    pub fn find(&self, name: &str) -> Option<&ScheduledJob> {
        self.jobs.iter().find(|job| job.spec.name.as_str() == name)
    }

    /// The job called so.
    ///
    /// # Errors
    /// [`SchedulerError::UnknownJob`], with the nearest name.
    pub fn named(&self, name: &str) -> Result<&ScheduledJob, SchedulerError> {
        self.find(name).ok_or_else(|| {
            let near = nearest(name, self.iter().map(|job| job.spec.name.as_str()));
            SchedulerError::UnknownJob {
                name: name.to_owned(),
                near,
            }
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// What their runs may take.
    pub fn limits(&self) -> &JobLimits {
        &self.limits
    }

    /// Lets queries that outgrow their memory spill into this folder.
    pub fn spill_to(&mut self, folder: &Path) {
        self.limits.spill_to(folder);
    }
}

/// Reads `[jobs]` and every `[[job]]` of a configuration's root; `kinds` is the registry.
///
/// Notes what is wrong, and answers `None` then.
pub fn configure(root: &mut Table<'_>, kinds: &[&dyn JobKind]) -> Option<Jobs> {
    let limits = JobLimits::read(root);
    let tables = root.tables(&keys::JOB);
    let found = tables.len();
    let mut read: Vec<Read<'_>> = tables
        .into_iter()
        .filter_map(|table| read_one(table, kinds))
        .collect();
    let complete = read.len() == found;
    let unique = names_are_unique(&read);
    let known = after_is_known(&read);
    let order = order(&read);
    let triggered = order
        .as_ref()
        .is_some_and(|order| inherit_triggers(&mut read, order));
    let mut jobs: Vec<Option<ScheduledJob>> = read.into_iter().map(Read::finish).collect();
    if !(complete && unique && known && triggered) {
        return None;
    }
    let ordered: Option<Vec<ScheduledJob>> = order?
        .into_iter()
        .map(|i| jobs.get_mut(i).and_then(Option::take))
        .collect();
    Some(Jobs {
        jobs: ordered?,
        limits: limits?,
    })
}

/// A `[[job]]` whose own keys have been read.
struct Read<'d> {
    table: Table<'d>,
    name: JobName,
    kind: &'static str,
    trigger: Option<Trigger>,
    after: Vec<JobName>,
    on_late: OnLate,
    completeness_min: Option<f64>,
    catch_up: CatchUp,
    priority: i64,
    retries: u32,
    timeout: Duration,
    holds: Duration,
    job: Box<dyn Job>,
}

impl Read<'_> {
    fn finish(self) -> Option<ScheduledJob> {
        let Self {
            table,
            name,
            kind,
            trigger,
            after,
            on_late,
            completeness_min,
            catch_up,
            priority,
            retries,
            timeout,
            holds,
            job,
        } = self;
        table.finish();
        let spec = JobSpec {
            name,
            kind,
            trigger: trigger?,
            after,
            on_late,
            completeness_min,
            catch_up,
            priority,
            retries,
            timeout,
            holds,
        };
        Some(ScheduledJob { spec, job })
    }
}

fn read_one<'d>(mut table: Table<'d>, kinds: &[&dyn JobKind]) -> Option<Read<'d>> {
    let name = table.read(&keys::NAME);
    let name = name.and_then(|name| noted(&table, &keys::NAME, JobName::new(&name)));
    let words: Vec<(&str, &dyn JobKind)> = kinds.iter().map(|kind| (kind.name(), *kind)).collect();
    let kind = if table.has(&keys::KIND) {
        table.one_of(&keys::KIND, &words)
    } else {
        table.read(&keys::KIND);
        None
    };
    let trigger = Trigger::read(&mut table, kind);
    let completeness_min = completeness_min(&mut table, trigger.as_ref());
    let catch_up = table.read(&keys::CATCH_UP);
    let priority = table.read(&keys::PRIORITY);
    let after = table.read(&keys::AFTER);
    let after: Option<Vec<JobName>> = after
        .iter()
        .map(|other| noted(&table, &keys::AFTER, JobName::new(other)))
        .collect();
    let on_late = table.read(&keys::ON_LATE);
    let retries = table.read(&keys::RETRIES);
    let timeout = table.read(&keys::TIMEOUT);
    if timeout.is_zero() {
        table.problem(
            &keys::TIMEOUT,
            "a job needs time to run: \"10m\" is the default",
        );
    }
    let holds = table.read(&keys::HOLDS);
    // One engine stands so far; the key is in the contract, and another word is refused with the list of what there is.
    table.read(&keys::ENGINE);
    let Some(kind) = kind else {
        // Which keys belong to an unknown kind nobody knows: that it is unknown is the one error to report.
        return None;
    };
    table.also(kind.keys());
    let job = kind.configure(&mut table);
    let (Some(name), Some(trigger), Some(after), Some(job)) = (name, trigger, after, job) else {
        table.finish();
        return None;
    };
    Some(Read {
        table,
        name,
        kind: kind.name(),
        trigger: match trigger {
            Configured::Own(trigger) => Some(trigger),
            Configured::Inherited => None,
        },
        after,
        on_late,
        completeness_min,
        catch_up,
        priority,
        retries,
        timeout,
        holds,
        job,
    })
}

fn noted<T>(table: &Table<'_>, key: &dyn Describe, read: Result<T, String>) -> Option<T> {
    read.map_err(|message| table.problem(key, message)).ok()
}

/// A share that only a job over windows may have.
fn completeness_min(table: &mut Table<'_>, trigger: Option<&Configured>) -> Option<f64> {
    let least = table.read(&keys::COMPLETENESS_MIN)?;
    if !(0.0..=1.0).contains(&least) {
        table.problem(
            &keys::COMPLETENESS_MIN,
            format!("{least} is no share from 0 to 1"),
        );
    }
    if let Some(Configured::Own(trigger)) = trigger
        && !matches!(trigger, Trigger::WindowClosed)
    {
        table.problem(
            &keys::COMPLETENESS_MIN,
            "only on = \"window_closed\" gives a job windows",
        );
    }
    Some(least)
}

fn names_are_unique(read: &[Read<'_>]) -> bool {
    let mut seen = BTreeMap::new();
    let mut unique = true;
    for one in read {
        if seen.insert(&one.name, ()).is_some() {
            one.table.problem(
                &keys::NAME,
                format!("there is another job {:?}", one.name.as_str()),
            );
            unique = false;
        }
    }
    unique
}

fn after_is_known(read: &[Read<'_>]) -> bool {
    let mut known = true;
    for one in read {
        let after = one
            .after
            .iter()
            .map(|other| (&keys::AFTER as &dyn Describe, other));
        let warning = match &one.trigger {
            Some(Trigger::Alert(other)) => Some((&keys::ON as &dyn Describe, other)),
            _ => None,
        };
        for (key, other) in after.chain(warning) {
            if !read.iter().any(|r| r.name == *other) {
                let near = nearest(other.as_str(), read.iter().map(|r| r.name.as_str()));
                one.table
                    .problem(key, format!("there is no job {:?}{near}", other.as_str()));
                known = false;
            }
        }
    }
    known
}

/// Indices in an order in which each job stands behind those that it waits for; `None`, noted, where they wait in a circle.
fn order(read: &[Read<'_>]) -> Option<Vec<usize>> {
    let mut placed: Vec<usize> = Vec::new();
    while placed.len() < read.len() {
        let is_placed = |name: &JobName| placed.iter().any(|i: &usize| read[*i].name == *name);
        let unknown = |name: &JobName| !read.iter().any(|r| r.name == *name);
        let next = (0..read.len()).find(|i| {
            !placed.contains(i) && read[*i].after.iter().all(|a| is_placed(a) || unknown(a))
        });
        let Some(next) = next else {
            let first = (0..read.len()).find(|i| !placed.contains(i))?;
            let circle = circle(read, first);
            read[first].table.problem(
                &keys::AFTER,
                format!("jobs wait for each other in a circle: {circle}"),
            );
            return None;
        };
        placed.push(next);
    }
    Some(placed)
}

/// Follows `after` from a job that cannot be placed until a job comes again.
fn circle(read: &[Read<'_>], from: usize) -> String {
    let mut way: Vec<&JobName> = vec![&read[from].name];
    let mut at = from;
    loop {
        // A job that cannot be placed waits for another that cannot be placed; those lead into the circle.
        let onward = read[at].after.iter().find_map(|a| {
            read.iter()
                .position(|r| r.name == *a && !r.after.is_empty())
        });
        let Some(next) = onward else { break };
        let name = &read[next].name;
        if let Some(start) = way.iter().position(|n| *n == name) {
            way.drain(..start);
            way.push(name);
            break;
        }
        way.push(name);
        at = next;
    }
    way.iter()
        .map(|name| name.as_str())
        .collect::<Vec<_>>()
        .join(" after ")
}

/// A job without a trigger of its own fires with the first job that it waits for.
fn inherit_triggers(read: &mut [Read<'_>], order: &[usize]) -> bool {
    for i in order {
        if read[*i].trigger.is_none() {
            let first = read[*i].after.first().cloned();
            let Some(trigger) =
                first.and_then(|f| read.iter().find(|r| r.name == f)?.trigger.clone())
            else {
                // An unknown job: noted already.
                return false;
            };
            read[*i].trigger = Some(trigger);
        }
    }
    true
}
