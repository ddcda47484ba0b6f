use forebay_config::{ConfigErrors, Document, TableKeys};

use super::*;

const LAKE: TableKeys = TableKeys::one(
    "lake",
    "A lake.",
    &[
        &keys::URL,
        &keys::LOG_RETENTION,
        &keys::FILE_RETENTION,
        &keys::PROFILE,
        &keys::S3,
    ],
);

fn read(text: &str) -> Result<LakeSettings, ConfigErrors> {
    Document::new(Path::new("f.toml"), text, &|_| None).read(|root| {
        let mut table = root.table(&LAKE)?;
        let settings = LakeSettings::read(&mut table);
        table.finish();
        settings
    })
}

#[test]
fn a_url_leads_to_a_folder_or_a_bucket() {
    let table = [
        ("", "/data/lake"),
        ("url = \"tables\"", "/data/tables"),
        ("url = \"/srv/tables\"", "/srv/tables"),
        ("url = \"file:///srv/tables\"", "/srv/tables"),
    ];
    for (text, folder) in table {
        let settings = read(&format!("[lake]\n{text}")).unwrap();
        let expected = Location::Folder(PathBuf::from(folder));
        assert_eq!(settings.location(Path::new("/data")), expected, "{text}");
    }
    let settings = read("[lake]\nurl = \"s3://b/p\"").unwrap();
    let bucket = S3Settings::from_url(&Url::parse("s3://b/p").unwrap()).unwrap();
    let expected = Location::S3(Box::new(bucket));
    assert_eq!(settings.location(Path::new("/data")), expected);
}

#[test]
fn a_bucket_is_reached_as_its_table_says() {
    let text = "[lake]\nurl = \"s3://b/p\"\nprofile = \"none\"\n[lake.s3]\n\
                endpoint = \"http://127.0.0.1:9\"\nregion = \"r\"\naccess_key_id = \"a\"\n\
                secret_access_key = \"hush\"\nallow_http = true\n";
    let settings = read(text).unwrap();
    let Location::S3(bucket) = settings.location(Path::new("/data")) else {
        panic!("{settings:?} is not in a bucket");
    };
    let seen = (
        bucket.bucket.as_str(),
        bucket.prefix.as_str(),
        bucket.region.as_str(),
    );
    assert_eq!(seen, ("b", "p", "r"));
    assert_eq!(bucket.endpoint, Url::parse("http://127.0.0.1:9").ok());
    assert_eq!(bucket.credentials, Some(S3Credentials::new("a", "hush")));
    assert!(bucket.allow_http);
    assert_eq!(settings.sealed, Sealed::None);
    assert!(!format!("{settings:?}").contains("hush"), "{settings:?}");
}
