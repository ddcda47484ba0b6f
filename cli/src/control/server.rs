//! The socket's end in the running gateway.

use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use forebay_gateway::{EdgeControl, Tap, Tapped, Unseen};
use globset::GlobSet;
use serde_json::Value as Json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    select,
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    answer::{of_changes, of_devices, of_error, of_tapped},
    request::{Request, TapRequest},
    socket,
};
use crate::{reload::Reloader, service::Watch};

/// Who may ask at the same time; others wait.
const AT_ONCE: usize = 8;
/// A request may be so long.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// Who opens the socket is to ask within this.
const ASK_MAX: Duration = Duration::from_secs(5);
/// Who looks and reads nothing for so long has lost its seat.
const READ_MAX: Duration = Duration::from_secs(20);
/// Over how long rates are measured.
const RATE_OVER: Duration = Duration::from_secs(1);

/// Answers verbs until it is stopped.
pub(crate) struct Server {
    edge: EdgeControl,
    watch: Watch,
    reloader: Arc<Reloader>,
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// # Errors
    /// The socket cannot be made, such as where the data folder's path is too long for one (107 bytes).
    pub(crate) fn open(
        data_dir: &std::path::Path,
        edge: EdgeControl,
        watch: Watch,
        reloader: Arc<Reloader>,
    ) -> anyhow::Result<Self> {
        let path = socket(data_dir);
        // The role's lock is held: what is there was left by a process that has gone.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let listener = UnixListener::bind(&path)
            .with_context(|| format!("cannot listen on {}", path.display()))?;
        rustix::fs::chmod(&path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
        Ok(Self {
            edge,
            watch,
            reloader,
            listener,
            path,
        })
    }

    /// Answers until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let seats = Arc::new(Semaphore::new(AT_ONCE));
        let server = Arc::new(self);
        loop {
            let Ok(seat) = seats.clone().acquire_owned().await else {
                break;
            };
            let accepted = select! {
                () = stop.cancelled() => break,
                accepted = server.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "accepting a verb's question failed, retrying");
                    sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let (server, stop) = (server.clone(), stop.clone());
            tokio::spawn(async move {
                // Who asked and has gone needs no answer.
                select! {
                    () = stop.cancelled() => {}
                    _ = server.serve(stream) => {}
                }
                drop(seat);
            });
        }
        if let Err(error) = fs::remove_file(&server.path) {
            warn!(%error, "removing the control socket failed");
        }
    }

    async fn serve(&self, stream: UnixStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        let asked = (&mut stream).take(REQUEST_BYTES_MAX);
        let mut asked = BufReader::new(asked);
        match timeout(ASK_MAX, asked.read_line(&mut line)).await {
            Ok(read) => read?,
            Err(_) => return Ok(()),
        };
        match Request::parse(&line) {
            Err(error) => say(&mut stream, of_error(&error)).await,
            Ok(Request::Devices) => self.devices(&mut stream).await,
            Ok(Request::Tap(tap)) => show(&mut stream, &tap, &self.edge.tap()).await,
            Ok(Request::Reload) => {
                let answer = match self.reloader.reload().await {
                    Ok(outcome) => of_changes(&outcome.changes, &outcome.at_next_start),
                    Err(error) => of_error(&format!("{error:#}")),
                };
                say(&mut stream, answer).await
            }
        }
    }

    async fn devices(&self, stream: &mut BufReader<UnixStream>) -> io::Result<()> {
        let before = self.received();
        sleep(RATE_OVER).await;
        let after = self.received();
        let Some(reports) = self.edge.devices().await else {
            return say(stream, of_error("the edge has stopped")).await;
        };
        let rate = |connector: &str| {
            let of = |counts: &[(String, u64)]| {
                let found = counts.iter().find(|(name, _)| name == connector);
                found.map(|(_, count)| *count)
            };
            let samples = of(&after)?.saturating_sub(of(&before)?);
            Some(samples as f64 / RATE_OVER.as_secs_f64())
        };
        for line in of_devices(&reports, &self.watch.edge.sources(), rate) {
            say(stream, line).await?;
        }
        Ok(())
    }

    fn received(&self) -> Vec<(String, u64)> {
        let sources = self.watch.edge.sources().into_iter();
        sources
            .map(|(name, status)| (name, status.received()))
            .collect()
    }
}

/// Shows readings as they pass, until the other side has gone.
async fn show(
    stream: &mut BufReader<UnixStream>,
    tap: &TapRequest,
    readings: &Tap,
) -> io::Result<()> {
    let globs = match tap.globs() {
        Ok(globs) => globs,
        Err(error) => return say(stream, of_error(&error.to_string())).await,
    };
    let mut passing = readings.watch(tap.shown.closeness());
    let (mut second, mut said, mut left_out) = (Instant::now(), 0, 0_u64);
    loop {
        let tapped = select! {
            tapped = passing.next() => tapped,
            // Who looks says nothing more: what comes is the end. Else a seat would be taken for as long as nothing passes.
            () = end(stream) => return Ok(()),
        };
        let tapped = match tapped {
            Ok(tapped) => tapped,
            Err(Unseen::Missed(missed)) => {
                left_out += missed;
                continue;
            }
            Err(Unseen::Closed) => return Ok(()),
        };
        if !tap.shown.takes(&tapped) || !is_wanted(&globs, &tapped) {
            continue;
        }
        if second.elapsed() >= Duration::from_secs(1) {
            (second, said) = (Instant::now(), 0);
        }
        if said >= tap.rate {
            left_out += 1;
            continue;
        }
        said += 1;
        let mut shown = of_tapped(&tapped);
        if left_out > 0 {
            shown["left_out_before"] = Json::from(std::mem::take(&mut left_out));
        }
        say(stream, shown).await?;
    }
}

/// Whether the globs fit a value's series, or one that came of a payload. One of which nothing came is shown where all are wanted.
fn is_wanted(globs: &GlobSet, tapped: &Tapped) -> bool {
    match tapped {
        Tapped::Value(value) => globs.is_match(format!("{}/{}", value.device, value.tag)),
        Tapped::Raw(tapped) => {
            let mut series = tapped.raw.series.iter();
            globs.is_match("")
                || series.any(|(device, tag)| globs.is_match(format!("{device}/{tag}")))
        }
    }
}

/// The end of what the other side says; what it says until then is dropped.
async fn end(stream: &mut (impl AsyncRead + Unpin)) {
    let mut dropped = [0; 64];
    while let Ok(1..) = stream.read(&mut dropped).await {}
}

async fn say(stream: &mut BufReader<UnixStream>, answer: Json) -> io::Result<()> {
    let mut line = answer.to_string();
    line.push('\n');
    match timeout(READ_MAX, stream.write_all(line.as_bytes())).await {
        Ok(written) => written,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Shown;

    #[tokio::test]
    async fn who_has_gone_is_shown_nothing_more() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let request = TapRequest {
            series: Vec::new(),
            shown: Shown::Ends,
            rate: 1,
        };
        let readings = Tap::default();
        let mut stream = BufReader::new(ours);
        let shown = show(&mut stream, &request, &readings);
        drop(theirs);
        // Nothing passes, so that nothing would be written to the closed socket.
        let ended = timeout(Duration::from_secs(10), shown).await;
        assert!(ended.is_ok(), "its seat is still taken");
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_more_loses_its_seat() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut stream = BufReader::new(ours);
        let long = Json::from("x".repeat(64 * 1024));
        let begun = Instant::now();
        let ended = loop {
            if let Err(error) = say(&mut stream, long.clone()).await {
                break error;
            }
        };
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= READ_MAX);
        drop(theirs);
    }
}
