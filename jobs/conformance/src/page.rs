//! The page of a kind: what it shows must be read by the kind.

use std::path::Path;

use forebay_config::Document;
use forebay_jobs::JobKind;

/// Checks that every configuration of `kind` on a page in Markdown is read without an error.
///
/// # Panics
/// When the page has none, or one is wrong.
pub fn examples_are_sound(page: &str, kind: &dyn JobKind) {
    let of_kind = format!("kind = \"{}\"", kind.name());
    let blocks = page.split("```toml\n").skip(1);
    let examples: Vec<&str> = blocks
        .filter_map(|block| block.split("```").next())
        .filter(|example| example.contains(&of_kind))
        .collect();
    assert!(!examples.is_empty(), "the page has no {of_kind}");
    for example in examples {
        let read = Document::new(Path::new("f.toml"), example, &|_: &str| None)
            .read(|root| forebay_jobs::configure(root, &[kind]));
        assert!(
            read.is_ok(),
            "{:?}",
            read.err().map(|errors| errors.to_string())
        );
    }
}
