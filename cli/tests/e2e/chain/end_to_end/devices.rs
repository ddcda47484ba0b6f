//! Three foreign servers, and how they are read.

use std::{fs, path::Path};

use serde_json::json;

use super::BASE;
use crate::site::{Broker, Peer, password_file};

/// Foreign servers, each with what it needs in a folder.
pub(super) struct Devices {
    pub(super) broker: Broker,
    pub(super) opcua: Peer,
    pub(super) modbus: Peer,
    pub(super) folder: tempfile::TempDir,
}

impl Devices {
    pub(super) fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        super::super::kafka_broker::certificates::certificates(place.path());
        password_file(place.path());
        let broker = Broker::start_in(
            place,
            "certfile {folder}/server.pem\nkeyfile {folder}/server.key\nallow_anonymous false\n\
             password_file {folder}/passwords\nmax_queued_messages 0",
        );
        let folder = tempfile::tempdir().unwrap();
        let before = BASE - 1_000_000;
        let options = json!({
            "port": 0, "folder": folder.path(), "security": ["Aes256Sha256RsaPss_SignAndEncrypt"],
            "users": {"forebay": "geheim ÄÖ"},
            "nodes": [{"id": "Force", "type": "Int64", "value": -1, "us": before},
                      {"id": "Torque", "type": "Double", "value": 0.0, "us": before}],
        });
        let opcua = Peer::start("connectors/opcua/tests/peer.py", &options.to_string());
        let modbus = boiler(0, &folder.path().join("served"));
        Self {
            broker,
            opcua,
            modbus,
            folder,
        }
    }

    pub(super) fn connectors(&self) -> String {
        let (mqtt, opcua) = (
            self.broker.folder.path().display(),
            self.folder.path().display(),
        );
        format!(
            "[[connector]]\nname = \"cells\"\nkind = \"mqtt\"\nurl = \"mqtts://localhost:{}\"\nversion = 5\n\
             client_id = \"forebay-test\"\ntopics = [\"site/+/cell/#\"]\nuser = \"edge\"\npassword = \"geheim\"\n\
             [connector.tls]\nca_file = \"{mqtt}/ca.pem\"\n\
             [[connector.tag]]\ntopic = \"site/{{device}}/cell/{{tag}}\"\nvalue = \"$.v\"\ntime = \"$.ts\"\n\
             time_unit = \"us\"\nunit = \"V\"\n\
             [[connector]]\nname = \"press\"\nkind = \"opcua\"\ndevice = \"press-3\"\nurl = \"opc.tcp://127.0.0.1:{}\"\n\
             security = \"Aes256_Sha256_RsaPss\"\nmode = \"sign_and_encrypt\"\nuser = \"forebay\"\n\
             password = \"geheim ÄÖ\"\npki_dir = \"{opcua}/pki\"\nserver_cert_file = \"{opcua}/server_cert.der\"\n\
             publishing_interval = \"100ms\"\nsampling = \"10ms\"\n\
             [[connector.tag]]\nname = \"force\"\nnode = \"ns=2;s=Force\"\nunit = \"N\"\n\
             [[connector.tag]]\nname = \"torque\"\nnode = \"ns=2;s=Torque\"\nunit = \"N.m\"\n\
             [[connector]]\nname = \"boiler\"\nkind = \"modbus\"\ndevice = \"boiler-1\"\nurl = \"tcp://127.0.0.1:{}\"\n\
             every = \"500ms\"\nexclude = [\"*/status\"]\n\
             [[connector.tag]]\nname = \"status\"\nregister = \"holding\"\naddress = 0\ntype = \"u16\"\n\
             [[connector.tag]]\nname = \"steam\"\nregister = \"holding\"\naddress = 100\ntype = \"u16\"\nunit = \"Cel\"\n",
            self.broker.port, self.opcua.first_line, self.modbus.first_line
        )
    }

    pub(super) fn publisher(&self) -> Peer {
        let options = json!({
            "port": self.broker.port, "version": 5, "user": "edge", "password": "geheim",
            "ca": self.broker.folder.path().join("ca.pem"),
        });
        Peer::start("connectors/mqtt/tests/peer.py", &options.to_string())
    }

    /// Value and time of each read of the register that steps.
    pub(super) fn served_by_modbus(&self) -> Vec<(u16, i64)> {
        let log = fs::read_to_string(self.folder.path().join("served")).unwrap();
        let read = |line: &str| {
            let (value, at) = line.split_once(' ').unwrap();
            (value.parse().unwrap(), at.parse().unwrap())
        };
        log.lines().map(read).collect()
    }
}

/// A Modbus server; what it serves is written to a file. The first tag is read to see whether a link is up: the register that
/// counts its reads comes second.
pub(super) fn boiler(port: u16, log: &Path) -> Peer {
    let options = json!({"port": port, "units": [{"id": 1, "held": [100], "log": log, "values": [
        {"register": "holding", "address": 0, "type": "u16", "value": 42},
        {"register": "holding", "address": 100, "type": "u16", "value": 0},
    ]}]});
    Peer::start("connectors/modbus/tests/peer.py", &options.to_string())
}
