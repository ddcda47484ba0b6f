//! What a process can be.

use std::path::Path;

use clap::ValueEnum;
use forebay_config::ConfigErrors;

use crate::config::Config;

#[cfg(feature = "lake")]
const NOTHING_TO_RUN: &str = "no [[connector]], [stream], [[job]], [[alert]] or [serve] is configured: there is nothing to run";
#[cfg(not(feature = "lake"))]
const NOTHING_TO_RUN: &str = "no [[connector]] or [[alert]] is configured: there is nothing to run in a build for the edge alone";

/// One part of the product; each runs once per data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Role {
    /// Connectors, steps, spool; publishing where there is a Kafka.
    Edge,
    /// From the stream into the lake.
    #[cfg(feature = "lake")]
    Compactor,
    /// Scheduled jobs.
    #[cfg(feature = "lake")]
    Jobs,
    /// Rules over all of that, and routes to people.
    Alerts,
    /// SQL for PostgreSQL's clients and over HTTP.
    #[cfg(feature = "lake")]
    Serve,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            #[cfg(feature = "lake")]
            Self::Compactor => "compactor",
            #[cfg(feature = "lake")]
            Self::Jobs => "jobs",
            Self::Alerts => "alerts",
            #[cfg(feature = "lake")]
            Self::Serve => "serve",
        }
    }

    /// Every role that the file configures. Where the spool is the stream, whoever has connectors must also compact.
    ///
    /// # Errors
    /// A file that configures none is no configuration of a gateway.
    pub(crate) fn configured(config: &Config, file: &Path) -> Result<Vec<Self>, ConfigErrors> {
        let mut roles = Vec::new();
        if !config.sources.is_empty() {
            roles.push(Self::Edge);
        }
        #[cfg(feature = "lake")]
        {
            if !config.sources.is_empty() || config.stream.is_some() {
                roles.push(Self::Compactor);
            }
            if !config.jobs.is_empty() {
                roles.push(Self::Jobs);
            }
            if config.serve.is_some() {
                roles.push(Self::Serve);
            }
        }
        if !config.alerts.rules.is_empty() {
            roles.push(Self::Alerts);
        }
        if roles.is_empty() {
            return Err(ConfigErrors::of_file(file, NOTHING_TO_RUN));
        }
        Ok(roles)
    }
}
