//! The codes with which brokers refuse, in words (MQTT 3.1.1, table 3.1; MQTT 5.0, section 2.4).

use crate::packet::Version;

/// Why a CONNECT was refused.
pub(crate) fn refusal(version: Version, code: u8) -> String {
    let words = match (version, code) {
        (Version::V311, 1) => "the broker does not speak MQTT 3.1.1: set version = 5",
        (Version::V311, 2) => "the client_id is not allowed",
        (Version::V311, 3) => "the service is unavailable",
        (Version::V311, 4) => "bad user name or password",
        (Version::V311, 5) => "not authorized: check user and password",
        // A broker of 3.1.1 answers a CONNECT of MQTT 5 with its own code.
        (Version::V5, 1) => "the broker does not speak MQTT 5: set version = 4",
        (Version::V311, _) => "unknown code",
        (Version::V5, code) => reason(code),
    };
    format!("the broker refused the connection: {words} (code {code})")
}

/// A reason code of MQTT 5; only those that a client can meet.
pub(crate) fn reason(code: u8) -> &'static str {
    match code {
        0x00 => "normal disconnection",
        0x80 => "unspecified error",
        0x81 => "malformed packet",
        0x82 => "protocol error",
        0x83 => "implementation specific error",
        0x84 => "the broker does not speak MQTT 5: set version = 4",
        0x85 => "the client_id is not allowed",
        0x86 => "bad user name or password",
        0x87 => "not authorized: check user, password and the broker's access rules",
        0x88 => "the server is unavailable",
        0x89 => "the server is busy",
        0x8a => "banned",
        0x8b => "the server is shutting down",
        0x8c => "bad authentication method",
        0x8d => "keep-alive time-out",
        0x8e => "session taken over: another client has the same client_id",
        0x8f => "the topic filter is not allowed",
        0x90 => "the topic name is not allowed",
        0x91 => "the packet identifier is in use",
        0x93 => "receive maximum exceeded",
        0x95 => "packet too large",
        0x96 => "message rate too high",
        0x97 => "quota exceeded",
        0x98 => "administrative action",
        0x99 => "the payload format is not allowed",
        0x9a => "retained messages are not supported",
        0x9b => "the QoS is not supported",
        0x9c => "use another server",
        0x9d => "the server has moved",
        0x9e => "shared subscriptions are not supported",
        0x9f => "connection rate exceeded",
        0xa0 => "maximum connect time",
        0xa1 => "subscription identifiers are not supported",
        0xa2 => "wildcard subscriptions are not supported",
        _ => "unknown code",
    }
}
