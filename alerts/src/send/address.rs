//! Which addresses a webhook may dial.
//!
//! A webhook's URL may come from somebody who is not to reach the plant's own network through the gateway, and a name may lead
//! anywhere, also to another place at each look-up. So the address is checked that is then dialled, and nothing else is.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use super::{SendError, failed};

/// How long one address may take to answer: a name often has several, and the first may lead nowhere.
const ADDRESS_MAX: Duration = Duration::from_secs(5);

/// Which addresses may be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Those of the public internet alone.
    Public,
    /// All.
    Any,
}

/// A connection to the first address of a host that may be dialled and answers.
pub(crate) async fn connect(host: &str, port: u16, reach: Reach) -> Result<TcpStream, SendError> {
    // A literal IPv6 address stands in brackets in a URL.
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<SocketAddr> = lookup_host((bare, port))
        .await
        .map_err(|error| failed(&format!("looking up {bare}"), error))?
        .collect();
    let allowed: Vec<SocketAddr> = found
        .iter()
        .copied()
        .filter(|at| reach == Reach::Any || is_public(at.ip()))
        .collect();
    if allowed.is_empty() {
        return Err(SendError::Failed(format!(
            "{bare} is refused: {} is not an address of the public internet; set allow_private = true if it is meant",
            Shown(&found)
        )));
    }
    first_of(&allowed, ADDRESS_MAX).await
}

/// A connection to the first of these addresses, at least one, that answers within `each`.
async fn first_of(addresses: &[SocketAddr], each: Duration) -> Result<TcpStream, SendError> {
    let mut last = SendError::Failed("there is no address".to_owned());
    for at in addresses {
        let what = format!("connecting to {at}");
        last = match timeout(each, TcpStream::connect(at)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed(&what, error),
            Err(late) => failed(&what, late),
        };
    }
    Err(last)
}

/// Whether an address belongs to the public internet, by the registries of RFC 6890 and its followers.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_protocol = a == 192 && b == 0 && c == 0;
    let is_benchmark = a == 198 && (b == 18 || b == 19);
    let is_relay = a == 192 && b == 88 && c == 99;
    let is_special = ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast();
    // 0/8 is "this network", 240/4 is reserved, and broadcast is in it.
    !(a == 0 || a >= 240 || is_shared || is_protocol || is_benchmark || is_relay || is_special)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    // Addresses that carry one of IPv4 lead there: mapped, compatible, NAT64 (RFC 6052) and 6to4 (RFC 3056).
    let low = || Ipv4Addr::from(((u32::from(segments[6])) << 16) | u32::from(segments[7]));
    if let Some(mapped) = ip.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    if segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return is_public_v4(low());
    }
    if segments[0] == 0x2002 {
        let inner = (u32::from(segments[1]) << 16) | u32::from(segments[2]);
        return is_public_v4(Ipv4Addr::from(inner));
    }
    // Only 2000::/3 is given out as global unicast; Teredo, benchmarks, ORCHID and documentation lie in it.
    let is_global = segments[0] & 0xe000 == 0x2000;
    let is_protocol = segments[0] == 0x2001 && segments[1] < 0x200;
    let is_documentation = (segments[0] == 0x2001 && segments[1] == 0xdb8)
        || (segments[0] == 0x3fff && segments[1] < 0x1000);
    is_global && !is_protocol && !is_documentation
}

/// Addresses in a message.
struct Shown<'a>(&'a [SocketAddr]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.0.iter().map(|at| at.ip().to_string()).collect();
        f.write_str(&shown.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        for public in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "198.17.0.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.5",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "64:ff9b:1::a00:1",
            "2002:a00:1::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_private_address_is_not_dialled() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"] {
            let refused = connect(host, port, Reach::Public).await.unwrap_err();
            assert!(refused.to_string().contains("is refused"), "{refused}");
        }
        connect("127.0.0.1", port, Reach::Any).await.unwrap();
    }

    #[tokio::test]
    async fn an_address_that_leads_nowhere_does_not_use_up_the_try() {
        // A listener whose queue is full answers nobody, as a black hole.
        let hole = tokio::net::TcpSocket::new_v4().unwrap();
        hole.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let hole = hole.listen(0).unwrap();
        let hole_at = hole.local_addr().unwrap();
        let mut filling = Vec::new();
        let short = Duration::from_millis(100);
        while let Ok(filled) = timeout(short, TcpStream::connect(hole_at)).await {
            filling.push(filled.unwrap());
        }
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server_at = server.local_addr().unwrap();
        let found = first_of(&[hole_at, server_at], short).await.unwrap();
        assert_eq!(found.peer_addr().unwrap(), server_at);
        let nowhere = first_of(&[hole_at], short).await.unwrap_err().to_string();
        assert!(
            nowhere.starts_with(&format!("connecting to {hole_at} failed")),
            "{nowhere}"
        );
    }
}
