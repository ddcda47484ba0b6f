//! Child processes that end with what holds them.

use std::{
    process::{Child, Command},
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::pace::{Watch, sleep};

/// How often it is looked whether a process has ended.
const LOOK: Duration = Duration::from_millis(100);

/// A process; killed when dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
    name: &'static str,
}

impl Process {
    pub(crate) fn spawn(name: &'static str, command: &mut Command) -> anyhow::Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        Ok(Self { child, name })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error once it has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("{} ended unexpectedly: {status}", self.name),
            None => Ok(()),
        }
    }

    /// SIGTERM; it has to end with 0.
    pub(crate) fn terminate(mut self, within: Duration) -> anyhow::Result<()> {
        let told = Command::new("kill")
            .args(["-TERM", &self.id().to_string()])
            .status()?;
        anyhow::ensure!(told.success(), "cannot signal {}", self.name);
        let watch = Watch::start();
        while watch.passed() < within {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("{} ended with {status}", self.name),
                None => sleep(LOOK),
            }
        }
        bail!(
            "{} has not ended within {} s of SIGTERM",
            self.name,
            within.as_secs()
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Neither can fail but where it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
