//! The series beside the load: holidays, temperature, regressors.

use std::collections::BTreeMap;

use forebay_demand_model::{Known, Step};
use forebay_jobs::{Bucket, JobError, RunContext, SeriesKey, SeriesPattern};
use forebay_schemas::Timestamp;

use super::GridDemand;

/// The name of a series beside the load.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Beside {
    /// `None`: the device of the load.
    device: Option<String>,
    tag: String,
    /// Whether its readings after the fire may be used.
    ahead: bool,
}

impl Beside {
    /// Of `tag` or `device/tag`; it is known ahead if it stands among `known_ahead` as it is written here.
    pub(super) fn new(name: &str, known_ahead: &[String]) -> Self {
        let (device, tag) = match name.split_once('/') {
            Some((device, tag)) => (Some(device.to_owned()), tag),
            None => (None, name),
        };
        Self {
            device,
            tag: tag.to_owned(),
            ahead: known_ahead.iter().any(|known| known == name),
        }
    }

    fn device<'a>(&'a self, load: &'a SeriesKey) -> &'a str {
        self.device.as_deref().unwrap_or(load.device.as_str())
    }
}

/// Which stretch of time a run reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    pub(super) from: Timestamp,
    /// The step of the cutoff.
    pub(super) now: i64,
    /// Where the horizon ends.
    pub(super) to: Timestamp,
}

/// The series beside the loads of one run; one that many loads share is read once.
#[derive(Default)]
pub(super) struct BesideReader {
    shared: BTreeMap<(String, Beside), Known>,
}

impl BesideReader {
    /// The steps of a series beside a load: those before the fire, and those after it where they are known ahead.
    pub(super) async fn read(
        &mut self,
        job: &GridDemand,
        context: &RunContext,
        load: &SeriesKey,
        beside: &Beside,
        stretch: Stretch,
    ) -> Result<Known, JobError> {
        let shared = (load.site.as_str().to_owned(), beside.clone());
        if let Some(known) = self.shared.get(&shared) {
            return Ok(known.clone());
        }
        let device = beside.device(load);
        let pattern = exactly(device, &beside.tag);
        let wanted = |key: &SeriesKey| {
            key.site == load.site && key.device.as_str() == device && key.tag.as_str() == beside.tag
        };
        let past = context.buckets(&pattern, stretch.from, job.step).await?;
        let past = past.into_iter().find(|(key, _)| wanted(key));
        let mut steps = steps(past.map(|(_, buckets)| buckets).unwrap_or_default());
        steps.retain(|step| step.index < stretch.now);
        if beside.ahead {
            let coming = context
                .buckets_ahead(&[pattern], stretch.to, job.step)
                .await?;
            let coming = coming.into_iter().find(|(key, _)| wanted(key));
            steps.extend(self::steps(
                coming.map(|(_, buckets)| buckets).unwrap_or_default(),
            ));
        }
        let known = Known {
            steps,
            ahead: beside.ahead,
        };
        if beside.device.is_some() {
            self.shared.insert(shared, known.clone());
        }
        Ok(known)
    }
}

/// The pattern of one series; a name with `*` or `?` may fit others too.
pub(super) fn exactly(device: &str, tag: &str) -> SeriesPattern {
    SeriesPattern {
        devices: vec![device.to_owned()],
        tags: vec![tag.to_owned()],
    }
}

pub(super) fn steps(buckets: Vec<Bucket>) -> Vec<Step> {
    let step = |Bucket { index, mean }: Bucket| Step { index, mean };
    buckets.into_iter().map(step).collect()
}
