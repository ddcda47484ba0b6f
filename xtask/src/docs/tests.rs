//! Planted faults, each in a repository of a few files, and this checkout itself.

use super::{
    Problem, Repository, markdown, messages, paths, phrases, problems, quotes, root, tables, verbs,
};

const MAIN: (&str, &str) = (
    "cli/src/main.rs",
    "\
struct Args {
    #[arg(short = 'c', long = \"config\", global = true, value_name = \"FILE\")]
    config: Option<PathBuf>,
    /// A folder; long as it is.
    #[arg(long, global = true)]
    data_dir: Option<PathBuf>,
}
enum Verb {
    /// Take it.
    Query(Box<verbs::query::Args>),
    /// Look after { keys }.
    #[command(subcommand)]
    Keys(verbs::keys::Verb),
    SupportBundle,
}
enum Other { Nothing }
",
);
const QUERY: (&str, &str) = (
    "cli/src/verbs/query.rs",
    "\
struct Args {
    sql: String,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[arg(
        long = \"for\",
        value_name = \"D\"
    )]
    length: u8,
}
",
);
const KEYS: (&str, &str) = (
    "cli/src/verbs/keys.rs",
    "mod sites;\npub(crate) enum Verb {\n    Init(sites::SiteArgs),\n}\n",
);
const SITES: (&str, &str) = (
    "cli/src/verbs/keys/sites.rs",
    "pub(super) struct SiteArgs {\n    #[arg(long)]\n    site_name: String,\n}\n",
);
const VERBS: (&str, &str) = (
    "docs/reference/verbs.md",
    "## `query`\n\n`--format F`, `--for D`\n\n## `keys`\n\n`keys init [--site-name S]`\n\n## `support-bundle`\n\n## Exit codes\n",
);

/// The messages of problems, by line.
fn shown(problems: &[Problem]) -> Vec<String> {
    problems
        .iter()
        .map(|problem| format!("{}:{}", problem.line, problem.message))
        .collect()
}

fn links(files: &[(&str, &str)]) -> Vec<String> {
    shown(&markdown::links(&Repository::of(files)))
}

#[test]
fn a_link_must_lead_to_a_file_and_to_a_heading() {
    let other = (
        "docs/b.md",
        "# The `spool`\n\n## Known faults: two\n\n## Known faults: two\n\n```\n# no heading\n```\n",
    );
    let page = |text: &'static str| [("docs/a.md", text), other, ("docs/c/d.rs", "")];
    for good in [
        "[b](b.md) and [c](c/) and [root](../docs/b.md) and [web](https://x.example/y#z) and [to](mailto:a@b)",
        "[spool](b.md#the-spool), [first](b.md#known-faults-two), [second](b.md#known-faults-two-1)",
        "# Here\n[here](#here \"a title\")",
        "`[in code](none.md)` and ``[also `here`](none.md)``\n\n```md\n[in a block](none.md)\n```",
        "a link that\nis [broken over\nlines](b.md)",
        "[by name][b]\n\n[b]: b.md",
    ] {
        assert_eq!(links(&page(good)), Vec::<String>::new(), "{good}");
    }
    for (bad, expected) in [
        (
            "one\n[x](none.md)",
            "2:link none.md: there is no docs/none.md",
        ),
        (
            "[x](b.md#faults)",
            "1:link b.md#faults: docs/b.md has no heading for #faults",
        ),
        (
            "[x](b.md#no-heading)",
            "1:link b.md#no-heading: docs/b.md has no heading for #no-heading",
        ),
        (
            "[x](#gone)",
            "1:link #gone: docs/a.md has no heading for #gone",
        ),
        (
            "[x](c/d.rs#L1)",
            "1:link c/d.rs#L1: docs/c/d.rs is no page with headings",
        ),
        (
            "[x](../../b.md)",
            "1:link ../../b.md: it leads out of the repository",
        ),
        (
            "[x](/docs/b.md)",
            "1:link /docs/b.md: it leads out of the repository",
        ),
        ("[b]: gone.md", "1:link gone.md: there is no docs/gone.md"),
        (
            "````\n```\n````\n[x](none.md)",
            "4:link none.md: there is no docs/none.md",
        ),
    ] {
        assert_eq!(links(&page(bad)), [expected], "{bad}");
    }
}

