//! The keys of a `[[connector]]` of kind "modbus" and of its `[[connector.tag]]`s.

use std::{path::PathBuf, time::Duration};

use forebay_config::{Choice, Defaulted, DefaultedChoice, Optional, Required, TableKeys};
use forebay_connectors::ConnectorKeys;
use forebay_schemas::{DeviceId, TagName};

use crate::{endpoint::Parity, plan::Register, value::Sentinel};

/// All of them.
pub(crate) const KEYS: ConnectorKeys = ConnectorKeys {
    connector: CONNECTOR,
    tag: TAG,
};

const CONNECTOR: TableKeys = TableKeys::many(
    "connector",
    "Polls coils and registers over Modbus TCP, RTU or TLS, of one device or of several units behind a gateway or on a bus. It only \
     reads.",
    &[
        &URL,
        &DEVICE,
        &UNIT_ID,
        &TEMPLATE,
        &TEMPLATE_DIR,
        &EVERY,
        &ORDER,
        &TIMEOUT,
        &HEARTBEAT,
        &PAUSE,
        &MAX_GAP,
        &MAX_REGISTERS,
        &MAX_COILS,
        &NEVER,
        &BAUD_RATE,
        &PARITY,
        &DATA_BITS,
        &STOP_BITS,
        &FRAME_GAP,
        &TLS,
        &TAG,
    ],
);

pub(crate) const URL: Required<String> = Required::new(
    "url",
    "Where the device is: \"tcp://host:502\" (Modbus TCP), \"rtu+tcp://host:502\" (RTU frames over TCP, as many serial servers have \
     it), \"serial:///dev/ttyUSB0\" (RTU on a serial line) or \"tls://host:802\" (Modbus/TCP Security). Without a port it is 502, or \
     802 for TLS. Connectors with the same address share one connection.",
);

pub(crate) const DEVICE: Optional<DeviceId> =
    Optional::new("device", "The device of tags that name none of their own.")
        .absent("each tag names its device");

pub(crate) const UNIT_ID: Defaulted<u8> = Defaulted::new(
    "unit_id",
    1,
    "The unit identifier of tags that name none: which device behind the server is asked.",
);

pub(crate) const TEMPLATE: Optional<String> = Optional::new(
    "template",
    "The device's map of registers, as \"maker/model\": its tags are read beside those of the file. A tag of the same name in the file \
     changes what it names, and nothing else.",
)
.absent("only the tags of the file are read");

pub(crate) const TEMPLATE_DIR: Optional<PathBuf> = Optional::new(
    "template_dir",
    "A folder of templates of one's own, MAKER/MODEL.toml; it is looked in first.",
)
.absent("only the templates that come along");

pub(crate) const EVERY: Defaulted<Duration> = Defaulted::new(
    "every",
    Duration::from_secs(1),
    "How often tags are polled, from 10ms to 1d. A poll that is due before the last one is stored is skipped, and counted.",
);

pub(crate) const ORDER: Optional<String> = Optional::new(
    "order",
    "Byte order of tags that name none: the letters of a big-endian value in the order in which they come, so that CDAB is low \
     word first. Four letters say it for every type.",
)
.absent("big-endian");

pub(crate) const TIMEOUT: Defaulted<Duration> = Defaulted::new(
    "timeout",
    Duration::from_secs(1),
    "The longest wait for a connection and for a reply, from 10ms to 1m. A device that needs longer shows lost replies.",
);

pub(crate) const HEARTBEAT: Defaulted<Duration> = Defaulted::new(
    "heartbeat",
    Duration::from_secs(2),
    "The longest time in which a unit is asked for nothing, from 100ms to 1d: one that is polled less often is asked for a sign of \
     life. Longer saves traffic and finds a lost link later.",
);

pub(crate) const PAUSE: Defaulted<Duration> = Defaulted::new(
    "pause",
    Duration::ZERO,
    "A rest before each request, up to 1m, for servers that lose requests that come too fast.",
);

pub(crate) const MAX_GAP: Defaulted<u16> = Defaulted::new(
    "max_gap",
    8,
    "Most unused registers, from 0 to 125, that are read along to make two requests one; of coils and discrete inputs sixteen \
     times as many.",
)
.unit("registers");

pub(crate) const MAX_REGISTERS: Defaulted<u16> = Defaulted::new(
    "max_registers",
    125,
    "Most registers in one request, from 1 to 125. Less for a device that refuses long requests.",
)
.unit("registers");

pub(crate) const MAX_COILS: Defaulted<u16> = Defaulted::new(
    "max_coils",
    2000,
    "Most coils or discrete inputs in one request, from 1 to 2000.",
)
.unit("bits");

pub(crate) const NEVER: Defaulted<Vec<String>> = Defaulted::list(
    "never",
    &[],
    "Addresses that must not be read, not even to make two requests one, such as \"100-120\", \"7\" or \"holding 100-120\"; without a \
     table they hold for all four.",
);

