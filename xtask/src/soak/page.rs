//! A gateway's page for Prometheus.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::Context as _;

/// How long the gateway's page may take.
const PAGE_MAX: Duration = Duration::from_secs(20);

/// The page that a gateway on this machine shows at a port.
pub(crate) fn read(port: u16) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PAGE_MAX))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    let (head, body) = page.split_once("\r\n\r\n").context("no page")?;
    anyhow::ensure!(head.contains(" 200 "), "{head}");
    Ok(body.to_owned())
}

/// The sum over a metric's lines that hold a label.
pub(crate) fn value(page: &str, name: &str, label: &str) -> f64 {
    let of_metric = |line: &&str| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(['{', ' ']))
            && line.contains(label)
    };
    page.lines()
        .filter(of_metric)
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_the_sum_of_its_lines() {
        let page = "# TYPE a_total counter\na_total{c=\"x\"} 2\na_total{c=\"y\"} 3\na_total_more 7\nb 1.5\n";
        assert_eq!(
            (
                value(page, "a_total", ""),
                value(page, "a_total", "\"y\""),
                value(page, "b", "")
            ),
            (5.0, 3.0, 1.5)
        );
    }
}
