//! Where reports lie, what they are called, and how many stay.
//!
//! Invariants: a report appears whole or not at all; only files that are named as this job's are ever deleted.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use forebay_jobs::{Fire, JobError, JobName};
use forebay_lake::{BucketFolder, S3Settings};
use forebay_schemas::{Timestamp, path_segment};

const ENDING: &str = ".html";

/// Where a job's reports go.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A folder; none for the one in the data folder.
    Folder(Option<PathBuf>),
    /// A bucket.
    Bucket(Box<S3Settings>),
}

/// The folder of reports in the data folder.
const REPORTS: &str = "reports";

/// `<job>-<due>.html`, in a folder of the job; with site and revision for a window.
pub(crate) fn name(job: &JobName, fire: &Fire) -> String {
    let window = fire.window.as_ref().map_or_else(String::new, |window| {
        format!("-{}-{}", window.site.path_segment(), window.revision)
    });
    format!("{}{}{window}{ENDING}", beginning(job), compact(fire.due))
}

/// What the names of all reports of a job begin with.
fn beginning(job: &JobName) -> String {
    format!("{}-", path_segment(job.as_str()))
}

/// An instant as file names have it: `2026-11-30T060000Z`, so that they sort by time.
fn compact(at: Timestamp) -> String {
    let Ok(at) = jiff::Timestamp::from_microsecond(at.micros()) else {
        return at.micros().to_string();
    };
    match at.subsec_microsecond() {
        0 => at.strftime("%Y-%m-%dT%H%M%SZ").to_string(),
        _ => at.strftime("%Y-%m-%dT%H%M%S.%6fZ").to_string(),
    }
}

/// Those of a job's reports that are beyond the newest `keep`.
fn superfluous(mut names: Vec<String>, job: &JobName, keep: usize) -> Vec<String> {
    let beginning = beginning(job);
    names.retain(|name| name.starts_with(&beginning) && name.ends_with(ENDING));
    names.sort();
    names.truncate(names.len().saturating_sub(keep));
    names
}

impl Place {
    /// Writes a report and deletes the oldest beyond `keep`; answers where it lies.
    ///
    /// # Errors
    /// Of kind `Retry`, when it cannot be written.
    pub(crate) async fn write(
        &self,
        data_dir: &Path,
        job: &JobName,
        name: &str,
        html: String,
        keep: usize,
    ) -> Result<String, JobError> {
        let part = path_segment(job.as_str());
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone().unwrap_or_else(|| data_dir.join(REPORTS));
                let folder = folder.join(&part);
                let path = folder.join(name);
                let (file, job) = (path.clone(), job.clone());
                let write = move || write_file(&folder, &file, &html, &job, keep);
                let failed = |error: io::Error| {
                    JobError::retry(format!("cannot write the report {}", path.display()), error)
                };
                match tokio::task::spawn_blocking(write).await {
                    Ok(written) => written.map_err(failed)?,
                    Err(stopped) => return Err(failed(io::Error::other(stopped))),
                }
                Ok(path.display().to_string())
            }
            Self::Bucket(settings) => {
                let bucket = BucketFolder::open(settings, &part).await?;
                bucket.put(name, html.into_bytes()).await?;
                for old in superfluous(bucket.names().await?, job, keep) {
                    bucket.delete(&old).await?;
                }
                Ok(format!("{settings}/{part}/{name}"))
            }
        }
    }
}

fn write_file(
    folder: &Path,
    path: &Path,
    html: &str,
    job: &JobName,
    keep: usize,
) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let unfinished = path.with_extension("html.tmp");
    let mut file = File::create(&unfinished)?;
    file.write_all(html.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(folder)?.sync_all()?;
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    for old in superfluous(names, job, keep) {
        fs::remove_file(folder.join(old))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay_and_other_files_are_left_alone() {
        let job = JobName::new("week").unwrap();
        let names = [
            "week-2026-11-30T060000Z.html",
            "week-2026-11-23T060000Z.html",
            "week-2026-11-16T060000Z.html",
            "week-2026-11-09T060000Z.html.tmp",
            "weekend-2020-11-16T060000Z.html",
            "notes.html",
        ];
        let names = || names.map(str::to_owned).to_vec();
        assert_eq!(
            superfluous(names(), &job, 2),
            ["week-2026-11-16T060000Z.html"]
        );
        assert!(superfluous(names(), &job, 3).is_empty());
    }

    #[test]
    fn names_say_job_and_time_and_sort_by_it() {
        let at = |seconds: i64, micros: i64| {
            compact(Timestamp::from_nanos(
                seconds * 1_000_000_000 + micros * 1000,
            ))
        };
        assert_eq!(at(1_795_932_000, 0), "2026-11-29T060000Z");
        assert_eq!(at(1_795_932_000, 250), "2026-11-29T060000.000250Z");
    }
}
