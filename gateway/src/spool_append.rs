//! How readings go into appends: what came in one message stays in one record, with its receipt (E1).

use std::sync::Arc;

use forebay_schemas::{Reading, Status};
use forebay_stream::OpenReceipt;

/// Readings of one lane that stay in one record, with their receipt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AppendUnit {
    pub(crate) readings: Vec<Reading>,
    /// None where nothing is sent again.
    pub(crate) receipt: Option<OpenReceipt>,
}

/// A unit of an append, whose readings stand behind those of the units before it.
#[derive(Debug, Clone, PartialEq)]
struct UnitEnd {
    count: usize,
    receipt: Option<OpenReceipt>,
}

/// One append to a lane's spool. Its readings are shared with the spool, so that it can be tried again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SpoolAppend {
    readings: Arc<Vec<Reading>>,
    units: Vec<UnitEnd>,
}

impl SpoolAppend {
    pub(crate) fn readings(&self) -> &Arc<Vec<Reading>> {
        &self.readings
    }

    pub(crate) fn receipts(&self) -> Vec<OpenReceipt> {
        let receipts = self.units.iter().filter_map(|unit| unit.receipt.clone());
        receipts.collect()
    }

    /// Bad readings in the place of these; `None` if none of them has a value to give up.
    pub(crate) fn without_values(mut self, reason: &str) -> Option<Self> {
        self.readings.first()?;
        for reading in Arc::make_mut(&mut self.readings) {
            reading.value.take()?;
            reading.status = Status::bad(reading.status.code, reason);
        }
        Some(self)
    }

    /// Two smaller appends, cut between units where there are several; `None` for a single reading. A unit that is cut leaves
    /// its receipt with its last reading: a crash in between doubles the first part, and loses nothing.
    pub(crate) fn halves(self) -> Result<[Self; 2], Self> {
        let (head, tail) = match &self.units[..] {
            [] => return Err(self),
            [unit] if unit.count < 2 => return Err(self),
            [unit] => cut(unit, unit.count / 2),
            units => {
                let (head, tail) = units.split_at(units.len() / 2);
                (head.to_vec(), tail.to_vec())
            }
        };
        let at: usize = head.iter().map(|unit| unit.count).sum();
        let mut readings = Arc::unwrap_or_clone(self.readings);
        let behind = readings.split_off(at);
        let of = |readings: Vec<Reading>, units| Self {
            readings: Arc::new(readings),
            units,
        };
        Ok([of(readings, head), of(behind, tail)])
    }

    fn is_empty(&self) -> bool {
        self.readings.is_empty()
    }
}

fn cut(unit: &UnitEnd, at: usize) -> (Vec<UnitEnd>, Vec<UnitEnd>) {
    let head = UnitEnd {
        count: at,
        receipt: None,
    };
    let tail = UnitEnd {
        count: unit.count - at,
        receipt: unit.receipt.clone(),
    };
    (vec![head], vec![tail])
}

/// Appends of at most `readings_max` readings each. A unit is cut only where it is larger than that on its own.
pub(crate) fn appends(units: Vec<AppendUnit>, readings_max: usize) -> Vec<SpoolAppend> {
    let mut appends = Vec::new();
    let mut filling = Filling::default();
    for AppendUnit {
        mut readings,
        receipt,
    } in units
    {
        if !filling.readings.is_empty() && filling.readings.len() + readings.len() > readings_max {
            appends.push(filling.take());
        }
        while readings.len() > readings_max {
            let rest = readings.split_off(readings_max);
            filling.push(readings, None);
            appends.push(filling.take());
            readings = rest;
        }
        filling.push(readings, receipt);
    }
    let last = filling.take();
    if !last.is_empty() {
        appends.push(last);
    }
    appends
}

/// An append to which units are added.
#[derive(Default)]
struct Filling {
    readings: Vec<Reading>,
    units: Vec<UnitEnd>,
}

impl Filling {
    fn push(&mut self, readings: Vec<Reading>, receipt: Option<OpenReceipt>) {
        self.units.push(UnitEnd {
            count: readings.len(),
            receipt,
        });
        self.readings.extend(readings);
    }

    fn take(&mut self) -> SpoolAppend {
        let Self { readings, units } = std::mem::take(self);
        SpoolAppend {
            readings: Arc::new(readings),
            units,
        }
    }
}
