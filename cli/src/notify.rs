//! Reports to systemd (sd_notify(3)) that the service is ready. Without a `NOTIFY_SOCKET` nobody asks.

use std::{
    env,
    ffi::OsStr,
    io,
    os::unix::{
        ffi::OsStrExt as _,
        net::{SocketAddr, UnixDatagram},
    },
};

/// Everything is open, and what was configured is running: `systemctl start` returns.
pub(crate) fn ready() {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(&socket, "READY=1") {
        tracing::warn!(%error, "systemd notification failed: it does not know that the service is ready");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = address(socket)?;
    UnixDatagram::unbound()?
        .send_to_addr(state.as_bytes(), &address)
        .map(drop)
}

/// A path; or, behind an `@`, a name without one.
fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = socket.as_bytes().strip_prefix(b"@") {
        return <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name);
    }
    SocketAddr::from_pathname(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &OsStr, listening: &UnixDatagram) {
        send(address, "READY=1").unwrap();
        let mut told = [0; 16];
        let bytes = listening.recv(&mut told).unwrap();
        assert_eq!(&told[..bytes], b"READY=1");
    }

    #[test]
    fn a_path_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        check(path.as_os_str(), &UnixDatagram::bind(&path).unwrap());
        assert!(send(folder.path().join("absent").as_os_str(), "READY=1").is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_without_a_path_is_told() {
        let name = format!("@forebay-test-{}", std::process::id());
        let listening = UnixDatagram::bind_addr(&address(OsStr::new(&name)).unwrap()).unwrap();
        check(OsStr::new(&name), &listening);
    }
}