#[test]
fn a_placeholder_is_named_and_so_is_a_phrase_that_is_not_english() {
    let found = |name: &str, text: &str| shown(&phrases::check(&Repository::of(&[(name, text)])));
    assert_eq!(
        found("docs/a.md", "no `TODO` here\n\nit runs by itself, always"),
        ["3:\"by itself\" is not plain English: write nothing, or what does it"]
    );
    assert_eq!(
        found("docs/a.md", "x\n@@TABLE@@"),
        ["2:the placeholder @@ is not filled in"]
    );
    assert_eq!(
        found("docs/a.md", "```\nTODO\n```"),
        ["2:the placeholder TODO is not filled in"]
    );
    assert_eq!(
        found("docs/a.md", "It begins Anew."),
        ["1:\"anew\" is not plain English: write \"again\""]
    );
    assert_eq!(
        found("docs/a.md", "canewood, ```by itself```"),
        Vec::<String>::new()
    );
    assert_eq!(found("docs/adr/0001-a.md", "anew"), Vec::<String>::new());
    assert_eq!(
        found("CHANGELOG.md", "anew TBD"),
        ["1:the placeholder TBD is not filled in"]
    );
}

#[test]
fn a_document_that_a_comment_names_must_be_there() {
    let found = |end: &str, comment: &str| {
        let file = (format!("a.{end}"), format!("let x = 1;\n{comment}\n"));
        let files = [
            (file.0.as_str(), file.1.as_str()),
            ("docs/b.md", ""),
            ("docs/adr/0007-c.md", ""),
        ];
        shown(&paths::check(&Repository::of(&files)))
    };
    let nothing: [&str; 0] = [];
    assert_eq!(
        found(
            "rs",
            &format!("/{} See docs/b.md, docs/adr/ and (docs/adr/0007).", "//")
        ),
        nothing
    );
    assert_eq!(
        found(
            "rs",
            "let path = \"docs/none.md\"; // https://x.example/docs/none"
        ),
        nothing
    );
    assert_eq!(
        found("rs", &format!("/{} docs/none.md.", "/!")),
        ["2:there is no docs/none.md"]
    );
    assert_eq!(
        found("toml", "# docs/adr/0008 says why"),
        ["2:there is no docs/adr/0008"]
    );
    assert_eq!(
        found("py", "x = 1 # docs/gone"),
        ["2:there is no docs/gone"]
    );
}

fn verbs_of(page: &str) -> Vec<String> {
    let files = [MAIN, QUERY, KEYS, SITES, VERBS, ("docs/a.md", page)];
    shown(&verbs::check(&Repository::of(&files)).unwrap())
}

#[test]
fn a_command_must_be_one_that_the_binary_has() {
    let nothing: [&str; 0] = [];
    let good = "\
`forebay query \"select 1\" --format csv`, `forebay keys`, `forebay VERB`, `forebay -c FILE [VERB]`, `forebay support-bundle`

```console
$ forebay --data-dir d query \"a | b\" --for=4s   # forebay fly
$ docker run --name forebay forebay:1 && kubectl create namespace forebay
$ sudo -u forebay forebay -c /etc/forebay.toml keys init --site-name plant
$ A=b target/release/forebay query x; cargo run --release -- query y --help
$ cargo run -p other -- fly
```

```text
forebay fly
```
";
    assert_eq!(verbs_of(good), nothing);
    let all = "only keys, query, support-bundle";
    for (bad, expected) in [
        (
            "`forebay fly now`",
            format!("1:forebay has no verb \"fly\", {all}"),
        ),
        (
            "x\n```\nforebay -c f fly\n```",
            format!("3:forebay has no verb \"fly\", {all}"),
        ),
        (
            "```sh\nmake && ./forebay fly\n```",
            format!("2:forebay has no verb \"fly\", {all}"),
        ),
        (
            "```console\n$ cargo run -- fly\n```",
            format!("2:forebay has no verb \"fly\", {all}"),
        ),
        (
            "`forebay keys rotate`",
            "1:forebay keys has no verb \"rotate\", only init".to_owned(),
        ),
        (
            "`forebay query x --csv`",
            "1:forebay query has no option --csv, only --for, --format".to_owned(),
        ),
    ] {
        assert_eq!(verbs_of(bad), [expected], "{bad}");
    }
}

#[test]
fn what_is_planned_or_decided_may_name_other_verbs() {
    let files = [
        MAIN,
        QUERY,
        KEYS,
        SITES,
        VERBS,
        ("docs/rfcs/0001-a.md", "`forebay fly`"),
        ("docs/adr/0001-a.md", "`forebay fly`"),
    ];
    assert!(verbs::check(&Repository::of(&files)).unwrap().is_empty());
}

