//! Where the bytes of tables lie: a folder whose writes are synced, or an S3 bucket.

pub(crate) mod bucket_folder;
pub(crate) mod local;
pub(crate) mod s3;
