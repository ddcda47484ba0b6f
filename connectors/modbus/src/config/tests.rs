use std::path::Path;

use forebay_config::{ConfigErrors, Document};

use super::*;
use crate::value::{Sentinel, ValueKind};

/// Reads a file with one connector, as the gateway does.
pub(super) fn read(text: &str) -> Result<Settings, ConfigErrors> {
    Document::new(Path::new("forebay.toml"), text, &|_| None).read(|root| {
        let mut connectors = root.tables(&keys::KEYS.connector);
        let connector = connectors.first_mut().unwrap();
        let mut tags = connector.tables(&keys::KEYS.tag);
        Settings::read(connector, &mut tags)
    })
}

const HEAD: &str = "[[connector]]\nurl = \"tcp://plc:502\"\ndevice = \"boiler\"\n";

/// One tag under a sound connector, a key a line.
fn tag(keys: &str) -> Result<Tag, String> {
    let text = format!(
        "{HEAD}[[connector.tag]]\nname = \"t\"\n{}",
        keys.replace("; ", "\n")
    );
    read(&text)
        .map(|settings| settings.tags.into_iter().next().unwrap())
        .map_err(|errors| errors.to_string())
}

#[test]
fn a_realistic_file_gives_few_requests() {
    let mut text = format!("{HEAD}unit_id = 3\n");
    let mut add = |name: &str, keys: &str| {
        text.push_str(&format!(
            "[[connector.tag]]\nname = \"{name}\"\n{}\n",
            keys.replace("; ", "\n")
        ));
    };
    for phase in 0..3 {
        for (row, quantity) in ["voltage", "current", "power", "cos_phi"]
            .iter()
            .enumerate()
        {
            let address = 100 + row * 6 + phase * 2;
            add(
                &format!("{quantity}_{phase}"),
                &format!("register = \"input\"; address = {address}; type = \"f32\""),
            );
        }
    }
    for counter in 0..4 {
        let address = 800 + counter * 10;
        let keys = format!(
            "register = \"holding\"; address = {address}; type = \"u64\"; every = \"1m\"; order = \"GHEFCDAB\""
        );
        add(&format!("energy_{counter}"), &keys);
    }
    for bit in 0..16 {
        add(
            &format!("alarm_{bit}"),
            &format!("register = \"holding\"; address = 5; type = \"bit:{bit}\""),
        );
    }
    add(
        "serial",
        "register = \"holding\"; address = 8; type = \"string:16\"; every = \"1h\"",
    );
    add("pump", "register = \"coil\"; address = 0; every = \"1s\"");
    add("door", "register = \"discrete\"; address = 17");
    add("valve", "register = \"coil\"; address = 64");
    add(
        "meter",
        "register = \"input\"; address = 0; type = \"bcd32\"; unit_id = 9; device = \"meter\"",
    );
    let settings = read(&text).unwrap_or_else(|errors| panic!("{errors}"));
    let line = |group: &Group, read: &crate::plan::Read| {
        format!(
            "unit {} every {:?}: {read} for {} tags",
            group.unit,
            group.every,
            read.points.len()
        )
    };
    let plan: Vec<String> = settings
        .groups
        .iter()
        .flat_map(|group| group.reads.iter().map(|read| line(group, read)))
        .collect();
    let expected = [
        "unit 3 every 1s: holding 5..=15 for 17 tags",
        "unit 3 every 1s: input 100..=123 for 12 tags",
        "unit 3 every 1s: coil 0..=64 for 2 tags",
        "unit 3 every 1s: discrete 17 for 1 tags",
        "unit 3 every 60s: holding 800..=833 for 4 tags",
        "unit 9 every 1s: input 0..=1 for 1 tags",
    ];
    assert_eq!(plan, expected);
    let devices: Vec<Vec<&str>> = settings
        .units
        .iter()
        .map(|unit| unit.devices.iter().map(DeviceId::as_str).collect())
        .collect();
    assert_eq!(devices, [["boiler"], ["meter"]]);
}