#[test]
fn the_reference_has_every_verb_and_every_option() {
    let found = |page: &str| {
        let files = [MAIN, QUERY, KEYS, SITES, (VERBS.0, page)];
        shown(&verbs::check(&Repository::of(&files)).unwrap())
    };
    let page = "## `query`\n\n`--format`\n\n## `keys`\n\n`--site-name`\n\n## `fly`\n";
    let expected = [
        "5:keys: init is not described",
        "1:query: --for is not described",
        "1:the verb support-bundle has no section",
        "9:forebay has no verb \"fly\", only keys, query, support-bundle",
    ];
    assert_eq!(found(page), expected);
}

#[test]
fn a_source_without_verbs_is_an_error_and_no_silence() {
    let files = [("cli/src/main.rs", "enum Verbs {}"), VERBS];
    assert!(verbs::check(&Repository::of(&files)).is_err());
}

#[test]
fn the_page_of_tables_has_the_columns_that_are_stored() {
    let golden = (
        "schemas/golden/tables.v1.txt",
        "scores partitioned by 0\n  score Double not null\n  at Timestamp null\n",
    );
    let found = |page: &str| {
        let files = [golden, ("docs/reference/tables.md", page)];
        shown(&tables::check(&Repository::of(&files)).unwrap())
    };
    let head = "# Tables\n\n## scores\n\n| Column | Type | Meaning |\n|---|---|---|\n| `score` | double | x |\n";
    let good = format!(
        "{head}| `at` | timestamp? | y |\n\n| `why` | Meaning |\n|---|---|\n| `z` | no column |\n"
    );
    assert_eq!(found(&good), Vec::<String>::new());
    let differs = |what| {
        format!("3:table scores has the columns score double, at timestamp?, this says {what}")
    };
    assert_eq!(found(head), [differs("score double")]);
    assert_eq!(
        found(&good.replace("timestamp?", "timestamp")),
        [differs("score double, at timestamp")]
    );
    assert_eq!(
        found(&good.replace("## scores", "## score")),
        ["1:table scores is missing", "3:there is no table score"]
    );
}

#[test]
fn a_quoted_message_must_stand_in_the_code() {
    let code = "Err(\"no keyring at {}: restore \\\"it\\\" \\\n     from its backup\"); warn!(\"append failed, trying again\");";
    let found = |page: &str| {
        let files = [
            ("lake/src/a.rs", code),
            ("lake/src/a/tests.rs", "\"only a test\""),
            ("docs/reference/errors.md", page),
        ];
        shown(&messages::check(&Repository::of(&files)).unwrap())
    };
    let good = "| `no keyring at …: restore \"it\" from its backup` | x |\n| ``append failed`` | y `not this` |\nno `quotation` here";
    assert_eq!(found(good), Vec::<String>::new());
    assert_eq!(
        found("\n| `append failed: …, backing off` | x |"),
        [
            "2:no program of ours says \"append failed:\"",
            "2:no program of ours says \", backing off\""
        ]
    );
    assert_eq!(
        found("| `only a test` | x |"),
        ["1:no program of ours says \"only a test\""]
    );
}

#[test]
fn quoted_code_is_the_whole_file() {
    let found = |file: &str| {
        let page = "```rust quote=a.rs\none\n\ntwo\n```\ntext\n```rust quote=a.rs\nthree\n```\n```rust\nfour\n```";
        shown(&quotes::check(&Repository::of(&[
            ("docs/a.md", page),
            ("a.rs", file),
        ])))
    };
    assert_eq!(found("one\n\ntwo\n\nthree\n"), Vec::<String>::new());
    assert_eq!(found("one\n\n2\n\nthree\n"), ["4:a.rs has \"2\" here"]);
    assert_eq!(found("one\n\ntwo\n"), ["4:a.rs ends before this line"]);
    assert_eq!(
        found("one\n\ntwo\n\nthree\n\nfour\n"),
        ["8:a.rs goes on with \"\""]
    );
    let page = ("docs/b.md", "```toml quote=b.toml\nx = 1\n```");
    assert_eq!(
        shown(&quotes::check(&Repository::of(&[page]))),
        ["2:b.toml is missing"]
    );
}

#[test]
fn the_documents_of_this_checkout_hold() {
    let repository = Repository::read(&root()).unwrap();
    assert!(
        repository.has("docs/ARCHITECTURE.md") && repository.pages().count() > 20,
        "these are not our pages"
    );
    let found: Vec<String> = problems(&repository)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}
