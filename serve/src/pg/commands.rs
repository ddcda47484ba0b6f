//! Statements that are no queries: `SET`, `SHOW`, transactions, and what pools send to clear a connection.
//!
//! A statement sees one version of each table, so a transaction adds nothing; it is accepted, since clients begin one.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{CopyTarget, Expr, Set, Statement, Value};
use datafusion_postgres::pgwire::{
    api::{
        ClientPortalStore, Type,
        results::{DataRowEncoder, FieldFormat, FieldInfo, QueryResponse, Response, Tag},
        store::PortalStore,
    },
    error::PgWireResult,
};

use super::session::PgSession;
use crate::error::QueryError;

/// What a statement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// To be planned and run.
    Query,
    /// Sets these.
    Set(Vec<(String, String)>),
    /// Shows this.
    Show(String),
    /// Begins a transaction.
    Begin,
    /// Ends one.
    Commit,
    /// Ends one.
    Rollback,
    /// Does nothing, and says that it has been done.
    Nothing(&'static str),
    /// Forgets what was set.
    Reset,
    /// Forgets what was set and prepared.
    Discard,
    /// Forgets one prepared statement, or all.
    Deallocate(Option<String>),
    /// No statement at all.
    Empty,
}

impl Command {
    /// Whether it is to be planned and run.
    pub(crate) fn is_query(&self) -> bool {
        *self == Self::Query
    }

    /// # Errors
    /// For what would change something, and for what is not known.
    pub(crate) fn of(statement: &Statement) -> Result<Self, QueryError> {
        match statement {
            Statement::Query(_)
            | Statement::Explain { .. }
            | Statement::ExplainTable { .. }
            | Statement::ShowTables { .. }
            | Statement::ShowColumns { .. } => Ok(Self::Query),
            Statement::Set(set) => of_set(set),
            Statement::ShowVariable { variable } => {
                let words: Vec<&str> = variable.iter().map(|word| word.value.as_str()).collect();
                Ok(Self::Show(shown_name(&words)))
            }
            Statement::StartTransaction { .. } => Ok(Self::Begin),
            Statement::Commit { .. } => Ok(Self::Commit),
            Statement::Rollback { .. } => Ok(Self::Rollback),
            Statement::Discard { .. } => Ok(Self::Discard),
            Statement::Reset(_) => Ok(Self::Reset),
            Statement::Deallocate { name, .. } => {
                let is_all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all");
                Ok(Self::Deallocate((!is_all).then(|| name.value.clone())))
            }
            Statement::Close { .. } => Ok(Self::Nothing("CLOSE CURSOR")),
            Statement::UNLISTEN { .. } => Ok(Self::Nothing("UNLISTEN")),
            Statement::Copy {
                to: true,
                target: CopyTarget::Stdout,
                ..
            } => Err(QueryError::NotSupported(
                "COPY is not supported: ask the SELECT itself; psql writes CSV with --csv".into(),
            )),
            Statement::Declare { .. } | Statement::Fetch { .. } => Err(QueryError::NotSupported(
                "cursors are not supported: ask the SELECT itself".into(),
            )),
            other => {
                let text = other.to_string();
                let words: Vec<&str> = text.split_whitespace().take(2).collect();
                Err(QueryError::ReadOnly(words.join(" ")))
            }
        }
    }
}

impl Command {
    /// Drops the prepared statements that the command forgets, if it is one that does.
    pub(super) fn forget_statements<C>(&self, client: &C, session: &PgSession)
    where
        C: ClientPortalStore,
        C::PortalStore: PortalStore,
    {
        let names = match self {
            Self::Deallocate(Some(name)) => {
                session.forget(name);
                vec![name.clone()]
            }
            Self::Deallocate(None) | Self::Discard => session.forget_all(),
            _ => return,
        };
        for name in names {
            client.portal_store().rm_statement(&name);
        }
    }
}

fn of_set(set: &Set) -> Result<Command, QueryError> {
    match set {
        Set::SingleAssignment {
            variable, values, ..
        } => {
            let name = variable.to_string().replace('"', "");
            let values: Vec<String> = values.iter().map(text_of).collect();
            Ok(Command::Set(vec![(known_name(&name), values.join(", "))]))
        }
        Set::SetTimeZone { value, .. } => {
            Ok(Command::Set(vec![("timezone".into(), text_of(value))]))
        }
        Set::SetNames { charset_name, .. } => {
            let name = charset_name.to_string();
            Ok(Command::Set(vec![("client_encoding".into(), name)]))
        }
        Set::SetTransaction { .. } | Set::SetSessionParam(_) => Ok(Command::Nothing("SET")),
        Set::SetRole { .. } | Set::SetSessionAuthorization(_) => Err(QueryError::NotSupported(
            "SET ROLE is not supported: a connection has the rights of the user who signed in"
                .into(),
        )),
        _ => Err(QueryError::NotSupported(
            "this form of SET is not supported".into(),
        )),
    }
}

/// `SET TIME ZONE` and `SET timezone` are one.
fn known_name(name: &str) -> String {
    match name.to_ascii_lowercase().as_str() {
        "time zone" | "timezone" => "timezone".to_owned(),
        name => name.to_owned(),
    }
}

fn shown_name(words: &[&str]) -> String {
    match words.join(" ").to_ascii_lowercase().as_str() {
        "time zone" => "timezone".to_owned(),
        "transaction isolation level" => "transaction_isolation".to_owned(),
        name => name.to_owned(),
    }
}

