//! `forebay retention`: what `[retention]` would delete now.

use std::process::ExitCode;

use forebay_compactor::{Hold, would_delete};
use forebay_schemas::{SiteId, Timestamp};

use crate::{
    clock::{now, rfc3339},
    config::Config,
    out,
    place::Place,
    service::held,
    store::Store,
};

pub(crate) async fn run(place: &Place) -> anyhow::Result<ExitCode> {
    let config = Config::load(place)?;
    let lake = Store::of(&config).writer().await?;
    let levels = config.compactor.windows.rollups;
    let held = held(&config.jobs, &lake, &config.jobs_path()).await?;
    for Hold { site, why, .. } in &held {
        let site = site.as_ref().map_or("every site", SiteId::as_str);
        eprintln!("{site}: readings are kept whatever their age for {why}");
    }
    let sites = would_delete(&lake, &config.retention, levels, &held, now()?).await?;
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
    // What waits is not counted: it would be read for that alone.
    eprintln!(
        "limits are whole UTC days, or hours for what is kept less than 10 days; readings wait until the windows of their day are closed"
    );
    Ok(ExitCode::SUCCESS)
}
