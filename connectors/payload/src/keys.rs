//! The configuration keys that speak of payloads, for the tables of every connector that takes any.
//!
//! [`Selection::configure`](crate::Selection::configure) reads those of a tag.
//! A connector lists [`FORMAT`] among its own keys, and the others among its tags'.

use forebay_config::{Choice, DefaultedChoice, Optional};
use forebay_schemas::ValueType;

use crate::{Arrays, Format, convert::TYPES, time::TimeUnit};

/// How a connector's payloads are written.
pub const FORMAT: DefaultedChoice<Format> = Choice::new(
    "format",
    &[
        ("json", Format::Json),
        ("cbor", Format::Cbor),
        ("msgpack", Format::MessagePack),
        ("raw", Format::Raw),
    ],
    "How payloads are written: json, cbor, msgpack, or raw for a payload that is one number, true, false or another text.",
)
.refused(&[
    ("sparkplug_b", ONLY_MQTT),
    ("protobuf", ONLY_MQTT),
])
.or_first();

const ONLY_MQTT: &str = "only connectors of kind mqtt take it";

/// Where the value stands.
pub const VALUE: Optional<String> = Optional::new(
    "value",
    "JSONPath (RFC 9535) of the value in the payload, such as \"$.v\". It may find several: what the path leaves open (*, filters, ..) \
     names them, joined by dots, behind the tag's name if it has one. Of an object each field becomes a reading, named the same way. \
     Paths select in cbor, msgpack and protobuf as in json.",
)
.absent("the whole payload");

/// What becomes of arrays.
pub const ARRAYS: DefaultedChoice<Arrays> = Choice::new(
    "arrays",
    &[("values", Arrays::Values), ("tags", Arrays::Tags)],
    "What the items of an array are: values are readings of one tag, such as samples with a time each; tags are a tag each, named by \
     their place from 0, such as phases or channels.",
)
.or_first();

/// What values are turned into.
pub const TYPE: Choice<ValueType> = Choice::new(
    "type",
    &TYPES,
    "The type that values are turned into. A value that cannot be turned gives a bad reading without a value.",
)
.absent("each value's own type");

/// Where the event time stands.
pub const TIME: Optional<String> = Optional::new(
    "time",
    "JSONPath of the event time in the payload, such as \"$.ts\".",
)
.absent("the time at which the gateway received the message");

/// What a time counts that is a number.
pub const TIME_UNIT: Choice<TimeUnit> = Choice::new(
    "time_unit",
    &[
        ("s", TimeUnit::Seconds),
        ("ms", TimeUnit::Millis),
        ("us", TimeUnit::Micros),
        ("ns", TimeUnit::Nanos),
    ],
    "The unit of a time that is a number, counted from 1970-01-01 UTC.",
)
.absent("times are RFC 3339 texts");

/// How a time is written that is neither a number nor RFC 3339.
pub const TIME_FORMAT: Optional<String> = Optional::new(
    "time_format",
    "How a time is written, as strptime has it, such as \"%Y-%m-%d %H:%M:%S\". Not together with time_unit.",
);

/// The zone of times that name none.
pub const TIME_ZONE: Optional<String> = Optional::new(
    "time_zone",
    "The zone of times that name none, such as \"Europe/Berlin\". Not together with time_unit.",
)
.absent("UTC with time_format; else a time must name its offset");

/// Where the unit stands.
pub const UNIT_PATH: Optional<String> = Optional::new(
    "unit_path",
    "JSONPath of the unit in the payload (UCUM), such as \"$.unit\". A unit in the key unit goes before it.",
)
.absent("no unit from the payload");

/// Where the quality stands.
pub const QUALITY: Optional<String> = Optional::new(
    "quality",
    "JSONPath of the quality in the payload: true or false, \"good\", \"uncertain\" or \"bad\", or 0, 1 or 2 for them. Any other \
     word makes the reading uncertain.",
)
.absent("good");
