//! What `[serve]` says: where to listen, how much a query may take, who may ask.
//!
//! Files of passwords, tokens and certificates are read when the role starts, not here.

pub(crate) mod keys;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use forebay_config::{Optional, Table};
use forebay_schemas::table::TABLES;

use crate::sites::SiteSet;

/// Columns that say whose a row is, and when: hiding them would leave rows that nobody can read.
const NEVER_HIDDEN: [&str; 4] = ["site", "device", "tag", "event_time"];

/// `[serve]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeSettings {
    /// Where clients of PostgreSQL are served.
    pub postgres_listen: Option<SocketAddr>,
    /// Where HTTP is served.
    pub http_listen: Option<SocketAddr>,
    /// What a query may take.
    pub limits: Limits,
    /// Whether roll-ups answer for readings.
    pub rollups: RollupUse,
    /// The certificate of both ports.
    pub tls: Option<TlsFiles>,
    /// Who may ask.
    pub users: Vec<UserSettings>,
}

/// Whether aggregates over readings are answered from their roll-ups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollupUse {
    /// Where the answer is the same.
    WhereTheyFit,
    /// A query reads the tables that it names, and no others.
    Never,
}

/// What a query may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Queries that run at once, at least 1.
    pub queries_at_once: usize,
    /// Rows of an answer.
    pub rows_max: u64,
    /// Memory of sorts, joins and groups.
    pub memory_bytes_max: usize,
    /// From the statement to its last row.
    pub timeout: Duration,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those that vouch for it.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// One `[[serve.user]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSettings {
    /// Unique.
    pub name: String,
    /// Password or SCRAM verifier.
    pub password_file: Option<PathBuf>,
    /// Bearer token.
    pub token_file: Option<PathBuf>,
    /// Whose rows are seen.
    pub sites: SiteSet,
    /// Columns that are not there.
    pub columns_hidden: BTreeSet<String>,
}

impl ServeSettings {
    /// Reads `[serve]`; `None` where it is absent, and where it is wrong, which is noted.
    pub fn read(root: &mut Table<'_>) -> Option<Self> {
        let mut table = root.table(&keys::SERVE)?;
        let limits = limits(&mut table);
        let rollups = if table.read(&keys::USE_ROLLUPS) {
            RollupUse::WhereTheyFit
        } else {
            RollupUse::Never
        };
        let tls = table.table(&keys::TLS).map(tls);
        let postgres = table.has(&keys::POSTGRES_LISTEN);
        let http = table.has(&keys::HTTP_LISTEN);
        let postgres_listen = listen(&mut table, &keys::POSTGRES_LISTEN, tls.is_some());
        let http_listen = listen(&mut table, &keys::HTTP_LISTEN, tls.is_some());
        if !postgres && !http {
            let why = "missing: nobody could ask without postgres_listen or http_listen";
            table.problem(&keys::POSTGRES_LISTEN, why);
        }
        let users = users(&mut table);
        if users.as_ref().is_some_and(Vec::is_empty) {
            table.problem(
                &keys::USER,
                "missing: nobody may ask without a [[serve.user]]",
            );
        }
        table.finish();
        Some(Self {
            postgres_listen,
            http_listen,
            limits: limits?,
            rollups,
            tls: match tls {
                Some(files) => Some(files?),
                None => None,
            },
            users: users?,
        })
    }
}

