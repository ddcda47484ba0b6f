//! The socket in the data folder by which verbs ask a running gateway: one JSON object a line, both ways.
//!
//! Whoever may use the data folder may ask; nothing that is asked changes a reading or a device.

mod answer;
mod request;
mod server;

use std::{
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value as Json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::UnixStream,
};

pub(crate) use request::{Request, Shown, TapRequest};
pub(crate) use server::Server;

/// The socket's name in the data folder.
const SOCKET: &str = "control.sock";

fn socket(data_dir: &Path) -> PathBuf {
    data_dir.join(SOCKET)
}

/// A running gateway's answers to one request.
pub(crate) struct Answers {
    lines: Lines<BufReader<UnixStream>>,
}

/// Asks the gateway that runs in this data folder.
///
/// # Errors
/// None runs there, or it is another release.
pub(crate) async fn ask(data_dir: &Path, request: &Request) -> anyhow::Result<Answers> {
    let path = socket(data_dir);
    let mut stream = UnixStream::connect(&path)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => anyhow!(
                "no `forebay run` with the edge role is running in {}",
                data_dir.display()
            ),
            _ => anyhow!(error).context(format!("cannot open {}", path.display())),
        })?;
    let mut line = request.to_json().to_string();
    line.push('\n');
    stream
        .write_all(line.as_bytes())
        .await
        .context("cannot ask the running gateway")?;
    Ok(Answers {
        lines: BufReader::new(stream).lines(),
    })
}

impl Answers {
    /// The next object; none at the end.
    ///
    /// # Errors
    /// What the gateway says is wrong.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Json>> {
        let line = self.lines.next_line().await;
        let Some(line) = line.context("the running gateway has gone")? else {
            return Ok(None);
        };
        let answer: Json = serde_json::from_str(&line)
            .with_context(|| format!("the running gateway answered {line:?}"))?;
        match answer.get("error").and_then(Json::as_str) {
            Some(error) => bail!("{error}"),
            None => Ok(Some(answer)),
        }
    }
}
