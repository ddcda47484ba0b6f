//! The tables' columns as Arrow and Delta know them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use deltalake_core::kernel::{DataType as DeltaType, StructField};
use forebay_schemas::table::{Column, ColumnType, Table};

fn arrow_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::String => DataType::Utf8,
        ColumnType::Binary => DataType::Binary,
        ColumnType::Short => DataType::Int16,
        ColumnType::Int => DataType::Int32,
        ColumnType::Long => DataType::Int64,
        ColumnType::Double => DataType::Float64,
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}

fn delta_type(column_type: ColumnType) -> DeltaType {
    match column_type {
        ColumnType::String => DeltaType::STRING,
        ColumnType::Binary => DeltaType::BINARY,
        ColumnType::Short => DeltaType::SHORT,
        ColumnType::Int => DeltaType::INTEGER,
        ColumnType::Long => DeltaType::LONG,
        ColumnType::Double => DeltaType::DOUBLE,
        ColumnType::Bool => DeltaType::BOOLEAN,
        ColumnType::Timestamp => DeltaType::TIMESTAMP,
    }
}

pub(crate) fn arrow_fields(columns: &[Column]) -> Vec<Arc<Field>> {
    columns
        .iter()
        .map(|c| Arc::new(Field::new(c.name, arrow_type(c.column_type), c.nullable)))
        .collect()
}

/// The columns that stand in a table's files.
pub fn file_schema(table: &Table) -> SchemaRef {
    Arc::new(Schema::new(arrow_fields(table.file_columns())))
}

/// As [`file_schema`], with these columns as dictionaries of 32-bit keys: for rows in memory. In a
/// file both are the same.
pub(crate) fn dictionary_schema(table: &Table, dictionaries: &[&str]) -> SchemaRef {
    let coded = |field: &Arc<Field>| {
        if !dictionaries.contains(&field.name().as_str()) {
            return field.clone();
        }
        Arc::new(dictionary_field(field))
    };
    let fields: Vec<_> = file_schema(table).fields().iter().map(coded).collect();
    Arc::new(Schema::new(fields))
}

/// The same column as a dictionary of 32-bit keys.
pub(crate) fn dictionary_field(field: &Field) -> Field {
    let (key, value) = (DataType::Int32, field.data_type().clone());
    let coded = DataType::Dictionary(Box::new(key), Box::new(value));
    field.clone().with_data_type(coded)
}

pub(crate) fn delta_fields(table: &Table) -> Vec<StructField> {
    table
        .columns
        .iter()
        .map(|c| StructField::new(c.name, delta_type(c.column_type), c.nullable))
        .collect()
}