pub(crate) const BAUD_RATE: Defaulted<u32> = Defaulted::new(
    "baud_rate",
    9600,
    "Bits per second of a serial line, from 300 to 4000000.",
)
.unit("Bd");

pub(crate) const PARITY_WORDS: &[(&str, Parity)] = &[
    ("none", Parity::None),
    ("even", Parity::Even),
    ("odd", Parity::Odd),
];

pub(crate) const PARITY: DefaultedChoice<Parity> =
    Choice::new("parity", PARITY_WORDS, "Parity bit of a serial line.").or_first();

pub(crate) const DATA_BITS: Defaulted<u8> = Defaulted::new(
    "data_bits",
    8,
    "Data bits of a serial line: 8, or 7 for a converter that has no eighth.",
)
.unit("bits");

pub(crate) const STOP_BITS: Defaulted<u8> =
    Defaulted::new("stop_bits", 1, "Stop bits of a serial line, 1 or 2.").unit("bits");

pub(crate) const FRAME_GAP: Optional<Duration> = Optional::new(
    "frame_gap",
    "Silence on a serial line, or before each RTU frame over TCP, between a reply and the next request, up to 1s. Longer for devices that \
     lose requests.",
)
.absent("3.5 characters, at least 1.75ms, on a serial line; none over TCP");

pub(crate) const TLS: TableKeys = TableKeys::one(
    "tls",
    "Certificates for a url with tls. Without this table the server's certificate is checked against the system's list.",
    &[&CA_FILE, &CERT_FILE, &KEY_FILE, &SERVER_NAME],
);

pub(crate) const CA_FILE: Optional<PathBuf> = Optional::new(
    "ca_file",
    "Certificates (PEM) of the authorities that may sign the server's certificate.",
)
.absent("the system's list");

pub(crate) const CERT_FILE: Optional<PathBuf> = Optional::new(
    "cert_file",
    "The client's own certificate (PEM), which a server of Modbus/TCP Security asks for; key_file goes with it.",
);

pub(crate) const KEY_FILE: Optional<PathBuf> =
    Optional::new("key_file", "The private key (PEM) of cert_file.");

pub(crate) const SERVER_NAME: Optional<String> = Optional::new(
    "server_name",
    "The name that the server's certificate must hold.",
)
.absent("the host of url");

const TAG: TableKeys = TableKeys::many(
    "tag",
    "A value in the device's memory.",
    &[
        &NAME,
        &TAG_DEVICE,
        &TAG_UNIT_ID,
        &REGISTER,
        &ADDRESS,
        &TYPE,
        &TAG_ORDER,
        &INVALID,
        &TAG_EVERY,
    ],
);

pub(crate) const NAME: Required<TagName> =
    Required::new("name", "The tag's name, unique within its device.");

pub(crate) const TAG_DEVICE: Optional<DeviceId> =
    Optional::new("device", "The device that the tag belongs to.").absent("the connector's");

pub(crate) const TAG_UNIT_ID: Optional<u8> = Optional::new(
    "unit_id",
    "The unit identifier under which the tag is read.",
)
.absent("the connector's");

pub(crate) const REGISTER: Choice<Register> = Choice::new(
    "register",
    &[
        ("holding", Register::Holding),
        ("input", Register::Input),
        ("coil", Register::Coil),
        ("discrete", Register::Discrete),
    ],
    "The table that the value is in: holding registers, input registers, coils or discrete inputs.",
)
.absent("the template's; needed where it has no tag of this name");

pub(crate) const ADDRESS: Optional<u16> = Optional::new(
    "address",
    "The first address of the value, counted from 0 as on the wire: register 40001 of a manual is holding register 0.",
)
.absent("the template's; needed where it has no tag of this name");

pub(crate) const TYPE: Optional<String> = Optional::new(
    "type",
    "The value's type: i16, u16, i32, u32, i48, u48, i64, u64, sm16, sm32 (signed magnitude), f16, f32, f64, bcd16, bcd32, \
     bit:N (bit N of a register, 0 the lowest), string:N (N bytes of text, two in a register), or bool for coils and discrete inputs.",
)
.absent("the template's; else bool for coils and discrete inputs, and needed for registers");

pub(crate) const TAG_ORDER: Optional<String> = Optional::new(
    "order",
    "Byte order of the value, one letter for each of its bytes: the letters of the big-endian value in the order in which they come, so \
     that CDAB is low word first.",
)
.absent("the connector's, or else big-endian");

pub(crate) const INVALID: Optional<Vec<Sentinel>> = Optional::new(
    "invalid",
    "Raw values by which the device says that it has none, such as [0x8000, -9999, \"nan\"]: they give a bad reading without a value. A \
     number is compared with the bits of an integer as they stand, and with what they mean; \"nan\" is any NaN of a float, which is \
     bad in any case.",
)
.absent("every value is one");

pub(crate) const TAG_EVERY: Optional<Duration> =
    Optional::new("every", "How often the tag is polled, from 10ms to 1d.")
        .absent("the connector's");
