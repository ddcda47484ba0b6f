//! The keys of `[alerts]`, `[[alert]]` and `[[route]]`.

use std::{path::PathBuf, time::Duration};

use forebay_config::{Choice, Defaulted, DefaultedChoice, Optional, Required, Secret, TableKeys};

use crate::{Severity, Subject};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// `[alerts]`.
pub const ALERTS: TableKeys = TableKeys::one(
    "alerts",
    "How rules are judged, for all of them.",
    &[&EVERY, &LAKE_EVERY],
);
pub(crate) const EVERY: Defaulted<Duration> = Defaulted::new(
    "every",
    Duration::from_secs(5),
    "How often rules are judged, at least 1s.",
);
pub(crate) const LAKE_EVERY: Defaulted<Duration> = Defaulted::new(
    "lake_every",
    MINUTE,
    "How often the lake is asked for completeness and the warnings of jobs, at least 1s.",
);

/// `[[alert]]`.
pub const ALERT: TableKeys = TableKeys::many(
    "alert",
    "A rule: what is wrong, for how long, and how bad that is. Alerts run when there is one.",
    &[
        &NAME,
        &ON,
        &SEVERITY,
        &AFTER,
        &CLEAR_AFTER,
        &ABOVE,
        &BELOW,
        &CLEAR_BELOW,
        &CLEAR_ABOVE,
        &OLDER_THAN,
        &DEVICES,
        &CONNECTORS,
        &SITES,
        &JOBS,
        &SEVERITY_FROM,
        &INSTANCES_MAX,
    ],
);
pub(crate) const NAME: Required<String> = Required::new(
    "name",
    "Its name, unique among the alerts. Receivers see it; an alert that is renamed is another one.",
);
pub(crate) const ON: Choice<Subject> = Choice::new(
    "on",
    Subject::WORDS,
    "What is watched. device_silent: a device that has sent nothing for after. freshness: how far a site's complete \
     readings in the lake lie behind the clock. completeness: the share of a site's devices in its newest closed window. \
     job_result: a warning that a job has written. job_failed: a job whose newest run failed. disk: how full the disk of \
     the data folder is. spool: how full a lane's spool is.",
)
.required();
pub(crate) const SEVERITY: Choice<Severity> =
    Choice::new("severity", Severity::WORDS, "How bad it is.")
        .absent("what a job says of its own warning, else warning");
pub(crate) const AFTER: Optional<Duration> = Optional::new(
    "after",
    "For how long it must be wrong before the alert fires.",
)
.absent("5m for device_silent, else 0s");
pub(crate) const CLEAR_AFTER: Defaulted<Duration> = Defaulted::new(
    "clear_after",
    MINUTE,
    "For how long it must be right again before the alert is resolved.",
);
pub(crate) const ABOVE: Optional<f64> =
    Optional::new("above", "Wrong above this; of disk and spool, in percent.")
        .absent("90 for disk, 80 for spool");
pub(crate) const BELOW: Optional<f64> = Optional::new(
    "below",
    "Wrong below this; of completeness, a share from 0 to 1.",
)
.absent("0.9 for completeness");
pub(crate) const CLEAR_BELOW: Optional<f64> = Optional::new(
    "clear_below",
    "Right again only below this, so that a value around above is one alert and not many.",
)
.absent("above");
pub(crate) const CLEAR_ABOVE: Optional<f64> =
    Optional::new("clear_above", "Right again only above this.").absent("below");
pub(crate) const OLDER_THAN: Optional<Duration> = Optional::new(
    "older_than",
    "Wrong when further behind than this; of freshness.",
)
.absent("15m");
pub(crate) const DEVICES: Defaulted<Vec<String>> = Defaulted::list(
    "devices",
    &["*"],
    "Globs of devices. A device with a pseudonym is taken by either name, by its own one where its connector runs in this \
         process; what is sent names the pseudonym.",
);
pub(crate) const CONNECTORS: Defaulted<Vec<String>> = Defaulted::list(
    "connectors",
    &["*"],
    "Globs of connectors; of device_silent.",
);
pub(crate) const SITES: Defaulted<Vec<String>> =
    Defaulted::list("sites", &["*"], "Globs of sites.");
pub(crate) const JOBS: Defaulted<Vec<String>> = Defaulted::list("jobs", &["*"], "Globs of jobs.");
pub(crate) const SEVERITY_FROM: Choice<Severity> = Choice::new(
    "severity_from",
    Severity::WORDS,
    "The least severity of a job's warning that counts; of job_result.",
)
.absent("info");
pub(crate) const INSTANCES_MAX: Defaulted<u32> = Defaulted::new(
    "instances_max",
    100,
    "Alerts of this rule at a time, from 1 to 10000. What is beyond them is one alert that counts the rest.",
);

/// `[[route]]`: what all kinds have.
pub const ROUTE: TableKeys = TableKeys::many(
    "route",
    "Where alerts are sent. What cannot be delivered waits on disk and is sent again, in its order.",
    &[
        &ROUTE_NAME,
        &KIND,
        &URL,
        &ROUTE_ALERTS,
        &SEVERITY_MIN,
        &REPEAT_EVERY,
        &GIVE_UP_AFTER,
        &CA_FILE,
    ],
);