fn limits(table: &mut Table<'_>) -> Option<Limits> {
    let queries = table.read(&keys::QUERIES_AT_ONCE);
    let rows_max = table.read(&keys::ROWS_MAX);
    let memory = table.read(&keys::MEMORY_MAX);
    let timeout = table.read(&keys::TIMEOUT);
    let mut is_right = true;
    if queries == 0 {
        table.problem(&keys::QUERIES_AT_ONCE, "at least 1 is expected");
        is_right = false;
    }
    if rows_max == 0 {
        table.problem(&keys::ROWS_MAX, "at least 1 is expected");
        is_right = false;
    }
    if memory.0 < 1 << 20 {
        table.problem(&keys::MEMORY_MAX, "at least \"1MiB\" is expected");
        is_right = false;
    }
    if timeout.is_zero() {
        table.problem(&keys::TIMEOUT, "a time above zero is expected");
        is_right = false;
    }
    is_right.then_some(Limits {
        queries_at_once: usize::try_from(queries).unwrap_or(usize::MAX),
        rows_max,
        memory_bytes_max: usize::try_from(memory.0).unwrap_or(usize::MAX),
        timeout,
    })
}

fn tls(mut table: Table<'_>) -> Option<TlsFiles> {
    let cert = table.read(&keys::CERT_FILE);
    let key = table.read(&keys::KEY_FILE);
    table.finish();
    Some(TlsFiles {
        cert: cert?,
        key: key?,
    })
}

/// An address; without TLS only one of this machine.
fn listen(table: &mut Table<'_>, key: &Optional<String>, is_sealed: bool) -> Option<SocketAddr> {
    let text = table.read(key)?;
    let Ok(address) = text.parse::<SocketAddr>() else {
        let why = format!("{text:?} is not an address such as \"127.0.0.1:5432\"");
        table.problem(key, why);
        return None;
    };
    if !is_sealed && !address.ip().is_loopback() {
        let why = "without [serve.tls] only the loopback address may be listened on: rows and tokens would travel in clear";
        table.problem(key, why);
        return None;
    }
    Some(address)
}

fn users(table: &mut Table<'_>) -> Option<Vec<UserSettings>> {
    let mut users: Vec<UserSettings> = Vec::new();
    let mut all_right = true;
    for mut table in table.tables(&keys::USER) {
        let user = user(&mut table);
        if let Some(user) = &user
            && users.iter().any(|other| other.name == user.name)
        {
            table.problem(&keys::NAME, format!("{:?} is there twice", user.name));
            all_right = false;
        }
        table.finish();
        all_right &= user.is_some();
        users.extend(user);
    }
    all_right.then_some(users)
}

fn user(table: &mut Table<'_>) -> Option<UserSettings> {
    let name = table.read(&keys::NAME);
    let password_file = table.read(&keys::PASSWORD_FILE);
    let token_file = table.read(&keys::TOKEN_FILE);
    let sites = table.read(&keys::SITES);
    let hidden = table.read(&keys::COLUMNS_HIDDEN);
    let mut is_right = true;
    if name.as_deref() == Some("") {
        table.problem(&keys::NAME, "a name is expected");
        is_right = false;
    }
    if !table.has(&keys::PASSWORD_FILE) && !table.has(&keys::TOKEN_FILE) {
        let why = "missing: without password_file or token_file the user cannot sign in";
        table.problem(&keys::PASSWORD_FILE, why);
        is_right = false;
    }
    if sites.as_ref().is_some_and(Vec::is_empty) {
        table.problem(
            &keys::SITES,
            "no row fits an empty list: [\"*\"] stands for all",
        );
        is_right = false;
    }
    for column in &hidden {
        if let Some(why) = not_to_hide(column) {
            table.problem(&keys::COLUMNS_HIDDEN, format!("{column:?} {why}"));
            is_right = false;
        }
    }
    let (name, sites) = (name?, sites?);
    is_right.then(|| UserSettings {
        name,
        password_file,
        token_file,
        sites: SiteSet::new(sites),
        columns_hidden: hidden.into_iter().collect(),
    })
}

fn not_to_hide(column: &str) -> Option<&'static str> {
    if NEVER_HIDDEN.contains(&column) {
        return Some("cannot be hidden: it says whose a row is, and when");
    }
    let columns = TABLES.iter().flat_map(|table| table.columns);
    let is_known = columns.into_iter().any(|known| known.name == column);
    (!is_known).then_some("is no column of the lake's tables")
}
