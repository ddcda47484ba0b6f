//! The keys of `[gateway]` and `[spool]`, and those of `[[connector]]` and `[[connector.tag]]` that all protocols share.

use std::{path::PathBuf, time::Duration};

use forebay_config::{
    Bytes, Choice, Defaulted, DefaultedChoice, Optional, Refused, Required, Secret, TableKeys,
};
use forebay_connectors::NAME;
use forebay_schemas::{GatewayId, SiteId, TagName};
use forebay_stream::local::OnFull;

use crate::{
    deadband::Deadband,
    rule::{Invalid, RatePer},
};

/// The name of a gateway and of a site that have been given none.
pub(crate) const LOCAL: &str = "local";

/// `[gateway]`.
pub const GATEWAY: TableKeys = TableKeys::one(
    "gateway",
    "Who this gateway is, and where it keeps its data.",
    &[&ID, &SITE, &DATA_DIR, &LANES],
);

pub(crate) const ID: Optional<GatewayId> = Optional::new(
    "id",
    "The gateway's name, which stands in every reading. Unique within the fleet, and never changed: the data folder belongs to it.",
)
.absent("\"local\"");

pub(crate) const SITE: Optional<SiteId> = Optional::new(
    "site",
    "The site of this gateway's devices. Windows are closed, and value columns encrypted, by site.",
)
.absent("\"local\"");

pub(crate) const DATA_DIR: Optional<PathBuf> = Optional::new(
    "data_dir",
    "Folder of the spool and of everything else that the gateway keeps, and of the keyring and the lake where [keys] and [lake] name \
     no other place.",
)
.absent("forebay-data beside the file; the folder itself with --data-dir");

pub(crate) const LANES: Defaulted<u32> = Defaulted::new(
    "lanes",
    1,
    "Number of ordered streams over which the gateway's devices are spread, from 1 to 64. More than one is for gateways that \
     one spool is too slow for.",
);

/// `[spool]`.
pub const SPOOL: TableKeys = TableKeys::one(
    "spool",
    "The log on disk that keeps readings until Kafka has acknowledged them or, without Kafka, until the lake has committed them.",
    &[&MAX_BYTES, &ON_FULL, &MAX_AGE],
);

pub(crate) const MAX_BYTES: Defaulted<Bytes> = Defaulted::new(
    "max_bytes",
    Bytes(2 << 30),
    "Most room on disk that the spool of each lane takes; at least 1MiB. It decides how long an outage of Kafka or of the lake may \
     last without loss.",
);

pub(crate) const ON_FULL: DefaultedChoice<OnFull> = Choice::new(
    "on_full",
    &[("block", OnFull::Block), ("drop_oldest", OnFull::DropOldest)],
    "What happens when the spool is full: block stops reading from the devices until there is room; drop_oldest gives up the \
     oldest readings and leaves a gap record in their place.",
)
.or_first();

pub(crate) const MAX_AGE: Refused = Refused::new(
    "max_age",
    "this release keeps readings until they are sent or max_bytes is reached: remove the key",
);

/// `[[connector]]`: the keys of all kinds.
pub const CONNECTOR: TableKeys = TableKeys::many(
    "connector",
    "A device, server or broker that readings come from.",
    &[
        &NAME,
        &KIND,
        &INCLUDE,
        &EXCLUDE,
        &CLOCK_SKEW_MAX,
        &READING_AGE_MAX,
        &TAG,
    ],
);

/// The protocol.
pub(crate) const KIND: Required<String> = Required::new(
    "kind",
    "The protocol, which decides which other keys there are.",
);

pub(crate) const INCLUDE: Defaulted<Vec<String>> = Defaulted::list(
    "include",
    &[],
    "Only series that one of these globs over \"device/tag\" fits are taken; all of them where the list is empty. The star \
     stands for any characters but the slash.",
);

pub(crate) const EXCLUDE: Defaulted<Vec<String>> = Defaulted::list(
    "exclude",
    &[],
    "Series that one of these globs over \"device/tag\" fits are left out.",
);

