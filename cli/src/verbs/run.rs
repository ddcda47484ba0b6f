//! `forebay run`: every role that the file configures, until SIGINT or SIGTERM.

use std::{process::ExitCode, sync::Arc, time::Duration};

use forebay_gateway::shared_series;
use forebay_telemetry::Telemetry;
use tokio::signal::unix::Signal;

use crate::{
    config::Config,
    control::Server,
    metrics, notify,
    place::Place,
    registry,
    reload::{self, Reloader},
    role::Role,
    service::Service,
    signals::{hang_up, stop_on_signal},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these roles; every role that the file configures unless given.
    #[arg(long, value_enum, value_delimiter = ',')]
    role: Vec<Role>,
    /// Leave the configuration file unwatched: it is read again at SIGHUP and `forebay reload` alone.
    #[arg(long)]
    no_watch: bool,
}

pub(crate) async fn run(place: &Place, args: Args) -> anyhow::Result<ExitCode> {
    let file = place.file()?;
    let config = Config::load_aside(place).await?;
    let mut roles = match args.role.is_empty() {
        true => Role::configured(&config, file)?,
        false => args.role.clone(),
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
    let hang_up = hang_up()?;
    let (tables, data_dir) = (config.tables.clone(), config.gateway.data_dir.clone());
    let service = Service::open(config, &roles).await?;
    let watch = service.watch();
    metrics::register(&telemetry, &watch);
    match watch.control.clone() {
        Some(edge) => {
            let reloader = Arc::new(Reloader::new(place.clone(), edge.clone(), tables));
            let (of, stopping) = (reloader.clone(), stop.clone());
            tokio::spawn(
                async move { reload::watch(&of, hang_up, !args.no_watch, stopping).await },
            );
            match Server::open(&data_dir, edge, watch, reloader) {
                Ok(server) => drop(tokio::spawn(server.run(stop.clone()))),
                Err(error) => tracing::warn!(
                    error = format!("{error:#}"),
                    "the control socket is unavailable: devices, tap and reload do not work"
                ),
            }
        }
        None => drop(tokio::spawn(ignore(hang_up))),
    }
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

/// Without an edge there is nothing that a reload takes up.
async fn ignore(mut hang_up: Signal) {
    while hang_up.recv().await.is_some() {
        tracing::warn!(
            "SIGHUP ignored: only connectors are reloaded, restart the service to apply a change"
        );
    }
}
