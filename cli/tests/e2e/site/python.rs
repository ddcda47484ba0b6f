//! Python that tests run: foreign peers, and judges that read a lake without any code of ours.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::text;

/// Who may use a test's bucket: id and secret.
pub(crate) const S3_USER: (&str, &str) = ("forebay", "geheim");

/// The Python that has the peers and PyArrow.
pub(crate) fn interpreter() -> PathBuf {
    std::env::var_os("FOREBAY_TEST_PYTHON")
        .expect("FOREBAY_TEST_PYTHON names a Python with PyArrow and the foreign peers: run `cargo xtask test`")
        .into()
}

/// A script, by its path from the workspace's root.
pub(crate) fn python(script: &str) -> Command {
    let mut command = Command::new(interpreter());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(script));
    command
}

/// What a script says of a table in a bucket, such as "s3://plant/lake/readings".
pub(crate) fn asked_of_bucket(
    script: &str,
    table: &str,
    keyring: &Path,
    more: &[&str],
    endpoint: &str,
) -> String {
    let mut command = python(script);
    command
        .arg(table)
        .arg(keyring)
        .args(more)
        .args(["--s3-endpoint", endpoint]);
    let (id, secret) = S3_USER;
    let output = command
        .envs([("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}
