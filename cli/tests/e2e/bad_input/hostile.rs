//! Devices that are no devices.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

/// A server on a port of its own that answers whatever comes with the same bytes, for as long as the test runs.
fn hostile(answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = std::sync::Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            thread::spawn(move || converse(stream, &*answer));
        }
    });
    port
}

/// Ends with the connection, whoever ends it.
fn converse(mut stream: TcpStream, answer: &(impl Fn(&[u8]) -> Vec<u8> + ?Sized)) {
    let mut buffer = [0; 4096];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&answer(&buffer[..bytes])).is_err() {
            return;
        }
    }
}

const HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";

/// The connectors of devices that are no devices.
pub(super) fn hostile_connectors() -> String {
    let http = |_: &[u8]| HTTP.to_vec();
    // A response to this request, whose length says more, or less, than the request can have asked for.
    let long = |request: &[u8]| [&request[..4], &[0xff, 0xff, 1, 3, 250], &[0; 250]].concat();
    let short = |request: &[u8]| [&request[..4], &[0, 3, 1, 3, 0]].concat();
    // An acknowledgement of four gigabytes.
    let huge = |_: &[u8]| [b"ACKF", &[0xff; 64][..]].concat();
    // A CONNACK whose remaining length never ends.
    let endless = |_: &[u8]| [&[0x20][..], &[0xff; 64]].concat();
    let mut text = String::new();
    for (name, port) in [
        ("modbus-http", hostile(http)),
        ("modbus-length", hostile(long)),
        ("modbus-short", hostile(short)),
    ] {
        text += &format!(
            "[[connector]]\nname = \"{name}\"\nkind = \"modbus\"\ndevice = \"{name}\"\nurl = \"tcp://127.0.0.1:{port}\"\n\
             every = \"100ms\"\n[[connector.tag]]\nname = \"t\"\nregister = \"holding\"\naddress = 0\ntype = \"u16\"\n"
        );
    }
    for (name, port) in [("opcua-http", hostile(http)), ("opcua-huge", hostile(huge))] {
        text += &format!(
            "[[connector]]\nname = \"{name}\"\nkind = \"opcua\"\ndevice = \"{name}\"\n\
             url = \"opc.tcp://127.0.0.1:{port}\"\n[[connector.tag]]\nname = \"t\"\nnode = \"i=85\"\n"
        );
    }
    for (name, port) in [
        ("mqtt-http", hostile(http)),
        ("mqtt-endless", hostile(endless)),
    ] {
        text += &format!(
            "[[connector]]\nname = \"{name}\"\nkind = \"mqtt\"\ndevice = \"{name}\"\nurl = \"mqtt://127.0.0.1:{port}\"\n\
             topics = [\"t\"]\n[[connector.tag]]\nname = \"t\"\ntopic = \"t\"\n"
        );
    }
    text
}
