//! What is done to files: of a lake, of a keyring, of a spool.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::site::{Site, files};

pub(super) const KEYRING: &str = "keys/keyring.json";
const NEXT_ENTRY: &str = "lake/readings/_delta_log/00000000000000000099.json";

pub(super) fn cut(file: &Path) {
    let whole = fs::read(file).unwrap();
    fs::write(file, &whole[..whole.len() / 2]).unwrap();
}

pub(super) fn fill_with_garbage(file: &Path) {
    let bytes = fs::metadata(file).unwrap().len() as usize;
    let footer_length = 100_u32.to_le_bytes();
    let garbage = vec![b'x'; bytes - 12];
    fs::write(
        file,
        [b"PAR1", garbage.as_slice(), &footer_length, b"PAR1"].concat(),
    )
    .unwrap();
}

pub(super) fn remove(file: &Path) {
    fs::remove_file(file).unwrap();
}

/// The next entry of the log, so that every reader meets it.
pub(super) fn break_the_log(data: &Path) {
    let log = data.join(NEXT_ENTRY).parent().unwrap().to_owned();
    let entries = files(&log)
        .into_iter()
        .filter(|f| f.extension().is_some_and(|e| e == "json"))
        .count();
    fs::write(
        log.join(format!("{entries:020}.json")),
        "{\"add\": this is no JSON\n",
    )
    .unwrap();
}

pub(super) fn another_keyring(data: &Path) {
    let other = Site::new();
    other.configure("[gateway]\nid = \"g2\"\nsite = \"werk\"\ndata_dir = \"data\"\n");
    assert!(other.forebay(&["keys", "init"]).status.success());
    fs::copy(other.path("data").join(KEYRING), data.join(KEYRING)).unwrap();
}

pub(super) fn cut_the_keyring(data: &Path) {
    let whole = fs::read(data.join(KEYRING)).unwrap();
    fs::write(data.join(KEYRING), &whole[..whole.len() / 2]).unwrap();
}

pub(super) fn open_the_keyring_to_all(data: &Path) {
    fs::set_permissions(data.join(KEYRING), fs::Permissions::from_mode(0o644)).unwrap();
}

pub(super) fn a_newer_keyring(data: &Path) {
    let text = fs::read_to_string(data.join(KEYRING)).unwrap();
    assert!(
        text.contains("\"version\":1") || text.contains("\"version\": 1"),
        "{text:.20}"
    );
    let newer = text.replacen("\"version\":1", "\"version\":2", 1).replacen(
        "\"version\": 1",
        "\"version\": 2",
        1,
    );
    fs::write(data.join(KEYRING), newer).unwrap();
}

/// One bit in the middle of what waits: neither a torn tail nor the first record. Segments have room for more behind it.
pub(super) fn damage_a_record(spool: &Path) {
    let written = |file: &PathBuf| {
        fs::read(file)
            .unwrap()
            .iter()
            .rposition(|byte| *byte != 0)
            .unwrap_or_default()
    };
    let fullest = files(spool).into_iter().max_by_key(written).unwrap();
    let mut bytes = fs::read(&fullest).unwrap();
    bytes[written(&fullest) / 2] ^= 1;
    fs::write(fullest, bytes).unwrap();
}

/// As a later release might write it: its header is whole.
pub(super) fn a_newer_segment(spool: &Path) {
    let segment = files(spool)
        .into_iter()
        .find(|f| f.extension().is_some_and(|e| e == "seg"))
        .unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    // Magic, version and length of the header stay where they are for ever, and the checksum ends it.
    bytes[8] = 4;
    let header = usize::from(u16::from_le_bytes([bytes[10], bytes[11]]));
    let checksum = crc32c::crc32c(&bytes[..header - 4]);
    bytes[header - 4..header].copy_from_slice(&checksum.to_le_bytes());
    fs::write(segment, bytes).unwrap();
}

pub(super) fn sealed_by_another_keyring(spool: &Path) {
    another_keyring(spool.ancestors().nth(2).unwrap());
}
