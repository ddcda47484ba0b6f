//! The second limit: rows to Parquet in clear, with the lake's own layout and encodings, on one thread.

use std::hint::black_box;

use forebay_lake::{
    PartitionRows,
    file::{FileLayout, Sealing, write_file},
    partition_rows,
};

use crate::{
    meter::{Cost, Meter},
    signals::{GATEWAYS, Plant},
};

/// Encodes the rows of so many readings, a file for each gateway.
pub(crate) fn measure(readings: u64) -> anyhow::Result<Cost> {
    let mut files = Vec::new();
    for gateway in 0..GATEWAYS {
        let plant = Plant::new(gateway)?;
        let batches: Vec<_> = (0..)
            .map_while(|number| plant.record(number, readings / GATEWAYS))
            .collect();
        files.extend(partition_rows(&batches)?);
    }
    files.first().map(write).transpose()?;
    let meter = Meter::start()?;
    let mut rows = 0;
    for file in &files {
        rows += write(file)?;
    }
    meter.stop(rows)
}

fn write(file: &PartitionRows) -> anyhow::Result<u64> {
    Ok(black_box(write_file(
        &file.rows,
        Sealing::clear(),
        &FileLayout::default(),
    )?)
    .rows)
}
