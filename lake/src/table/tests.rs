//! Tables that this release must not touch.

use forebay_schemas::{
    ErrorKind,
    table::{Column, ColumnType, READINGS},
};

use super::*;

const fn text(name: &'static str) -> Column {
    Column {
        name,
        column_type: ColumnType::String,
        nullable: false,
    }
}

/// As lakes were laid out that had a folder for each day.
static BY_DATE: Table = Table {
    name: "readings",
    partition_columns: 2,
    columns: &[text("site"), text("date"), text("tag")],
};

#[tokio::test]
async fn a_lake_with_a_folder_for_each_day_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    Lake::local(folder.path())
        .unwrap()
        .table(&BY_DATE)
        .await
        .unwrap();
    let Err(error) = Lake::local(folder.path()).unwrap().table(&READINGS).await else {
        panic!("it was opened")
    };
    assert_eq!(error.kind(), ErrorKind::Reject);
    let text = error.to_string();
    assert!(
        text.contains("table readings") && text.contains("partitioned by site, date"),
        "{text}"
    );
    assert!(
        text.contains("`forebay import`") && text.contains("reading the stream from its start"),
        "{text}"
    );
}