#[test]
fn defaults_are_those_of_the_documents() {
    let text =
        format!("{HEAD}[[connector.tag]]\nname = \"t\"\nregister = \"coil\"\naddress = 65535");
    let settings = read(&text).unwrap();
    assert_eq!(settings.endpoint.to_string(), "tcp://plc:502");
    assert_eq!(
        settings.name, "modbus",
        "a name is the gateway's to ask for"
    );
    let named = text.replace("device =", "name = \"hall 2\"\ndevice =");
    assert_eq!(read(&named).unwrap().name, "hall 2");
    let second = Duration::from_secs(1);
    assert_eq!(
        (settings.timeout, settings.heartbeat, settings.pause),
        (second, 2 * second, Duration::ZERO)
    );
    let tag = &settings.tags[0];
    assert_eq!(
        (tag.unit, tag.every, tag.layout.kind),
        (UnitId(1), second, ValueKind::Bool)
    );
    assert_eq!(
        self::tag("register = \"holding\"; address = 0; type = \"f32\"")
            .unwrap()
            .layout
            .order,
        Order::big_endian(4)
    );
}

#[test]
fn invalid_values_and_forbidden_addresses_are_checked_against_the_tag() {
    let layout = |keys: &str| tag(keys).map(|tag| tag.layout.invalid);
    let held = "register = \"holding\"; address = 1";
    assert_eq!(
        layout(&format!(
            "{held}; type = \"f32\"; invalid = [0x8000, -9999.5, \"nan\", nan]"
        ))
        .unwrap(),
        [
            Sentinel::Integer(0x8000),
            Sentinel::Float(-9999.5),
            Sentinel::Nan,
            Sentinel::Nan
        ]
    );
    assert_eq!(
        layout(&format!(
            "{held}; type = \"u64\"; invalid = [0xFFFF_FFFF_FFFF_FFFF]"
        ))
        .unwrap(),
        [Sentinel::Integer(-1)]
    );
    for (keys, part) in [
        (
            "type = \"u16\"; invalid = [\"nan\"]",
            "\"nan\" is no value of u16: write the number that stands for it, such as 0x8000",
        ),
        (
            "type = \"i16\"; invalid = [0x10000]",
            "65536 does not fit the 16 bits of i16",
        ),
        (
            "type = \"string:4\"; invalid = [0]",
            "string:4 has no invalid values: only numbers have",
        ),
        (
            "type = \"i16\"; invalid = [true]",
            "a number such as 0x8000 or -9999, or \"nan\" is expected, found true",
        ),
    ] {
        let error = layout(&format!("{held}; {keys}")).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    let forbidden = format!(
        "{HEAD}never = [\"holding 100-120\"]\n[[connector.tag]]\nname = \"t\"\nregister = \"holding\"\naddress = 99\ntype = \"u32\""
    );
    let error = read(&forbidden).unwrap_err().to_string();
    assert!(
        error.contains("99 is among the addresses that never says are not to be read"),
        "{error}"
    );
    assert!(read(&forbidden.replace("\"holding\"\n", "\"input\"\n")).is_ok());
    let error = read(&forbidden.replace("100-120", "120-100"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("addresses such as \"100-120\""), "{error}");
}

#[test]
fn wrong_tags_are_told_with_what_is_right() {
    for (keys, part) in [
        (
            "register = \"holding\"; address = 1; type = \"f23\"",
            "\"f23\" is not a type; the types are bool, i16",
        ),
        (
            "register = \"holding\"; address = 1",
            "tag.type: is missing: a type such as",
        ),
        (
            "register = \"holdin\"; address = 1; type = \"u16\"",
            "did you mean \"holding\"?",
        ),
        (
            "address = 1; type = \"u16\"",
            "\"holding\", \"input\", \"coil\" or \"discrete\"",
        ),
        (
            "register = \"input\"; type = \"u16\"",
            "address: is missing, a whole number from 0 to 65535",
        ),
        (
            "register = \"input\"; address = 65536; type = \"u16\"",
            "a whole number from 0 to 65535 is expected",
        ),
        (
            "register = \"input\"; address = 65535; type = \"f32\"",
            "f32 takes 2 registers: its last address is 65534",
        ),
        (
            "register = \"input\"; address = 1; type = \"f32\"; order = \"AB\"",
            "\"ABCD\" (big-endian), \"CDAB\"",
        ),
        (
            "register = \"input\"; address = 1; type = \"bool\"",
            "\"bit:0\" (lowest) to \"bit:15\"",
        ),
        (
            "register = \"coil\"; address = 1; type = \"u16\"",
            "a coil is always \"bool\"",
        ),
        (
            "register = \"coil\"; address = 1; order = \"AB\"",
            "a single bit has no order",
        ),
        (
            "register = \"coil\"; address = 1; unit_id = 256",
            "a whole number from 0 to 255",
        ),
        (
            "register = \"coil\"; address = 1; every = \"1ms\"",
            "10ms to 86400s is expected, found 1ms",
        ),
        (
            "register = \"coil\"; address = 1; every = \"soon\"",
            "a duration such as \"10s\"",
        ),
        (
            "register = \"input\"; address = 1; type = 16",
            "a text in quotes is expected",
        ),
    ] {
        let error = tag(keys).unwrap_err();
        assert!(error.contains(part), "{keys} gave:\n{error}");
        assert_eq!(error.lines().count(), 1, "{keys} gave:\n{error}");
    }
}

#[test]
fn a_wrong_register_does_not_hide_what_else_is_wrong() {
    for (keys, parts) in [
        (
            "register = \"holdin\"; address = 1; type = \"f23\"",
            ["\"holding\"", "\"f23\" is not a type"],
        ),
        (
            "address = 65535; type = \"f32\"",
            ["register: is missing", "its last address is 65534"],
        ),
        (
            "register = \"coils\"; address = 1; type = \"u16\"; order = \"BC\"",
            ["\"coil\"", "must name each of the 2 bytes AB once"],
        ),
    ] {
        let error = tag(keys).unwrap_err();
        assert!(
            parts.iter().all(|part| error.contains(part)),
            "{keys} gave:\n{error}"
        );
        assert_eq!(error.lines().count(), parts.len(), "{keys} gave:\n{error}");
    }
    // Without a type no more than the register can be judged.
    let error = tag("register = \"coils\"; address = 1").unwrap_err();
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn wrong_connectors_are_told_in_one_pass() {
    let error = read(
        "[[connector]]\nurl = \"udp://plc\"\nunit_id = \"one\"\nevery = \"0s\"\ntimeout = \"2m\"\nmax_registers = 126\nmax_coils = 0\n\
         max_gap = -1\nheartbeat = \"1ms\"\n[[connector.tag]]\nname = \"a\"\nregister = \"coil\"\naddress = 0\n",
    )
    .unwrap_err()
    .to_string();
    let parts = [
        "has the scheme \"udp\"",
        "unit_id: a whole number",
        "10ms to 86400s",
        "10ms to 60s",
        "1 to 125",
        "1 to 2000",
        "from 0 to 65535",
        "100ms to 86400s",
        "neither this tag nor its connector names a device",
    ];
    for part in parts {
        assert!(error.contains(part), "{part} is not in:\n{error}");
    }
    assert_eq!(error.lines().count(), parts.len(), "{error}");
    let none = read(HEAD).unwrap_err().to_string();
    assert!(none.contains("there is nothing to read"), "{none}");
}

#[test]
fn two_tags_of_a_device_do_not_share_a_name() {
    let tag = "[[connector.tag]]\nname = \"t\"\nregister = \"coil\"\naddress = 0\n";
    let error = read(&format!("{HEAD}{tag}{tag}")).unwrap_err().to_string();
    assert!(
        error.contains("t of device boiler is the name of tag 1 too"),
        "{error}"
    );
    assert!(read(&format!("{HEAD}{tag}{tag}device = \"other\"\n")).is_ok());
}

#[test]
fn a_value_longer_than_the_largest_read_is_refused() {
    let head = format!("{HEAD}max_registers = 3\n");
    let text = format!(
        "{head}[[connector.tag]]\nname = \"t\"\nregister = \"input\"\naddress = 0\ntype = \"f64\"\n"
    );
    let error = read(&text).unwrap_err().to_string();
    assert!(
        error.contains("f64 takes 4 registers, more than max_registers = 3"),
        "{error}"
    );
}

#[test]
fn a_device_on_two_units_has_no_link_of_its_own() {
    let tag = |name: &str, unit: u8| {
        format!(
            "[[connector.tag]]\nname = \"{name}\"\nregister = \"coil\"\naddress = 0\nunit_id = {unit}\n"
        )
    };
    let alone = format!("{}device = \"meter\"\n", tag("c", 2));
    let settings = read(&format!("{HEAD}{}{}{alone}", tag("a", 1), tag("b", 2))).unwrap();
    let [one, two] = settings.units.as_slice() else {
        panic!("{:?}", settings.units)
    };
    assert_eq!(
        (one.devices.len(), one.shared.as_slice()),
        (0, [0].as_slice())
    );
    assert_eq!(
        (two.devices.as_slice(), two.shared.as_slice()),
        ([DeviceId::new("meter").unwrap()].as_slice(), [1].as_slice())
    );
}

#[test]
fn many_tags_and_devices_are_planned_at_once() {
    let mut text = HEAD.to_owned();
    for place in 0..20_000_u32 {
        let (unit, address) = (place % 200, place / 200 * 3);
        text.push_str(&format!(
            "[[connector.tag]]\nname = \"t{place}\"\ndevice = \"d{}\"\nunit_id = {unit}\nregister = \"input\"\naddress = {address}\ntype = \"f32\"\n",
            place % 5000,
        ));
    }
    let settings = read(&text).unwrap();
    assert_eq!(
        (
            settings.tags.len(),
            settings.units.len(),
            settings.groups.len()
        ),
        (20_000, 200, 200)
    );
    // A hundred values over 299 registers each: three requests.
    assert!(settings.groups.iter().all(|group| group.reads.len() == 3));
}

#[test]
fn a_tag_without_an_order_has_that_of_its_connector() {
    let order = |order: &str, keys: &str| {
        let tag = format!(
            "[[connector.tag]]\nname = \"t\"\naddress = 0\n{}",
            keys.replace("; ", "\n")
        );
        let read = read(&format!("{HEAD}order = \"{order}\"\n{tag}"));
        read.map(|settings| settings.tags[0].layout.order.clone())
            .map_err(|errors| errors.to_string())
    };
    let cases = [
        ("CDAB", "u16", "AB"),
        ("CDAB", "f32", "CDAB"),
        ("CDAB", "i64", "GHEFCDAB"),
        ("CDAB", "string:4", "AB"),
        ("BADC", "u16", "BA"),
        ("BADC", "f64", "BADCFEHG"),
        ("DCBA", "u64", "HGFEDCBA"),
        ("DCBA", "string:4", "BA"),
        ("BA", "u32", "BADC"),
        ("GHEFCDAB", "u32", "CDAB"),
        ("EFABGHCD", "u64", "EFABGHCD"),
    ];
    for (connector, kind, expected) in cases {
        let found = order(
            connector,
            &format!("register = \"holding\"; type = \"{kind}\""),
        )
        .unwrap();
        assert_eq!(
            found,
            Order::parse(expected, expected.len()).unwrap(),
            "{connector} {kind}"
        );
    }
    let own = order(
        "CDAB",
        "register = \"input\"; type = \"u32\"; order = \"ABCD\"",
    )
    .unwrap();
    assert_eq!(own, Order::big_endian(4));
    order("CDAB", "register = \"coil\"").unwrap();
    let wrong = [
        (
            "EFABGHCD",
            "f32",
            "the connector's order \"EFABGHCD\" says nothing of the 4 bytes of f32",
        ),
        ("EFABGHCD", "u16", "give this tag an order of its own"),
        ("BACD", "u32", "\"BACD\" is not an order of registers"),
        (
            "ABCE",
            "u32",
            "\"ABCE\" must name each of the 4 bytes ABCD once",
        ),
        (
            "ABC",
            "u32",
            "2, 4, 6 or 8 letters are expected, such as \"CDAB\"",
        ),
    ];
    for (connector, kind, part) in wrong {
        let error = order(
            connector,
            &format!("register = \"holding\"; type = \"{kind}\""),
        )
        .unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    let error =
        tag("register = \"holding\"; address = 0; type = \"u16\"; order = \"BACD\"").unwrap_err();
    assert!(
        error.contains("must name each of the 2 bytes AB once"),
        "{error}"
    );
    let error =
        tag("register = \"holding\"; address = 0; type = \"u32\"; order = \"BACD\"").unwrap_err();
    assert!(
        error.contains(
            "\"BACD\" is not an order of registers: the two bytes of a register stay together"
        ),
        "{error}"
    );
}