pub(crate) const CLOCK_SKEW_MAX: Defaulted<Duration> = Defaulted::new(
    "clock_skew_max",
    Duration::from_secs(300),
    "How far a device's time may be ahead of the gateway's clock. A reading beyond it is stored under its own time, with uncertain \
     quality and a reason.",
);

pub(crate) const READING_AGE_MAX: Optional<Duration> = Optional::new(
    "reading_age_max",
    "How far a device's time may be behind the gateway's clock. A reading beyond it is stored under its own time, with uncertain \
     quality and a reason.",
)
.absent("a reading may be as old as it likes: it may have waited for its link");

/// `[[connector.tag]]`: the keys of all kinds.
pub(crate) const TAG: TableKeys = TableKeys::many(
    "tag",
    "What is read, and what happens to its values before they are stored. The steps are taken in this order: invalid, scale and \
     offset, rate, expression, unit and to_unit, keep, clamp, filter, deadband, rename; those of [[step]] follow.",
    &[
        &UNIT,
        &TO_UNIT,
        &INVALID,
        &SCALE,
        &OFFSET,
        &RATE,
        &ROLLS_OVER_AT,
        &EXPRESSION,
        &KEEP,
        &CLAMP,
        &FILTER,
        &DEADBAND,
        &MAX_SILENCE,
        &RENAME,
    ],
);

/// `[[step]]`.
pub const STEP: TableKeys = TableKeys::many(
    "step",
    "Steps for the readings of all connectors whose series a pattern fits, behind the steps of their tags. The tables are taken in the \
     order of the file; within one the order is that of [[connector.tag]].",
    &[
        &TAGS,
        &DERIVE,
        &UNIT,
        &TO_UNIT,
        &INVALID,
        &SCALE,
        &OFFSET,
        &RATE,
        &ROLLS_OVER_AT,
        &EXPRESSION,
        &KEEP,
        &CLAMP,
        &FILTER,
        &DEADBAND,
        &MAX_SILENCE,
        &RENAME,
        &WINDOW,
        &AGGREGATE,
        &WINDOW_GRACE,
        &SWINGING_DOOR,
        &PSEUDONYM_KEY,
    ],
);

pub(crate) const TAGS: Required<Vec<String>> = Required::new(
    "tags",
    "Globs over \"device/tag\", such as \"boiler-*/temp*\", by the names that the steps before have given. * stands for any \
     characters but the slash, ** as a whole part for any number of parts: \"boiler-1/**\" fits Boiler/I32 of the device boiler-1 too.",
);

pub(crate) const DERIVE: Optional<TagName> = Optional::new(
    "derive",
    "A new tag of the same device for what this table makes of a reading; the reading itself passes unchanged.",
)
.absent("the reading is changed");

pub(crate) const WINDOW: Optional<Duration> = Optional::new(
    "window",
    "Length of windows of event time, from 1s to 1d: of each window its aggregates are sent as tags of their own, such as temp.mean, at the \
     time of its start. Behind all other steps of the table.",
)
.absent("every reading is sent");

pub(crate) const AGGREGATE: Optional<Vec<String>> = Optional::new(
    "aggregate",
    "What is sent of a window: min, max, mean, last, count, std (of the sample).",
)
.absent("[\"mean\"]");

pub(crate) const WINDOW_GRACE: Defaulted<Duration> = Defaulted::new(
    "window_grace",
    Duration::from_secs(10),
    "How long after its end a window waits for late readings. A reading that comes later is sent on its own, with uncertain quality.",
);

pub(crate) const SWINGING_DOOR: Optional<f64> = Optional::new(
    "swinging_door",
    "Sends only the corners of a signal: straight lines between what is sent pass every reading within this deviation. At least every \
     max_silence a reading is sent.",
)
.absent("every reading is sent");

