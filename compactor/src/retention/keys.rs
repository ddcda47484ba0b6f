//! The keys of `[retention]` and `[[retention.rule]]`.

use std::time::Duration;

use forebay_config::{Defaulted, Optional, Required, TableKeys};

/// The table.
pub const RETENTION: TableKeys = TableKeys::one(
    "retention",
    "How long rows are kept; what is older is deleted. A table that is not named here is kept for ever.",
    &[&READINGS, &READINGS_1M, &READINGS_1H, &EVENTS, &RULE],
);

/// One of its rules.
pub(super) const RULE: TableKeys = TableKeys::many(
    "rule",
    "How long the readings of some series are kept, in place of what readings says. Of several rules that fit a series the first \
     counts. Roll-ups are not affected.",
    &[&SITES, &DEVICES, &TAGS, &KEEP],
);

pub(super) const READINGS: Optional<Duration> = Optional::new(
    "readings",
    "How long readings are kept, by their event time; at least 1h. Readings whose windows are not closed stay until they are.",
)
.absent("for ever");

pub(super) const READINGS_1M: Optional<Duration> = Optional::new(
    "readings_1m",
    "How long roll-ups by the minute are kept; at least 1h.",
)
.absent("for ever");

pub(super) const READINGS_1H: Optional<Duration> = Optional::new(
    "readings_1h",
    "How long roll-ups by the hour are kept; at least 1h.",
)
.absent("for ever");

pub(super) const EVENTS: Optional<Duration> = Optional::new(
    "events",
    "How long events are kept, by when they began and when something was written of them last; at least 1h. One that goes on stays \
     until it has ended.",
)
.absent("for ever");

pub(super) const SITES: Defaulted<Vec<String>> = Defaulted::list(
    "sites",
    &[],
    "Globs of the sites that the rule is for; all of them where the list is empty.",
);

pub(super) const DEVICES: Defaulted<Vec<String>> = Defaulted::list(
    "devices",
    &[],
    "Globs of the devices that the rule is for; all of them where the list is empty.",
);

pub(super) const TAGS: Defaulted<Vec<String>> = Defaulted::list(
    "tags",
    &[],
    "Globs of the tags that the rule is for; all of them where the list is empty.",
);

pub(super) const KEEP: Required<Duration> = Required::new(
    "keep",
    "How long the readings of these series are kept; at least 1h.",
);
