//! The keys of `[gateway]` and `[spool]`, and those of `[[connector]]` and `[[connector.tag]]` that all protocols share.

use std::{path::PathBuf, time::Duration};

use forebay_config::{
    Bytes, Choice, Defaulted, DefaultedChoice, Optional, Refused, Required, TableKeys,
};
use forebay_connectors::NAME;
use forebay_schemas::{GatewayId, SiteId};
use forebay_stream::local::OnFull;

use crate::deadband::Deadband;

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
    &[&NAME, &KIND, &INCLUDE, &EXCLUDE, &TAG],
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

/// `[[connector.tag]]`: the keys of all kinds.
pub(crate) const TAG: TableKeys = TableKeys::many(
    "tag",
    "What is read, and what happens to its values before they are stored. The steps are taken in this order: scale and offset, keep, \
     clamp, deadband.",
    &[
        &UNIT,
        &SCALE,
        &OFFSET,
        &KEEP,
        &CLAMP,
        &DEADBAND,
        &MAX_SILENCE,
        &RENAME,
    ],
);

pub(crate) const UNIT: Optional<String> = Optional::new(
    "unit",
    "Unit of the scaled value, as a UCUM code such as \"Cel\", \"bar\" or \"kW\". It is stored beside the value, and nothing is converted.",
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
    "How far a value must move from the one that was sent last before it is sent: a number in the unit of the scaled value, or a \
     share of the last value such as \"1%\".",
)
.absent("every reading is sent");

pub(crate) const MAX_SILENCE: Defaulted<Duration> = Defaulted::new(
    "max_silence",
    Duration::from_secs(600),
    "A tag behind a dead-band is sent at least this often while readings come, although it has not moved.",
);

pub(crate) const RENAME: Optional<String> = Optional::new(
    "rename",
    "The tag's name in readings; {tag} in it stands for the name that the source gives. A name that is not valid is not taken, and the \
     old one stays.",
)
.absent("the name that the source gives");
