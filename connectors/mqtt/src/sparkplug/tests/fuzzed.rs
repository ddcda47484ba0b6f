//! Kept births, data and deaths and damaged ones, each heard as every kind of message: no panic and no hang.

use forebay_fuzz::{corpus, fuzz};

use super::*;

const TOPICS: [&str; 8] = [
    "g/NDATA/n",
    "g/DDATA/n/d",
    "g/DBIRTH/n/d",
    "g/NBIRTH/n",
    "g/NDATA/n",
    "g/DDEATH/n/d",
    "g/NDEATH/n",
    "STATE/forebay",
];

#[test]
fn fuzz_sparkplug() {
    let settings = settings();
    let metrics = || vec![int("temp", 7, 3, 20), metric("motor", 8, 19)];
    fuzz(corpus!("sparkplug"), move |bytes| {
        let mut plant = Plant::new(&settings);
        plant.hear("g/NBIRTH/n", &node_birth(1, metrics()));
        plant.hear("g/DBIRTH/n/d", &payload(1, &metrics()));
        let mut kinds = Vec::new();
        for topic in TOPICS {
            for sample in plant.hear(topic, bytes).iter().take(10) {
                let value = sample.value.as_ref().map(Value::value_type);
                kinds.push((value, sample.status.quality.code()));
            }
            plant.now += Duration::from_millis(10);
            plant.host.take_outgoing(plant.now, 0);
        }
        let files = plant.host.take_all();
        assert!(files.len() <= 2, "names of nodes are not damaged");
        for file in files {
            assert!(
                Births::of_file(file.bytes()).is_some(),
                "what is kept is read again"
            );
        }
        kinds
    });
}
