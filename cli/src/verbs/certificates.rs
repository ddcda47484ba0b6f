//! `forebay certificates`: which certificates of OPC UA servers are trusted.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::{config::Config, out, place::Place};

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Certificates of OPC UA servers that were refused because nobody has approved them.
    List,
    /// Trust one from now on.
    Approve {
        /// Its thumbprint, or the first 8 digits of it.
        thumbprint: String,
    },
}

pub(crate) fn run(place: &Place, verb: Verb) -> anyhow::Result<ExitCode> {
    let data_dir = Config::data_dir(place)?;
    match verb {
        Verb::List => {
            let refused = forebay_opcua::rejected(&data_dir).context("cannot list certificates")?;
            for certificate in refused {
                let (thumbprint, subject) = (certificate.thumbprint, certificate.subject);
                out::print(format!("{thumbprint}  {subject}\n"))?;
            }
        }
        Verb::Approve { thumbprint } => {
            for path in forebay_opcua::approve(&data_dir, &thumbprint)? {
                eprintln!("trusted from now on: {}", path.display());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
