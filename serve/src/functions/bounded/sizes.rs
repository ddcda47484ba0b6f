//! How many bytes the values of an array have.

use arrow::{
    array::{Array as _, ArrayRef, AsArray as _},
    datatypes::DataType,
};

/// What a value of a fixed size has at most.
const FIXED_BYTES: usize = 16;
/// A value's place in an array.
const PLACE_BYTES: usize = 4;

/// Of each row.
pub(crate) fn lengths(array: &ArrayRef) -> Vec<usize> {
    let rows = 0..array.len();
    match array.data_type() {
        DataType::Utf8 => {
            let texts = array.as_string::<i32>();
            rows.map(|row| texts.value(row).len()).collect()
        }
        DataType::LargeUtf8 => {
            let texts = array.as_string::<i64>();
            rows.map(|row| texts.value(row).len()).collect()
        }
        DataType::Utf8View => {
            let texts = array.as_string_view();
            rows.map(|row| texts.value(row).len()).collect()
        }
        DataType::Binary => {
            let bytes = array.as_binary::<i32>();
            rows.map(|row| bytes.value(row).len()).collect()
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            rows.map(|row| written(&lists.value(row))).collect()
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            rows.map(|row| written(&lists.value(row))).collect()
        }
        DataType::Struct(_) => {
            let columns: Vec<Vec<usize>> =
                array.as_struct().columns().iter().map(lengths).collect();
            rows.map(|row| columns.iter().map(|column| column[row]).sum())
                .collect()
        }
        // Any row may have the longest.
        DataType::Dictionary(_, _) => {
            vec![largest(array.as_any_dictionary().values()); array.len()]
        }
        data_type if data_type.is_primitive() || *data_type == DataType::Boolean => {
            vec![FIXED_BYTES; array.len()]
        }
        DataType::Null => vec![0; array.len()],
        // Never less than there is.
        _ => vec![array.get_array_memory_size(); array.len()],
    }
}

/// Of all rows.
pub(super) fn written(array: &ArrayRef) -> usize {
    let places = PLACE_BYTES * array.len();
    lengths(array).iter().sum::<usize>().saturating_add(places)
}

/// Of the largest row.
pub(super) fn largest(array: &ArrayRef) -> usize {
    lengths(array).into_iter().max().unwrap_or(0)
}
