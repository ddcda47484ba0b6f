//! How readings go into appends: what came in one message stays in one record, with its receipt (E1).

use forebay_schemas::{Reading, Status};
use forebay_stream::OpenReceipt;

/// Readings of one lane that stay in one record, with their receipt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AppendUnit {
    pub(crate) readings: Vec<Reading>,
    /// None where nothing is sent again.
    pub(crate) receipt: Option<OpenReceipt>,
}

impl AppendUnit {
    /// The unit in two, the receipt with the last reading: a crash in between doubles the first part, and loses nothing.
    fn split(mut self, at: usize) -> (Self, Self) {
        let rest = self.readings.split_off(at);
        (
            Self {
                readings: self.readings,
                receipt: None,
            },
            Self {
                readings: rest,
                receipt: self.receipt,
            },
        )
    }
}

/// One append to a lane's spool.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SpoolAppend(Vec<AppendUnit>);

impl SpoolAppend {
    pub(crate) fn readings(&self) -> Vec<Reading> {
        self.0
            .iter()
            .flat_map(|unit| unit.readings.iter().cloned())
            .collect()
    }

    pub(crate) fn receipts(&self) -> Vec<OpenReceipt> {
        self.0
            .iter()
            .filter_map(|unit| unit.receipt.clone())
            .collect()
    }

    /// Bad readings in the place of these; `None` if none of them has a value to give up.
    pub(crate) fn without_values(mut self, reason: &str) -> Option<Self> {
        let mut readings = self
            .0
            .iter_mut()
            .flat_map(|unit| &mut unit.readings)
            .peekable();
        readings.peek()?;
        for reading in readings {
            reading.value.take()?;
            reading.status = Status::bad(reading.status.code, reason);
        }
        Some(self)
    }

    /// Two smaller appends, cut between units where there are several; `None` for a single reading.
    pub(crate) fn halves(mut self) -> Result<[Self; 2], Self> {
        if self.0.len() > 1 {
            let tail = self.0.split_off(self.0.len() / 2);
            return Ok([self, Self(tail)]);
        }
        match self.0.pop() {
            Some(unit) if unit.readings.len() > 1 => {
                let at = unit.readings.len() / 2;
                let (head, tail) = unit.split(at);
                Ok([Self(vec![head]), Self(vec![tail])])
            }
            single => Err(Self(single.into_iter().collect())),
        }
    }
}

/// Appends of at most `readings_max` readings each. A unit is cut only where it is larger than that on its own.
pub(crate) fn appends(units: Vec<AppendUnit>, readings_max: usize) -> Vec<SpoolAppend> {
    let mut appends = Vec::new();
    let (mut append, mut count) = (Vec::new(), 0);
    for mut unit in units {
        if count > 0 && count + unit.readings.len() > readings_max {
            appends.push(SpoolAppend(std::mem::take(&mut append)));
            count = 0;
        }
        while unit.readings.len() > readings_max {
            let (head, tail) = unit.split(readings_max);
            appends.push(SpoolAppend(vec![head]));
            unit = tail;
        }
        count += unit.readings.len();
        append.push(unit);
    }
    if count > 0 {
        appends.push(SpoolAppend(append));
    }
    appends
}
