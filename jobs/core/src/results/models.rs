//! Trained models and how well they do: rows of `models` and `backtests`.

use forebay_schemas::{
    DeviceId, SiteId, TagName, Timestamp,
    table::{BACKTESTS, MODELS, Table},
};

use super::columns::{Cell, Row};

/// Where a model stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModelState {
    /// Its job uses it.
    Champion,
    /// It may take over where its back-test beats the champion's.
    Challenger,
    /// It is kept for the record.
    Retired,
}

impl ModelState {
    const ALL: [Self; 3] = [Self::Champion, Self::Challenger, Self::Retired];

    /// As tables have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Champion => "champion",
            Self::Challenger => "challenger",
            Self::Retired => "retired",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// One change of a trained model; of rows with one (job, version, site, device) the latest counts.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRow {
    /// Names the model within its job; results that it makes carry it.
    pub version: String,
    /// The site that it is for; `None`: all of the job's.
    pub site: Option<SiteId>,
    /// The device that it is for; `None`: all of the job's.
    pub device: Option<DeviceId>,
    /// The fire that trained it: [`RunContext::cutoff`](crate::RunContext::cutoff).
    pub trained_at: Timestamp,
    /// The first instant of the readings that it was trained on.
    pub train_from: Timestamp,
    /// The first instant after them.
    pub train_to: Timestamp,
    /// No reading from this instant on was used, not for choosing it either.
    pub data_cutoff: Timestamp,
    /// Its back-test in short, as a JSON object.
    pub metrics: String,
    /// Where it stands.
    pub state: ModelState,
    /// When this row was made: [`RunContext::now`](crate::RunContext::now).
    pub changed_at: Timestamp,
    /// The object that holds its bytes; `None` for a model without any.
    pub object: Option<String>,
}

/// One metric of a model over readings that it was not trained on, beside the same metric of a named baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct BacktestRow {
    /// The model.
    pub version: String,
    /// `None`: over all sites of the job.
    pub site: Option<SiteId>,
    /// `None`: over all devices of the job.
    pub device: Option<DeviceId>,
    /// `None`: over all tags of the job.
    pub tag: Option<TagName>,
    /// What is measured, in the field's term: `mape`, `rmse`, `coverage`, `rcrps`.
    pub metric: String,
    /// The model's.
    pub value: f64,
    /// The baseline's, where there is one.
    pub baseline: Option<f64>,
    /// What the baseline is called, such as `seasonal_naive`.
    pub baseline_name: Option<String>,
    /// Over how many judged values.
    pub n: u64,
    /// The first instant that was judged.
    pub from_time: Timestamp,
    /// The first instant after what was judged.
    pub to_time: Timestamp,
    /// Which part of it, such as `hour 17`; `None`: all.
    pub segment: Option<String>,
}

impl Row for ModelRow {
    const TABLE: &'static Table = &MODELS;

    fn cell(&self, column: &str) -> Cell<'_> {
        match column {
            "version" => Cell::Text(Some(&self.version)),
            "site" => Cell::Text(self.site.as_ref().map(SiteId::as_str)),
            "device" => Cell::Text(self.device.as_ref().map(DeviceId::as_str)),
            "trained_at" => Cell::Time(self.trained_at),
            "train_from" => Cell::Time(self.train_from),
            "train_to" => Cell::Time(self.train_to),
            "data_cutoff" => Cell::Time(self.data_cutoff),
            "metrics" => Cell::Text(Some(&self.metrics)),
            "state" => Cell::Text(Some(self.state.name())),
            "changed_at" => Cell::Time(self.changed_at),
            "object" => Cell::Text(self.object.as_deref()),
            _ => Cell::Unknown,
        }
    }
}

impl Row for BacktestRow {
    const TABLE: &'static Table = &BACKTESTS;

    fn cell(&self, column: &str) -> Cell<'_> {
        match column {
            "version" => Cell::Text(Some(&self.version)),
            "site" => Cell::Text(self.site.as_ref().map(SiteId::as_str)),
            "device" => Cell::Text(self.device.as_ref().map(DeviceId::as_str)),
            "tag" => Cell::Text(self.tag.as_ref().map(TagName::as_str)),
            "metric" => Cell::Text(Some(&self.metric)),
            "value" => Cell::Double(Some(self.value)),
            "baseline" => Cell::Double(self.baseline),
            "baseline_name" => Cell::Text(self.baseline_name.as_deref()),
            "n" => Cell::Long(i64::try_from(self.n).ok()),
            "from_time" => Cell::Time(self.from_time),
            "to_time" => Cell::Time(self.to_time),
            "segment" => Cell::Text(self.segment.as_deref()),
            _ => Cell::Unknown,
        }
    }
}
