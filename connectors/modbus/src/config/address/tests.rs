use super::*;
use crate::{config::tests::read, endpoint::Parity};

#[test]
fn urls_name_a_host_and_at_most_a_port_or_a_serial_line() {
    for (text, expected) in [
        ("tcp://10.0.0.5", "tcp://10.0.0.5:502"),
        ("tcp://10.0.0.5:1502/", "tcp://10.0.0.5:1502"),
        ("tcp://[fe80::1]:502", "tcp://[fe80::1]:502"),
        (
            "tcp://PLC-1.plant.example:5020",
            "tcp://PLC-1.plant.example:5020",
        ),
        ("rtu+tcp://10.0.0.5:4001", "rtu+tcp://10.0.0.5:4001"),
        ("rtu+tcp://moxa", "rtu+tcp://moxa:502"),
        ("serial:///dev/ttyUSB0", "serial:///dev/ttyUSB0"),
        (
            "serial:///dev/serial/by-id/usb-FTDI_A",
            "serial:///dev/serial/by-id/usb-FTDI_A",
        ),
        ("serial://COM3", "serial://COM3"),
    ] {
        let text = format!(
            "[[connector]]\nurl = \"{text}\"\ndevice = \"d\"\n[[connector.tag]]\nname = \"t\"\nregister = \"coil\"\naddress = 0"
        );
        let settings = read(&text).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(settings.endpoint.to_string(), expected);
    }
    for text in [
        "10.0.0.5:502",
        "plc",
        "http://plc",
        "rtu:///dev/ttyS0",
        "tcp://",
        "tcp://plc:0",
        "tcp://plc:99999",
        "tcp://u@plc",
        "tcp://plc/x",
        "tcp://plc?x",
        "serial://",
        "serial:///dev/ttyS0?baud=9600",
        "",
    ] {
        let error = parse(text).unwrap_err();
        assert!(
            error.ends_with("\"serial:///dev/ttyUSB0\" is expected"),
            "{error}"
        );
    }
}

#[test]
fn keys_of_one_transport_are_refused_for_another() {
    let tag = "[[connector.tag]]\nname = \"t\"\nregister = \"coil\"\naddress = 0\n";
    for (url, keys, parts) in [
        (
            "tcp://plc",
            "baud_rate = 9600",
            vec!["baud_rate: is for a url with serial"],
        ),
        (
            "tcp://plc",
            "frame_gap = \"5ms\"",
            vec!["frame_gap: is for a url with serial or rtu+tcp"],
        ),
        (
            "tcp://plc",
            "[connector.tls]",
            vec!["tls: needs a url with tls, such as tls://10.0.0.5:802"],
        ),
        (
            "tls://plc",
            "parity = \"even\"\nstop_bits = 2",
            vec!["parity: is for", "stop_bits: is for"],
        ),
        (
            "serial:///dev/ttyS0",
            "baud_rate = 1\nparity = \"mark\"\ndata_bits = 5\nstop_bits = 3",
            vec![
                "300 to 4000000 is expected, found 1",
                "\"mark\" is not one of \"none\", \"even\", \"odd\"",
                "7 to 8 is expected, found 5",
                "1 to 2 is expected, found 3",
            ],
        ),
        (
            "serial:///dev/ttyS0",
            "frame_gap = \"2s\"",
            vec!["0ns to 1s is expected, found 2s"],
        ),
        (
            "tls://plc",
            "[connector.tls]\ncert_file = \"own.pem\"",
            vec!["cert_file and key_file are expected together"],
        ),
        (
            "tls://plc",
            "[connector.tls]\nca_file = \"/nowhere/ca.pem\"",
            vec!["cannot read certificates in /nowhere/ca.pem"],
        ),
    ] {
        let text = format!("[[connector]]\nurl = \"{url}\"\ndevice = \"d\"\n{keys}\n{tag}");
        let error = read(&text).unwrap_err().to_string();
        for part in &parts {
            assert!(error.contains(part), "{part} is not in:\n{error}");
        }
        assert_eq!(error.lines().count(), parts.len(), "{error}");
    }
    let text = format!(
        "[[connector]]\nurl = \"serial:///dev/ttyS0\"\ndevice = \"d\"\nbaud_rate = 19200\nparity = \"even\"\n{tag}"
    );
    let Endpoint::Serial(line) = read(&text).unwrap().endpoint else {
        panic!("no serial line")
    };
    let (baud_rate, gap) = (line.baud_rate, line.frame_gap.as_micros());
    assert_eq!(
        (baud_rate, line.parity, line.data_bits, line.stop_bits, gap),
        (19_200, Parity::Even, 8, 1, 2005)
    );
}