pub(crate) const PSEUDONYM_KEY: Optional<Secret> = Optional::new(
    "pseudonym_key",
    "Key of at least 32 characters, as in \"${file:/etc/forebay/pseudonym.key}\": the devices' names leave the gateway as a keyed hash \
     (HMAC-SHA-256). It is taken last of all, wherever the table stands, and for whole devices: each of tags ends in \"/*\".",
)
.absent("devices keep their names");

pub(crate) const INVALID: Optional<Vec<Invalid>> = Optional::new(
    "invalid",
    "Raw values by which the device says that it has none, such as [-9999, 0x8000, \"ERROR\"]: the reading is bad, has no value, and \
     names it in its reason.",
)
.absent("every value is one");

pub(crate) const TO_UNIT: Optional<String> = Optional::new(
    "to_unit",
    "UCUM code of the unit that values are converted to, such as \"[degF]\" or \"kW\".",
)
.absent("nothing is converted");

pub(crate) const RATE: Choice<RatePer> = Choice::new(
    "rate",
    &[
        ("s", RatePer::Second),
        ("min", RatePer::Minute),
        ("h", RatePer::Hour),
        ("d", RatePer::Day),
    ],
    "The value is a counter: its increase per this time since the reading before takes its place. A counter that goes back was \
     reset, which gives a bad reading, unless rolls_over_at explains it.",
)
.absent("the value is no counter");

pub(crate) const ROLLS_OVER_AT: Optional<f64> = Optional::new(
    "rolls_over_at",
    "The number behind a counter's last, where it goes on with 0: 65536 or 4294967296 for 16 or 32 bits, 1000000 for six digits. A \
     step back by more than half of that is a roll-over, any other a reset.",
)
.absent("every step back is a reset");

pub(crate) const EXPRESSION: Optional<String> = Optional::new(
    "expression",
    "Computes the value, such as \"value * last('voltage') / 1000\"; see the page on steps for what it may say.",
)
.absent("the value stays");

pub(crate) const FILTER: Optional<String> = Optional::new(
    "filter",
    "Readings for which this expression is false are left out, and counted, such as \"value > 0 && quality == 'good'\". Readings without \
     a value are never left out.",
)
.absent("all are kept");

pub(crate) const UNIT: Optional<String> = Optional::new(
    "unit",
    "Unit of the scaled value, as a UCUM code such as \"Cel\", \"bar\" or \"kW\". It is stored beside the value, unless to_unit converts it.",
)
.absent("the unit that the source gives, if any");

pub(crate) const SCALE: Defaulted<f64> = Defaulted::new(
    "scale",
    1.0,
    "Factor of the raw value: value = raw × scale + offset. Not 0.",
);

pub(crate) const OFFSET: Defaulted<f64> = Defaulted::new(
    "offset",
    0.0,
    "What is added to the scaled value: value = raw × scale + offset.",
);

pub(crate) const KEEP: Optional<Vec<f64>> = Optional::new(
    "keep",
    "Two numbers [low, high]: readings whose scaled value is outside are left out, and counted.",
)
.absent("all are kept");

pub(crate) const CLAMP: Optional<Vec<f64>> = Optional::new(
    "clamp",
    "Two numbers [low, high]: a scaled value that is outside is set to the nearer of them, with uncertain quality and a reason.",
)
.absent("no value is changed");

pub(crate) const DEADBAND: Optional<Deadband> = Optional::new(
    "deadband",
    "A value is sent if it is more than this away from the one that was sent last: a number in the unit of the scaled value, or a \
     share of the last value such as \"1%\". With 1, a count that moves by 1 is not sent; with 0, every change is.",
)
.absent("every reading is sent");

pub(crate) const MAX_SILENCE: Defaulted<Duration> = Defaulted::new(
    "max_silence",
    Duration::from_secs(600),
    "A tag behind a dead-band is sent at least this often while readings come, although it has not moved.",
);

pub(crate) const RENAME: Optional<String> = Optional::new(
    "rename",
    "The tag's name in readings; {tag} in it stands for the name that the source gives. A name that is not valid, or is _events, the tag \
     of events, is not taken, and the old one stays.",
)
.absent("the name that the source gives");
