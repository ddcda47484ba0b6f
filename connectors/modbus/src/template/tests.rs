use std::collections::BTreeSet;

use forebay_config::ConfigErrors;
use forebay_schemas::Value;

use super::*;
use crate::config::Settings;

/// Reads a file with one connector, as the gateway does.
fn read(file: &Path, text: &str) -> Result<Settings, ConfigErrors> {
    Document::new(file, text, &|_| None).read(|root| {
        let mut connectors = root.tables(&keys::KEYS.connector);
        let connector = connectors.first_mut().unwrap();
        let mut tags = connector.tables(&keys::KEYS.tag);
        Settings::read(connector, &mut tags)
    })
}

fn with(keys: &str) -> Result<Settings, String> {
    let text = format!("[[connector]]\nurl = \"tcp://meter\"\ndevice = \"m\"\n{keys}");
    read(Path::new("forebay.toml"), &text).map_err(|errors| errors.to_string())
}

#[test]
fn every_template_can_be_used_and_names_its_manual() {
    assert!(catalogue::TEMPLATES.len() >= 10);
    assert!(catalogue::TEMPLATES.is_sorted());
    for (name, _) in catalogue::TEMPLATES {
        let template = Template::find(name, None).unwrap();
        assert!(template.info.manual.len() > 20, "{name}");
        let settings = with(&format!("template = \"{name}\"")).unwrap();
        assert_eq!(settings.tags.len(), template.tags.len(), "{name}");
        let names: BTreeSet<&str> = settings.tags.iter().map(|tag| tag.name.as_str()).collect();
        assert_eq!(names.len(), settings.tags.len(), "{name} names a tag twice");
        let mut places = BTreeSet::new();
        for tag in &settings.tags {
            assert!(
                tag.name
                    .as_str()
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'),
                "{name}: {}",
                tag.name
            );
            for offset in 0..tag.layout.addresses() {
                assert!(
                    places.insert((tag.register, tag.address + offset)),
                    "{name}: {} lies over another tag",
                    tag.name
                );
            }
            let is_scaled_text = tag.scaling.is_some_and(|scaling| scaling.scale == 0.0);
            assert!(!is_scaled_text, "{name}: {}", tag.name);
        }
    }
}

#[test]
fn every_file_in_the_folder_comes_along() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let mut found = BTreeSet::new();
    for maker in std::fs::read_dir(folder).unwrap() {
        let maker = maker.unwrap();
        for model in std::fs::read_dir(maker.path()).unwrap() {
            let model = model.unwrap().path();
            let stem = model.file_stem().unwrap().to_string_lossy().into_owned();
            found.insert(format!("{}/{stem}", maker.file_name().to_string_lossy()));
        }
    }
    let listed: BTreeSet<String> = catalogue::TEMPLATES
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(found, listed);
}

#[test]
fn a_tag_of_the_file_changes_what_it_names() {
    let settings = with(
        "template = \"carlo-gavazzi/em340\"\n\
         [[connector.tag]]\nname = \"voltage_l1\"\nevery = \"10s\"\n\
         [[connector.tag]]\nname = \"power_total\"\naddress = 100\ntype = \"f32\"\n\
         [[connector.tag]]\nname = \"frequency\"\nscale = 0.2\n\
         [[connector.tag]]\nname = \"frequency\"\ndevice = \"other\"\nregister = \"holding\"\naddress = 7\ntype = \"u16\"\n\
         [[connector.tag]]\nname = \"own\"\nregister = \"holding\"\naddress = 8\ntype = \"u16\"\n",
    )
    .unwrap();
    let template = Template::find("carlo-gavazzi/em340", None).unwrap();
    assert_eq!(settings.tags.len(), template.tags.len() + 2);
    let [voltage, power, frequency, other, own] = &settings.tags[..5] else {
        panic!("{:?}", settings.tags)
    };
    let order = |letters: &str| Order::parse(letters, letters.len()).unwrap();
    assert_eq!(
        (
            voltage.address,
            voltage.every.as_secs(),
            &voltage.layout.order
        ),
        (0, 10, &order("CDAB"))
    );
    let scaled = voltage
        .scaling
        .map(|scaling| scaling.apply(Value::I64(2301)));
    assert_eq!(scaled, Some(Value::F64(2301.0 * 0.1)));
    assert_eq!(
        (voltage.ucum.as_deref(), voltage.layout.invalid.len()),
        (Some("V"), 1)
    );
    // Another place and another type: the factor and the invalid value of the template are not theirs.
    assert_eq!(
        (power.address, power.scaling, power.layout.invalid.len()),
        (100, None, 0)
    );
    assert_eq!(
        (frequency.address, frequency.scaling),
        (51, None),
        "the gateway scales"
    );
    assert_eq!((other.address, other.scaling, own.address), (7, None, 8));
    assert_eq!(
        settings
            .groups
            .iter()
            .map(|group| group.reads.iter().map(|read| read.count).max())
            .max()
            .flatten(),
        Some(50)
    );
}

#[test]
fn a_folder_of_ones_own_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("maps/eastron")).unwrap();
    std::fs::create_dir_all(folder.path().join("maps/own")).unwrap();
    let head = "maker = \"M\"\nmodel = \"N\"\nmanual = \"none\"\n";
    let tag = "[[tag]]\nname = \"t\"\nregister = \"coil\"\naddress = 1\n";
    for (name, text) in [
        ("eastron/sdm630", format!("{head}{tag}")),
        (
            "own/broken",
            format!("{head}order = \"ABDC\"\n[[tag]]\nname = \"t\"\nadress = 1\n"),
        ),
        ("own/wrong", format!("{head}{tag}type = \"u16\"\n")),
    ] {
        std::fs::write(folder.path().join(format!("maps/{name}.toml")), text).unwrap();
    }
    let with = |template: &str| {
        let text = format!(
            "[[connector]]\nurl = \"tcp://meter\"\ndevice = \"m\"\ntemplate = \"{template}\"\ntemplate_dir = \"maps\"\n"
        );
        read(&folder.path().join("forebay.toml"), &text).map_err(|errors| errors.to_string())
    };
    assert_eq!(with("eastron/sdm630").unwrap().tags.len(), 1);
    assert!(
        with("eastron/sdm230").unwrap().tags.len() > 5,
        "those that come along are there too"
    );
    let broken = with("own/broken").unwrap_err();
    for part in [
        "own/broken",
        "tag.adress: unknown key; did you mean \"address\"?",
        "\"ABDC\" is not an order of registers",
    ] {
        assert!(broken.contains(part), "{part} is not in:\n{broken}");
    }
    let wrong = with("own/wrong").unwrap_err();
    assert!(
        wrong.contains("tag t: type: \"u16\" does not fit one bit"),
        "{wrong}"
    );
}

#[test]
fn an_unknown_template_is_refused_with_the_known_ones() {
    for (name, part) in [
        ("eastron/sdm360", "did you mean \"eastron/sdm630\"?"),
        ("acme/x", "the templates are abb/b23, "),
        ("../eastron/sdm630", "\"maker/model\" is expected"),
        ("eastron", "\"maker/model\" is expected"),
    ] {
        let error = with(&format!("template = \"{name}\"")).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}
