//! The templates that come along.

/// Name and text, by name.
pub(super) const TEMPLATES: &[(&str, &str)] = &[
    ("abb/b23", include_str!("../../templates/abb/b23.toml")),
    (
        "carlo-gavazzi/em340",
        include_str!("../../templates/carlo-gavazzi/em340.toml"),
    ),
    (
        "eastron/sdm230",
        include_str!("../../templates/eastron/sdm230.toml"),
    ),
    (
        "eastron/sdm630",
        include_str!("../../templates/eastron/sdm630.toml"),
    ),
    (
        "fronius/sunspec-float",
        include_str!("../../templates/fronius/sunspec-float.toml"),
    ),
    (
        "growatt/tl3-x",
        include_str!("../../templates/growatt/tl3-x.toml"),
    ),
    (
        "huawei/sun2000",
        include_str!("../../templates/huawei/sun2000.toml"),
    ),
    (
        "janitza/umg96",
        include_str!("../../templates/janitza/umg96.toml"),
    ),
    (
        "siemens/pac3200",
        include_str!("../../templates/siemens/pac3200.toml"),
    ),
    (
        "victron/gx",
        include_str!("../../templates/victron/gx.toml"),
    ),
];