fn text_of(value: &Expr) -> String {
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        other => other.to_string().replace(['"', '\''], ""),
    }
}

/// Does what a command says.
pub(super) fn answer(command: &Command, session: &PgSession) -> PgWireResult<Response> {
    Ok(match command {
        Command::Set(settings) => {
            for (name, value) in settings {
                session.set(name, value).map_err(super::of_query)?;
            }
            Response::Execution(Tag::new("SET"))
        }
        Command::Show(name) => match session.setting(name) {
            Some(value) => Response::Query(shown(name, value)?),
            None => {
                let error = QueryError::Planning(format!("unrecognized setting {name:?}"));
                return Err(super::of_query(error));
            }
        },
        Command::Begin => Response::TransactionStart(Tag::new("BEGIN")),
        Command::Commit => Response::TransactionEnd(Tag::new("COMMIT")),
        Command::Rollback => Response::TransactionEnd(Tag::new("ROLLBACK")),
        Command::Nothing(tag) => Response::Execution(Tag::new(tag)),
        Command::Reset => {
            session.reset();
            Response::Execution(Tag::new("RESET"))
        }
        Command::Discard => {
            session.reset();
            Response::Execution(Tag::new("DISCARD ALL"))
        }
        Command::Deallocate(Some(_)) => Response::Execution(Tag::new("DEALLOCATE")),
        Command::Deallocate(None) => Response::Execution(Tag::new("DEALLOCATE ALL")),
        Command::Query | Command::Empty => Response::EmptyQuery,
    })
}

/// The one column of `SHOW`.
pub(super) fn shown_field(name: &str) -> FieldInfo {
    FieldInfo::new(name.to_owned(), None, None, Type::TEXT, FieldFormat::Text)
}

fn shown(name: &str, value: String) -> PgWireResult<QueryResponse> {
    let fields = Arc::new(vec![shown_field(name)]);
    let mut row = DataRowEncoder::new(fields.clone());
    row.encode_field(&Some(value))?;
    let row = row.take_row();
    let mut response = QueryResponse::new(fields, futures::stream::iter([Ok(row)]));
    response.set_command_tag("SHOW");
    Ok(response)
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::{dialect::PostgreSqlDialect, parser::Parser};

    use super::*;

    fn command(sql: &str) -> Result<Command, QueryError> {
        let parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
        Command::of(&parsed[0])
    }

    #[test]
    fn statements_are_told_apart() {
        let set = |name: &str, value: &str| Ok(Command::Set(vec![(name.into(), value.into())]));
        for (sql, expected) in [
            ("SELECT 1", Ok(Command::Query)),
            ("WITH a AS (SELECT 1) SELECT * FROM a", Ok(Command::Query)),
            ("EXPLAIN SELECT 1", Ok(Command::Query)),
            ("SET extra_float_digits = 3", set("extra_float_digits", "3")),
            (
                "SET TIME ZONE 'Europe/Amsterdam'",
                set("timezone", "Europe/Amsterdam"),
            ),
            ("SET timezone TO 'UTC'", set("timezone", "UTC")),
            ("SET datestyle TO ISO, MDY", set("datestyle", "ISO, MDY")),
            (
                "SHOW TRANSACTION ISOLATION LEVEL",
                Ok(Command::Show("transaction_isolation".into())),
            ),
            ("SHOW TIME ZONE", Ok(Command::Show("timezone".into()))),
            ("BEGIN", Ok(Command::Begin)),
            ("START TRANSACTION READ ONLY", Ok(Command::Begin)),
            ("DISCARD ALL", Ok(Command::Discard)),
            ("RESET ALL", Ok(Command::Reset)),
            ("DEALLOCATE ALL", Ok(Command::Deallocate(None))),
            (
                "DEALLOCATE \"All\"",
                Ok(Command::Deallocate(Some("All".into()))),
            ),
        ] {
            assert_eq!(command(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_called_a_change() {
        for (sql, words) in [
            ("COPY (SELECT 1) TO STDOUT", "COPY is not supported"),
            ("COPY readings TO STDOUT", "COPY is not supported"),
            ("DECLARE c CURSOR FOR SELECT 1", "cursors are not supported"),
            ("FETCH FORWARD 10 FROM c", "cursors are not supported"),
            ("SET ROLE admin", "SET ROLE is not supported"),
            (
                "SET SESSION AUTHORIZATION admin",
                "SET ROLE is not supported",
            ),
        ] {
            let error = command(sql).unwrap_err();
            assert_eq!(error.sqlstate(), "0A000", "{sql}");
            assert!(error.to_string().starts_with(words), "{sql}: {error}");
        }
    }

    #[test]
    fn what_would_change_something_is_refused_by_name() {
        for (sql, what) in [
            ("INSERT INTO readings VALUES (1)", "INSERT INTO"),
            ("DELETE FROM readings", "DELETE FROM"),
            ("DROP TABLE readings", "DROP TABLE"),
            ("CREATE VIEW v AS SELECT 1", "CREATE VIEW"),
            ("COPY readings TO '/tmp/x'", "COPY readings"),
            ("TRUNCATE readings", "TRUNCATE readings"),
            ("PREPARE a AS SELECT 1", "PREPARE a"),
        ] {
            assert_eq!(
                command(sql),
                Err(QueryError::ReadOnly(what.into())),
                "{sql}"
            );
        }
    }
}
