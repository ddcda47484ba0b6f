//! Who takes telemetry: a collector that answers every request with 200, and a reader of the page for Prometheus.

use std::{net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

/// As Prometheus is often set up for a plant; its default is a minute.
const SCRAPE_EVERY: Duration = Duration::from_secs(5);
/// The longest head of a request.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A collector of OTLP over HTTP, and where it listens.
pub(super) async fn collector() -> anyhow::Result<(String, JoinHandle<()>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let collecting = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A connection that breaks is the other side's to mend.
            tokio::spawn(async move { drop(collect(stream).await) });
        }
    });
    Ok((endpoint, collecting))
}

async fn collect(mut stream: TcpStream) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        let head = loop {
            let end = bytes.windows(4).position(|part| part == b"\r\n\r\n");
            if let Some(end) = end {
                break end + 4;
            }
            if bytes.len() > HEAD_BYTES_MAX || stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        };
        let length = content_length(&bytes[..head]);
        while bytes.len() < head + length {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        bytes.drain(..head + length);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await?;
    }
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("content-length:"));
    length
        .and_then(|length| length.trim().parse().ok())
        .unwrap_or(0)
}

/// Reads the page at this port again and again, also while it is not there yet.
pub(super) fn scraper(port: u16) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            sleep(SCRAPE_EVERY).await;
            // A page that is not there yet comes later.
            drop(scrape(port).await);
        }
    })
}

async fn scrape(port: u16) -> std::io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        .await?;
    let mut page = Vec::new();
    stream.read_to_end(&mut page).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_s_length_stands_in_its_head() {
        assert_eq!(
            content_length(b"POST / HTTP/1.1\r\nContent-Length: 17\r\n\r\n"),
            17
        );
        assert_eq!(content_length(b"POST / HTTP/1.1\r\n\r\n"), 0);
    }
}
