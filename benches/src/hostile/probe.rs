//! Posts readings to the HTTP connector and times how long each takes to be durable.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

const EVERY: Duration = Duration::from_millis(10);
/// How long the connector may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// One connection that is kept.
pub(super) struct Probe {
    stream: TcpStream,
    value: u64,
}

impl Probe {
    pub(super) async fn connect(port: u16) -> anyhow::Result<Self> {
        let begun = Instant::now();
        loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Self { stream, value: 0 });
                }
                Err(error) if begun.elapsed() > START_TIMEOUT => {
                    return Err(error).context("the connector does not listen");
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// The times of a stretch, in ms, the shortest first.
    pub(super) async fn stretch(&mut self, length: Duration) -> anyhow::Result<Vec<f64>> {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let begun = Instant::now();
        let mut times = Vec::new();
        while begun.elapsed() < length {
            ticks.tick().await;
            let sent = Instant::now();
            self.post().await?;
            times.push(sent.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        Ok(times)
    }

    async fn post(&mut self) -> anyhow::Result<()> {
        self.value += 1;
        let body = self.value.to_string();
        let request = format!(
            "POST /raw/probe/value HTTP/1.1\r\nHost: bench\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        // 204 has no body.
        while !answer.ends_with(b"\r\n\r\n") {
            ensure!(
                self.stream.read_buf(&mut answer).await? > 0,
                "the connection was closed"
            );
        }
        let answer = String::from_utf8_lossy(&answer);
        ensure!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
        Ok(())
    }
}

/// Of sorted times, the one that a share of them is not above.
pub(super) fn percentile(times: &[f64], share: f64) -> f64 {
    let place = (times.len() as f64 * share).ceil() as usize;
    times
        .get(place.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(percentile(&times, 0.99), 198.0);
        assert_eq!(percentile(&times, 0.5), 100.0);
        assert_eq!(percentile(&[7.0], 0.99), 7.0);
        assert!(percentile(&[], 0.99).is_nan());
    }
}
