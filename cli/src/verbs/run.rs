//! `forebay run`: every role that the file configures, until SIGINT or SIGTERM.

use std::{process::ExitCode, time::Duration};

use forebay_gateway::shared_series;
use forebay_telemetry::Telemetry;

use crate::{
    config::Config, metrics, notify, place::Place, registry, role::Role, service::Service,
    signals::stop_on_signal,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these roles; every role that the file configures unless given.
    #[arg(long, value_enum, value_delimiter = ',')]
    role: Vec<Role>,
}

pub(crate) async fn run(place: &Place, args: Args) -> anyhow::Result<ExitCode> {
    let file = place.file()?;
    let config = Config::load(place)?;
    let mut roles = if args.role.is_empty() {
        Role::configured(&config, file)?
    } else {
        args.role
    };
    roles.sort();
    roles.dedup();
    let (id, site) = (config.gateway.id.clone(), config.gateway.site.clone());
    let settings = config.telemetry.clone();
    let wanted = std::env::var("FOREBAY_LOG").unwrap_or_else(|_| settings.log.clone());
    let filter = format!("{wanted},{}", registry::QUIET);
    let telemetry = Telemetry::start(&settings, id.as_str(), site.as_str(), Some(&filter))?;
    for shared in shared_series(&config.sources) {
        tracing::warn!("{shared}");
    }
    let stop = stop_on_signal()?;
    let service = Service::open(config, &roles).await?;
    metrics::register(&telemetry, &service.watch());
    let _page = telemetry.scrape(&settings, stop.clone()).await?;
    let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    tracing::info!(gateway = %id, %site, roles = names.join(","), "running");
    notify::ready();
    let ended = service.run(stop, Duration::ZERO).await;
    if ended.is_ok() {
        tracing::info!("stopped");
    }
    tokio::task::spawn_blocking(move || telemetry.stop()).await?;
    ended.map(|()| ExitCode::SUCCESS)
}
