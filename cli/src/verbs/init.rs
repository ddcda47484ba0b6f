//! `forebay init`: a configuration to start from.

use std::{fs, io::Write as _, path::Path, process::ExitCode};

use anyhow::{Context as _, bail};
use forebay_keys::random_bytes;

use crate::{clock::random, place::Place};

/// What a new configuration says; a test keeps it valid, and `cargo xtask dist` that of the edge.
#[cfg(not(feature = "lake"))]
const TEMPLATE: &str = include_str!("../../templates/edge.toml");
#[cfg(feature = "lake")]
const TEMPLATE: &str = include_str!("../../templates/forebay.toml");
/// The gateway's id in the template.
const ID: &str = "gateway-1";

pub(crate) fn run(place: &Place, data_dir: Option<&Path>) -> anyhow::Result<ExitCode> {
    if let Some(folder) = data_dir {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let file = place.config.as_ref().unwrap_or(&place.expected);
    if file.exists() {
        bail!(
            "{} already exists, and an existing file is never overwritten",
            file.display()
        );
    }
    let text = TEMPLATE.replace(ID, &new_id()?);
    let mut created =
        fs::File::create_new(file).with_context(|| format!("cannot create {}", file.display()))?;
    created
        .write_all(text.as_bytes())
        .with_context(|| format!("cannot write {}", file.display()))?;
    eprintln!(
        "wrote {0}: change the connectors to yours, then `forebay validate -c {0}` and `forebay run -c {0}`",
        file.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Two gateways with one id would pass for one another, at a broker and in a topic: each file begins with its own. Six bytes do not meet
/// in a fleet of any size.
fn new_id() -> anyhow::Result<String> {
    let drawn: [u8; 6] = random_bytes(&random())?;
    let digits: String = drawn.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("gateway-{digits}"))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, process::Command};

    use super::*;

    const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/debian");

    /// The id, as TOML writes it, in the configuration that the package installs below `root`, after its script ran with these arguments.
    fn installed(root: &Path, args: &[&str]) -> String {
        let configured = Command::new("sh")
            .arg(format!("{DEPLOY}/postinst"))
            .args(args)
            .env("DPKG_ROOT", root)
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", root.join("bin").display()),
            )
            .status();
        assert!(configured.unwrap().success(), "{args:?}");
        let text = fs::read_to_string(root.join("etc/forebay/forebay.toml")).unwrap();
        let id = text.lines().find_map(|line| line.strip_prefix("id = \""));
        id.and_then(|id| id.split("\" ").next()).unwrap().to_owned()
    }

    #[test]
    fn the_debian_package_draws_an_id_once_as_init_does() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for inner in ["bin", "etc/forebay", "var/lib/forebay"] {
            fs::create_dir_all(root.join(inner)).unwrap();
        }
        // There is no user forebay here.
        fs::write(root.join("bin/chown"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(root.join("bin/chown"), fs::Permissions::from_mode(0o755)).unwrap();
        let ship = || {
            let shipped = format!("{DEPLOY}/forebay.toml");
            fs::copy(shipped, root.join("etc/forebay/forebay.toml")).unwrap();
        };
        ship();
        assert_eq!(installed(root, &["configure", "0.1.0"]), ID, "an upgrade");
        let drawn = installed(root, &["configure", ""]);
        assert!(
            drawn != ID && drawn.len() == new_id().unwrap().len(),
            "{drawn}"
        );
        assert!(
            drawn["gateway-".len()..]
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit()),
            "{drawn}"
        );
        assert_eq!(installed(root, &["configure", ""]), drawn, "once more");
        // The package was purged, and its data stayed.
        let owner = root.join("var/lib/forebay/gateway.id");
        for (stored, written) in [
            ("gateway-0a1b2c3d4e5f\n", "gateway-0a1b2c3d4e5f"),
            ("north|7 & \\ \"süd\"\n", "north|7 & \\\\ \\\"süd\\\""),
            (" gateway-1 \n", ID),
        ] {
            ship();
            fs::write(&owner, stored).unwrap();
            assert_eq!(installed(root, &["configure", ""]), written, "{stored:?}");
        }
        ship();
        fs::write(&owner, "\n").unwrap();
        assert_ne!(installed(root, &["configure", ""]), ID, "nobody's data");
    }
}
