//! How readings go into appends: what came in one message stays in one record, with its receipt (E1).

use forebay_schemas::{Reading, Status};
use forebay_stream::OpenReceipt;

/// Readings of one lane that become durable together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lot {
    pub(crate) readings: Vec<Reading>,
    /// None where nothing is sent again.
    pub(crate) receipt: Option<OpenReceipt>,
}

impl Lot {
    /// The lot in two, the receipt with the last reading: a crash in between doubles the first part, and loses nothing.
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

/// One append.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Piece(Vec<Lot>);

impl Piece {
    pub(crate) fn readings(&self) -> Vec<Reading> {
        self.0
            .iter()
            .flat_map(|lot| lot.readings.iter().cloned())
            .collect()
    }

    pub(crate) fn receipts(&self) -> Vec<OpenReceipt> {
        self.0
            .iter()
            .filter_map(|lot| lot.receipt.clone())
            .collect()
    }

    /// Bad readings in the place of these; `None` if none of them has a value to give up.
    pub(crate) fn without_values(mut self, reason: &str) -> Option<Self> {
        let mut readings = self
            .0
            .iter_mut()
            .flat_map(|lot| &mut lot.readings)
            .peekable();
        readings.peek()?;
        for reading in readings {
            reading.value.take()?;
            reading.status = Status::bad(reading.status.code, reason);
        }
        Some(self)
    }

    /// Two smaller pieces, cut between lots where there are several; `None` for a single reading.
    pub(crate) fn halves(mut self) -> Result<[Self; 2], Self> {
        if self.0.len() > 1 {
            let tail = self.0.split_off(self.0.len() / 2);
            return Ok([self, Self(tail)]);
        }
        match self.0.pop() {
            Some(lot) if lot.readings.len() > 1 => {
                let at = lot.readings.len() / 2;
                let (head, tail) = lot.split(at);
                Ok([Self(vec![head]), Self(vec![tail])])
            }
            single => Err(Self(single.into_iter().collect())),
        }
    }
}

/// Appends of at most `readings_max` readings each. A lot is cut only where it is larger than that by itself.
pub(crate) fn pieces(lots: Vec<Lot>, readings_max: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut piece, mut count) = (Vec::new(), 0);
    for mut lot in lots {
        if count > 0 && count + lot.readings.len() > readings_max {
            pieces.push(Piece(std::mem::take(&mut piece)));
            count = 0;
        }
        while lot.readings.len() > readings_max {
            let (head, tail) = lot.split(readings_max);
            pieces.push(Piece(vec![head]));
            lot = tail;
        }
        count += lot.readings.len();
        piece.push(lot);
    }
    if count > 0 {
        pieces.push(Piece(piece));
    }
    pieces
}
