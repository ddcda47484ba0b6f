//! The lake as a database that is read only: SQL over PostgreSQL's wire protocol and over HTTP.
