//! The binary `forebay` while it answers queries, for as long as it is needed.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::Path,
    time::Duration,
};

use anyhow::bail;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::program::{Running, run_over};

/// Of the user who asks.
pub(crate) const PASSWORD: &str = "a password of the bench";

/// How long the role may take to open its port.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Starts the role `serve` on the folder of a lake and its `forebay.toml`, and waits for its port.
pub(crate) async fn serve(forebay: &Path, folder: &Path, port: u16) -> anyhow::Result<Running> {
    let mut running = run_over(forebay, folder, &["--role", "serve"])?;
    let begun = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .is_err()
    {
        running.check()?;
        if begun.elapsed() > START_TIMEOUT {
            bail!("the port for queries does not open: {}", running.said());
        }
        sleep(PAUSE).await;
    }
    Ok(running)
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}
