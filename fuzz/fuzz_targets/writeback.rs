//! YAML of other people with new digests in it: only digests change, every other byte stays, and a second time changes
//! nothing.
#![no_main]

use sockel::announce::writeback::WriteBackImage;
use sockel::announce::writeback::edit;
use sockel::values::Digest;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let image = |name: &str, repository: &str, tags: &[&str]| WriteBackImage {
        image: name.to_owned(),
        repository: repository.to_owned(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        digest: Digest::of(name.as_bytes()),
    };
    let images = [image("a", "r.example/base/java", &["25", "25.0"]), image("b", "r.example/b", &["1"])];
    let Ok(edited) = edit(text, &images) else { return };
    // taking out what came and putting back what went gives the file as it was
    let (mut before, mut after) = (text, edited.text.as_str());
    let mut done = 0;
    for edit in &edited.edits {
        let kept = edit.place.start - done;
        assert_eq!(before.get(..kept), after.get(..kept));
        assert!(after[kept..].starts_with(&edit.text));
        assert!(edit.text.contains(&edit.new.to_string()) && edit.text.len() < 200, "{}", edit.text);
        (before, after) = (&before[kept + edit.place.len()..], &after[kept + edit.text.len()..]);
        done = edit.place.end;
    }
    assert_eq!(before, after);
    assert!(edited.left.iter().all(|left| left.place <= text.len()));
    let again = edit(&edited.text, &images).expect("what was written can be read");
    assert_eq!((again.text, again.edits), (edited.text, Vec::new()));
});
