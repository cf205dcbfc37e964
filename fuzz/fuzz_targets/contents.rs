//! Lists of contents of bundles, up to a zero byte, and their manifests: what is read is written the same again, and no
//! title leads out of a folder.
#![no_main]

use sockel::bundle::BundleContents;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (config, manifest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match BundleContents::parse(config, manifest) {
        Ok(contents) => assert_eq!(contents.manifest(), manifest),
        Err(problems) => assert!(!problems.is_empty()),
    }
    let Ok(list) = serde_json::from_slice::<BundleContents>(config) else { return };
    match BundleContents::parse(&list.to_json(), &list.manifest()) {
        Ok(contents) => {
            assert_eq!(contents, list);
            for file in &contents.files {
                assert!(file.title.split('/').all(|part| !matches!(part, "" | "." | "..")), "{}", file.title);
                assert!(!file.title.contains('\\') && file.title.is_ascii() && file.size <= file.kind.largest());
                assert_eq!(contents.file(&file.digest), Some(file));
            }
        }
        Err(problems) => assert!(!problems.is_empty()),
    }
});
