//! The view of the windows that wait, where the compactor that closes them runs in this process: it keeps them in memory.

use std::{fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use datafusion::{common::Result, datasource::MemTable, error::DataFusionError};
use forebay_schemas::Timestamp;

/// The view's name.
pub(crate) const WINDOWS_WAITING: &str = "windows_waiting";

/// A window that is over by the clock and still open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingWindow {
    /// Its site.
    pub site: String,
    /// When it begins.
    pub window_start: Timestamp,
    /// When it ended.
    pub window_end: Timestamp,
    /// What it waits for, in words.
    pub held_by: String,
    /// The device that it waits for, if it is one.
    pub device: Option<String>,
    /// Since when it has waited for that.
    pub since: Timestamp,
}

/// Asks a compactor for the windows that wait.
#[derive(Clone)]
pub struct WaitingWindows(Arc<dyn Fn() -> Vec<WaitingWindow> + Send + Sync>);

impl WaitingWindows {
    /// From what answers with them; it is asked by each statement that names the view, and may not block.
    pub fn new(asked: impl Fn() -> Vec<WaitingWindow> + Send + Sync + 'static) -> Self {
        Self(Arc::new(asked))
    }

    /// The view's rows now.
    pub(crate) fn rows(&self) -> Result<Arc<MemTable>> {
        let windows = (self.0)();
        let times = |of: fn(&WaitingWindow) -> Timestamp| -> ArrayRef {
            let micros = windows.iter().map(|window| of(window).micros());
            Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
        };
        let texts = |of: fn(&WaitingWindow) -> Option<&str>| -> ArrayRef {
            Arc::new(StringArray::from_iter(windows.iter().map(of)))
        };
        let columns = vec![
            texts(|window| Some(&window.site)),
            times(|window| window.window_start),
            times(|window| window.window_end),
            texts(|window| window.device.as_deref()),
            texts(|window| Some(&window.held_by)),
            times(|window| window.since),
        ];
        let batch =
            RecordBatch::try_new(waiting_schema(), columns).map_err(DataFusionError::from)?;
        Ok(Arc::new(MemTable::try_new(
            waiting_schema(),
            vec![vec![batch]],
        )?))
    }
}

impl fmt::Debug for WaitingWindows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WaitingWindows").finish_non_exhaustive()
    }
}

/// The view's columns.
pub(crate) fn waiting_schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let field = |name: &str, of: &DataType| Field::new(name, of.clone(), true);
    Arc::new(Schema::new(vec![
        field("site", &DataType::Utf8),
        field("window_start", &time),
        field("window_end", &time),
        field("device", &DataType::Utf8),
        field("held_by", &DataType::Utf8),
        field("since", &time),
    ]))
}
