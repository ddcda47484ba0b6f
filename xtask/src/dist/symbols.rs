//! What each crate takes of a binary that still has its symbols.
//!
//! A function counts for the crate that its name begins with: an instance of another crate's generic counts for that other
//! crate, whoever asked for it. Drop glue counts for what it drops. Constants without a name are in no line.

use std::{collections::BTreeMap, path::Path};

use super::{MB, binary::told};

/// Lines of the table.
const SHOWN: usize = 20;
/// Compiled C, and what the linker made.
const NO_CRATE: &str = "C and the like";
const DROP_GLUE: &str = "core::ptr::drop_in_place<";

/// The largest crates first, after a line with the sum of all.
pub(super) fn table(binary: &Path) -> anyhow::Result<String> {
    let arguments = [
        "--demangle",
        "--print-size",
        "--size-sort",
        "--radix=d",
        "--defined-only",
    ];
    let listing = told("nm", &arguments, binary)?;
    let crates = by_crate(&listing);
    let all: u64 = crates.values().sum();
    let mut sizes: Vec<(&str, u64)> = crates.into_iter().collect();
    sizes.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let lines = sizes.into_iter().take(SHOWN).map(|(name, bytes)| {
        let mb = bytes as f64 / MB;
        format!("\n      {mb:>6.2} MB  {name}")
    });
    Ok(format!(
        "      {:>6.2} MB with a name, of these:{}",
        all as f64 / MB,
        lines.collect::<String>()
    ))
}

/// Lines of nm: address, size, kind and name.
fn by_crate(listing: &str) -> BTreeMap<&str, u64> {
    let mut sizes = BTreeMap::new();
    for line in listing.lines() {
        let mut words = line.splitn(4, ' ').skip(1);
        let Some(bytes) = words.next().and_then(|size| size.parse::<u64>().ok()) else {
            continue;
        };
        // What is zero at the start has no place in the file.
        let in_file = words
            .next()
            .is_some_and(|kind| !kind.eq_ignore_ascii_case("b"));
        if let (true, Some(name)) = (in_file, words.next()) {
            *sizes.entry(crate_of(name)).or_default() += bytes;
        }
    }
    sizes
}

/// The first path in a name begins with its crate.
fn crate_of(name: &str) -> &str {
    let name = name.strip_prefix(DROP_GLUE).unwrap_or(name);
    let Some((before, _)) = name.split_once("::") else {
        return NO_CRATE;
    };
    let is_of_path = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    match before.rsplit(|letter| !is_of_path(letter)).next() {
        None | Some("") => NO_CRATE,
        Some(found) => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_for_the_crate_that_it_begins_with() {
        for (name, wanted) in [
            ("forebay_stream::spool::Spool::append", "forebay_stream"),
            ("<tokio::task::Id as core::fmt::Display>::fmt", "tokio"),
            ("<&mut alloc::vec::Vec<T> as bytes::Buf>::chunk", "alloc"),
            ("<[u8] as core::fmt::Debug>::fmt", "core"),
            ("<u8 as core::fmt::Debug>::fmt", "core"),
            ("core::ptr::drop_in_place<rumqttc::v5::Event>", "rumqttc"),
            ("core::ptr::drop_in_place<[bytes::Bytes]>", "bytes"),
            ("core::slice::sort::<ring::Key>", "core"),
            ("rd_kafka_produce", NO_CRATE),
            ("core::ptr::drop_in_place<u8>", NO_CRATE),
        ] {
            assert_eq!(crate_of(name), wanted, "{name}");
        }
    }

    #[test]
    fn sizes_of_one_crate_are_added_and_zeros_are_not_in_the_file() {
        let listing = "0000000000001024 0000000000000016 t a::f\n\
            0000000000002048 0000000000000032 R a::TABLE\n\
            0000000000004096 0000000000000064 b a::STATE\n\
            0000000000008192 0000000000000008 T main\n\
            garbage\n";
        assert_eq!(
            by_crate(listing),
            BTreeMap::from([("a", 48), (NO_CRATE, 8)])
        );
    }
}
