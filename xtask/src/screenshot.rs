//! `cargo xtask screenshot`: the pictures of a report in the documents, light and dark, by headless Chromium.
//!
//! Not among the tests: Chromium is 400 MB, and fonts differ between machines. What a page holds is tested in `jobs/charts`.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, ensure};

use crate::command::{run as run_command, target_dir};

/// In the documents' folder.
const PICTURES: &str = "docs/pictures";

/// What a picture may weigh: it is cloned with the repository.
const BYTES_MAX: u64 = 150_000;

/// Each picture's name, and Chromium's number for the preference that it shows.
const SCHEMES: [(&str, &str); 2] = [("report.png", "1"), ("report-dark.png", "0")];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The report, such as the one that `forebay demo` writes.
    report: PathBuf,
    /// Where the pictures go.
    #[arg(long, default_value = PICTURES)]
    folder: PathBuf,
    /// Width in px: 400 shows what a phone does.
    #[arg(long, default_value_t = 960)]
    width: u32,
    /// Height in px.
    #[arg(long, default_value_t = 1140)]
    height: u32,
    /// Chromium, or a browser that takes its options.
    #[arg(long, default_value = "chromium")]
    browser: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let report = fs::canonicalize(&args.report)
        .with_context(|| format!("there is no report {}", args.report.display()))?;
    fs::create_dir_all(&args.folder)?;
    let profile = std::path::absolute(target_dir())?.join("screenshot");
    for (name, scheme) in SCHEMES {
        let picture = std::path::absolute(args.folder.join(name))?;
        run_command(
            Command::new(&args.browser)
                .args([
                    "--headless=new",
                    "--disable-gpu",
                    "--hide-scrollbars",
                    "--no-sandbox",
                ])
                .arg(format!("--user-data-dir={}", profile.display()))
                .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
                .arg(format!("--window-size={},{}", args.width, args.height))
                .arg(format!("--screenshot={}", picture.display()))
                .arg(format!("file://{}", report.display())),
        )?;
        let bytes = fs::metadata(&picture)?.len();
        ensure!(
            bytes <= BYTES_MAX,
            "{name} has {bytes} bytes, more than {BYTES_MAX}"
        );
        println!("{} ({bytes} bytes)", picture.display());
    }
    Ok(())
}
