//! moto's S3 server in a process of its own, which ends with the one that started it.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

/// The bucket that is there.
pub(crate) const BUCKET: &str = "plant";

pub(crate) struct Moto {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Moto {
    pub(crate) fn start(options: &[&str]) -> Self {
        let python = std::env::var_os("FOREBAY_TEST_PYTHON").unwrap_or_else(|| {
            panic!("FOREBAY_TEST_PYTHON names no Python with moto[server]: run `cargo xtask test`")
        });
        let mut process = Command::new(python)
            .args(["-c", include_str!("server.py"), BUCKET])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start Python");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port: u16 = line
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("moto's server gave no port: is it installed?"));
        Self {
            process,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        }
    }

    pub(crate) fn url(&self) -> url::Url {
        format!("http://{}", self.address).parse().unwrap()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
