//! The keys of a `[[connector]]` of kind "modbus" and of its `[[connector.tag]]`s.

use std::time::Duration;

use forebay_config::{Choice, Defaulted, Optional, Required, TableKeys};
use forebay_connectors::ConnectorKeys;
use forebay_schemas::{DeviceId, TagName};

use crate::plan::Register;

/// All of them.
pub(crate) const KEYS: ConnectorKeys = ConnectorKeys {
    connector: CONNECTOR,
    tag: TAG,
};

const CONNECTOR: TableKeys = TableKeys::many(
    "connector",
    "Polls coils and registers over Modbus TCP, of one device or of several units behind a gateway. It only reads.",
    &[
        &URL,
        &DEVICE,
        &UNIT_ID,
        &EVERY,
        &ORDER,
        &TIMEOUT,
        &HEARTBEAT,
        &PAUSE,
        &MAX_GAP,
        &MAX_REGISTERS,
        &MAX_COILS,
        &TAG,
    ],
);

pub(crate) const URL: Required<String> = Required::new(
    "url",
    "The server's address: \"tcp://host:502\". Without a port it is 502.",
);

pub(crate) const DEVICE: Optional<DeviceId> =
    Optional::new("device", "The device of tags that name none of their own.")
        .absent("each tag names its device");

pub(crate) const UNIT_ID: Defaulted<u8> = Defaulted::new(
    "unit_id",
    1,
    "The unit identifier of tags that name none: which device behind the server is asked.",
);

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
.required();

pub(crate) const ADDRESS: Required<u16> = Required::new(
    "address",
    "The first address of the value, counted from 0 as on the wire: register 40001 of a manual is holding register 0.",
);

pub(crate) const TYPE: Optional<String> = Optional::new(
    "type",
    "The value's type: i16, u16, i32, u32, i64, u64, f16, f32, f64, bcd16, bcd32, bit:N (bit N of a register, 0 the lowest), string:N (N \
     bytes of text, two in a register), or bool for coils and discrete inputs.",
)
.absent("bool for coils and discrete inputs; registers need it");

pub(crate) const TAG_ORDER: Optional<String> = Optional::new(
    "order",
    "Byte order of the value, one letter for each of its bytes: the letters of the big-endian value in the order in which they come, so \
     that CDAB is low word first.",
)
.absent("the connector's, or else big-endian");

pub(crate) const TAG_EVERY: Optional<Duration> =
    Optional::new("every", "How often the tag is polled, from 10ms to 1d.")
        .absent("the connector's");