/// What a webhook has beside it.
pub(crate) const WEBHOOK: TableKeys = TableKeys::many(
    "route",
    "A POST with a JSON body.",
    &[&SECRET_FILE, &TOKEN_FILE, &ALLOW_PRIVATE],
);
/// What an Alertmanager has beside it.
pub(crate) const ALERTMANAGER: TableKeys = TableKeys::many(
    "route",
    "An Alertmanager, by version 2 of its API.",
    &[&TOKEN_FILE],
);
/// What mail has beside it.
pub(crate) const SMTP: TableKeys = TableKeys::many(
    "route",
    "Mail by SMTP.",
    &[&FROM, &TO, &TLS, &USER, &PASSWORD],
);
/// What a broker has beside it.
pub(crate) const MQTT: TableKeys =
    TableKeys::many("route", "An MQTT broker.", &[&TOPIC, &USER, &PASSWORD]);

pub(crate) const ROUTE_NAME: Required<String> =
    Required::new("name", "Its name, unique among the routes.");
pub(crate) const KIND: Choice<Kind> = Choice::new(
    "kind",
    Kind::WORDS,
    "Who receives: a webhook (a POST with JSON), an alertmanager (version 2 of its API), people by mail (smtp), or an \
     mqtt broker.",
)
.required();
pub(crate) const URL: Required<String> = Required::new(
    "url",
    "Where to: https://… or http://…; for smtp smtp://host:587 (STARTTLS) or smtps://host:465; for mqtt mqtt://host:1883 or \
     mqtts://host:8883. Without user and password: those have keys of their own.",
);
pub(crate) const ROUTE_ALERTS: Defaulted<Vec<String>> =
    Defaulted::list("alerts", &["*"], "Globs of the alerts' names.");
pub(crate) const SEVERITY_MIN: DefaultedChoice<Severity> = Choice::new(
    "severity_min",
    Severity::WORDS,
    "The least severity that is sent.",
)
.or_first();
pub(crate) const REPEAT_EVERY: Optional<Duration> = Optional::new(
    "repeat_every",
    "How often what still fires, and nobody has acknowledged, is sent again; at least 10s. To an alertmanager it is sent in \
     any case, and lives there for four times as long.",
)
.absent("1m for alertmanager, else 4h");
pub(crate) const GIVE_UP_AFTER: Defaulted<Duration> = Defaulted::new(
    "give_up_after",
    Duration::from_secs(7 * 24 * 3600),
    "How long a delivery is tried before it is dropped and logged.",
);
pub(crate) const SECRET_FILE: Optional<PathBuf> = Optional::new(
    "secret_file",
    "File with the secret under which a webhook is signed; read at each try.",
)
.absent("no signature");
pub(crate) const TOKEN_FILE: Optional<PathBuf> = Optional::new(
    "token_file",
    "File with a token that is sent as Authorization: Bearer to a webhook or an Alertmanager; read at each try.",
)
.absent("no token");
pub(crate) const ALLOW_PRIVATE: Defaulted<bool> = Defaulted::new(
    "allow_private",
    false,
    "Whether a webhook may lead to an address that is not of the public internet.",
);
pub(crate) const CA_FILE: Optional<PathBuf> = Optional::new(
    "ca_file",
    "Certificates, in PEM, of those who may vouch for the receiver.",
)
.absent("the system's");
pub(crate) const TLS: Choice<NoTls> = Choice::new(
    "tls",
    NoTls::WORDS,
    "The word none sends mail in clear over smtp://, for a relay on this machine.",
)
.absent("STARTTLS, which the server must offer");
pub(crate) const USER: Optional<String> =
    Optional::new("user", "User at the mail server or the broker.").absent("no login");
pub(crate) const PASSWORD: Optional<Secret> = Optional::new(
    "password",
    "The user's password, such as \"${file:/run/secrets/mail}\".",
);
pub(crate) const FROM: Required<String> = Required::new("from", "Who writes the mails.");
pub(crate) const TO: Required<Vec<String>> = Required::new("to", "To whom, at least one address.");
pub(crate) const TOPIC: Defaulted<String> = Defaulted::new(
    "topic",
    "forebay/{gateway}/alerts/{alert}",
    "Topic at the broker; may hold {gateway}, {site}, {alert} and {severity}.",
);

/// What a route is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Webhook,
    Alertmanager,
    Smtp,
    Mqtt,
}

impl Kind {
    pub(crate) const WORDS: &'static [(&'static str, Self)] = &[
        ("webhook", Self::Webhook),
        ("alertmanager", Self::Alertmanager),
        ("smtp", Self::Smtp),
        ("mqtt", Self::Mqtt),
    ];
}

/// The only word of `tls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoTls;

impl NoTls {
    const WORDS: &'static [(&'static str, Self)] = &[("none", Self)];
}

/// Least values, so that a typing error does not make a storm.
pub(crate) const EVERY_MIN: Duration = SECOND;
pub(crate) const REPEAT_MIN: Duration = Duration::from_secs(10);
pub(crate) const REPEAT_PEOPLE: Duration = Duration::from_secs(4 * HOUR.as_secs());
pub(crate) const REPEAT_ALERTMANAGER: Duration = MINUTE;
pub(crate) const SILENT_AFTER: Duration = Duration::from_secs(5 * MINUTE.as_secs());
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(15 * MINUTE.as_secs());
