//! The binary `forebay` while it answers queries, for as long as it is needed.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

/// Of the user who asks.
pub(crate) const PASSWORD: &str = "a password of the bench";

/// How long the role may take to open its port.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// The role `serve`; it ends with this value.
pub(crate) struct Served(Child);

impl Served {
    /// Starts the role on the folder of a lake and its `forebay.toml`, and waits for its port.
    pub(crate) async fn start(forebay: &Path, folder: &Path, port: u16) -> anyhow::Result<Self> {
        let log: PathBuf = folder.join("serve.txt");
        let program = Command::new(forebay)
            .args(["run", "--role", "serve", "--data-dir"])
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("{} cannot be started", forebay.display()))?;
        let mut served = Self(program);
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .is_err()
        {
            if served.0.try_wait()?.is_some() || begun.elapsed() > START_TIMEOUT {
                let said = fs::read_to_string(&log).unwrap_or_default();
                bail!("the port for queries does not open: {said}");
            }
            sleep(PAUSE).await;
        }
        Ok(served)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}
