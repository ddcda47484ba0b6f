//! `forebay retention`: what `[retention]` would delete now.

use std::process::ExitCode;

use forebay_compactor::would_delete;
use forebay_schemas::Timestamp;

use crate::{
    clock::{now, rfc3339},
    config::Config,
    out,
    place::Place,
    store::Store,
};

pub(crate) async fn run(place: &Place) -> anyhow::Result<ExitCode> {
    let config = Config::load(place)?;
    let lake = Store::of(&config).writer().await?;
    let levels = config.compactor.windows.rollups;
    let sites = would_delete(&lake, &config.retention, levels, &[], now()?).await?;
    for of in &sites {
        for deletion in &of.expired.deletions {
            let before = Timestamp::from_micros(deletion.before).map_or_else(String::new, rfc3339);
            out::print(format!(
                "{} {}: {} rows older than {before} by the rule {:?}\n",
                of.table, of.site, deletion.rows, deletion.rule
            ))?;
        }
        eprintln!(
            "{} {}: {} files would be removed, {} written again",
            of.table, of.site, of.expired.removed, of.expired.rewritten
        );
    }
    if sites.is_empty() {
        eprintln!("nothing is old enough");
    }
    Ok(ExitCode::SUCCESS)
}
