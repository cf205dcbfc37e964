//! Tags and ages of images, two versions in the first lines and an index in the rest: a later state has the higher version
//! and the higher age, and tags are such as registries take.
#![no_main]

use serde_json::json;
use sockel::build::record;
use sockel::lock::LockedImage;
use sockel::lock::file::Lock;
use sockel::oci::registry::address::check_tag;
use sockel::publish;
use sockel::recipe::ImageDefinition;
use sockel::recipe::PublishSettings;
use sockel::recipe::is_moving;
use sockel::values::Epoch;
use std::collections::BTreeMap;
use std::sync::LazyLock;

static LOCK: LazyLock<Lock> = LazyLock::new(|| Lock::parse(include_str!("support/lock.yaml")).expect("a lock"));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
    let mut line = || parts.next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    let (version, pattern) = (line(), line());
    let _no_panic = publish::age(parts.next().unwrap_or_default());

    let definition = definition(&[pattern, "{fixed}", "v{version}-{date}", "{fixed}-debian"]);
    let mut locks = Vec::new();
    for (epoch, revision) in [(0, 1), (0, 2), (0, 10), (86_400, 1), (40 * 86_400, 3)] {
        let mut lock = LOCK.clone();
        lock.epoch = Epoch(lock.epoch.0 + epoch);
        lock.revision = revision;
        for package in lock.levels.iter_mut().flat_map(|level| level.packages.values_mut()).flatten() {
            package.version = version.to_owned();
        }
        locks.push(lock);
    }
    let mut last = (Vec::new(), None);
    for lock in &locks {
        let order = LockedImage { definition: &definition, lock };
        let numbers: Vec<String> = record::version(&order).split('.').map(str::to_owned).collect();
        assert_eq!(numbers.len(), 6, "{numbers:?}");
        assert!(numbers.iter().all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())));
        // compared as programs do that follow tags: as numbers of any length
        let compared: Vec<(usize, String)> = numbers
            .iter()
            .map(|number| number.trim_start_matches('0').to_owned())
            .map(|number| (number.len(), number))
            .collect();
        let annotations = json!({
            "org.opencontainers.image.created": lock.epoch.to_string(),
            sockel::image::REVISION: lock.revision.to_string(),
        });
        let index = json!({ "schemaVersion": 2, "manifests": [], "annotations": annotations }).to_string();
        let age = publish::age(index.as_bytes());
        assert!(age.is_some() && (&compared, &age) > (&last.0, &last.1));
        last = (compared, age);
        for tag in record::tags(&order).iter().skip(1) {
            assert!(check_tag(tag).is_ok(), "{tag}");
        }
    }
    assert!(!is_moving(&format!("{pattern}{{fixed}}")));
});

fn definition(tags: &[&str]) -> ImageDefinition {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    ImageDefinition {
        image: "i".to_owned(),
        parent: None,
        platforms: Vec::new(),
        parameters: BTreeMap::new(),
        archives: Vec::new(),
        levels: BTreeMap::new(),
        inputs: BTreeMap::new(),
        publish: PublishSettings { repository: "i".to_owned(), tags },
        version_of: Some("libc6".to_owned()),
        purpose: String::new(),
        owner: Default::default(),
        rebuild: Default::default(),
    }
}
