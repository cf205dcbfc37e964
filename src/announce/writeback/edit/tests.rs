//! Every form of a reference, what is left alone, and that nothing else changes, whatever the file is.

use super::*;
use crate::values::Digest;
use proptest::prelude::*;

const OLD: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn image() -> WriteBackImage {
    WriteBackImage {
        image: "java-25".to_owned(),
        repository: "r.example:8443/base/java".to_owned(),
        tags: vec!["25".to_owned(), "25-20261123".to_owned()],
        digest: Digest::of(b"new"),
    }
}

fn new() -> String {
    Digest::of(b"new").to_string()
}

/// Edits a text in which `R` stands for the repository, `OLD` for a digest; the result has `NEW` for the new one.
fn edited(text: &str) -> (String, Vec<String>) {
    let text = text.replace('R', "r.example:8443/base/java").replace("OLD", OLD);
    let EditedFile { text, left, .. } = edit(&text, &[image()]).expect("it can be read");
    let text = text.replace(&new(), "NEW").replace(OLD, "OLD").replace("r.example:8443/base/java", "R");
    (text, left.into_iter().map(|left| left.reason).collect())
}

#[test]
fn every_form_gets_the_digest() {
    let table = [
        ("image: R:25\n", "image: R:25@NEW\n"),
        ("image: R:25@OLD # base\n", "image: R:25@NEW # base\n"),
        ("image: \"R:25\"\r\nx: 1\r\n", "image: \"R:25@NEW\"\r\nx: 1\r\n"),
        ("a:\n  - {image: 'R:25-20261123@OLD', b: [1,  2]}", "a:\n  - {image: 'R:25-20261123@NEW', b: [1,  2]}"),
        ("{\"image\": \"R:25\"}", "{\"image\": \"R:25@NEW\"}"),
        ("initImage:   R:25   # x", "initImage:   R:25@NEW   # x"),
        (
            "a: 1\n---\n# second\nspec:\n    containers:\n    - image: R:25\n      name: x\n...\n---\nimage: R:25@OLD\n",
            "a: 1\n---\n# second\nspec:\n    containers:\n    - image: R:25@NEW\n      name: x\n...\n---\nimage: R:25@NEW\n",
        ),
        // Kustomize
        ("images:\n- name: R\n  newTag: \"25\"\n", "images:\n- name: R\n  newTag: \"25\"\n  digest: NEW\n"),
        (
            "images:\n  - newTag: \"25\" # why\n    newName: R\n    name: java\n",
            "images:\n  - newTag: \"25\" # why\n    digest: NEW\n    newName: R\n    name: java\n",
        ),
        (
            "images:\r\n- digest: OLD\r\n  name: R\r\n  newTag: '25'",
            "images:\r\n- digest: NEW\r\n  name: R\r\n  newTag: '25'",
        ),
        ("images: [ { name: R, newTag: \"25\" } ]", "images: [ { name: R, newTag: \"25\", digest: NEW } ]"),
        (
            "{\"images\":[{\"name\":\"R\",\"newTag\":\"25\"}]}",
            "{\"images\":[{\"name\":\"R\",\"newTag\":\"25\", \"digest\": \"NEW\"}]}",
        ),
        // Helm
        (
            "image:\n  registry: r.example:8443\n  repository: base/java\n  tag: 25\n  pullPolicy: Always\n",
            "image:\n  registry: r.example:8443\n  repository: base/java\n  tag: 25\n  digest: NEW\n  pullPolicy: Always\n",
        ),
        (
            "image: # ours\n  repository: R\n  tag: '25'\n  digest: \"\"\n",
            "image: # ours\n  repository: R\n  tag: '25'\n  digest: \"NEW\"\n",
        ),
        ("x:\n  repository: R\n  digest:  # none\n  tag: 25", "x:\n  repository: R\n  digest: NEW  # none\n  tag: 25"),
        ("x:\n  repository: R\n  tag: 25\n  digest:\n", "x:\n  repository: R\n  tag: 25\n  digest: NEW\n"),
        ("x: {repository: R, tag: 25, digest: ~}", "x: {repository: R, tag: 25, digest: NEW}"),
        ("x: {repository: R, tag: 25@OLD}", "x: {repository: R, tag: 25@NEW}"),
        ("x:\n  repository: R\n  tag:\n    25\n", "x:\n  repository: R\n  tag:\n    25\n  digest: NEW\n"),
        ("x:\r\n  repository: R\r\n  tag: 25", "x:\r\n  repository: R\r\n  tag: 25\r\n  digest: NEW"),
    ];
    for (text, expected) in table {
        let (found, left) = edited(text);
        assert_eq!((found.as_str(), left), (expected, Vec::new()), "{text}");
        // and again changes nothing
        assert_eq!(edited(&found.replace("NEW", &new())).0, expected, "{text}");
    }
}

#[test]
fn what_is_not_clear_is_left_alone() {
    let table = [
        ("image: R:21\n", "it is pinned to tag `21`"),
        ("image: R:25-20261001@OLD\n", "it is pinned to tag `25-20261001`"),
        ("image: R@OLD\n", "it has no tag"),
        ("image: R:25@sha512:00\n", "what follows `@` is not a SHA-256 digest"),
        ("image: \"R:{{ .Values.tag }}\"\n", "it is a template"),
        ("image: \"\\x72.example:8443/base/java:25\"\n", "it has escapes"),
        ("image: &x R:25\nother: *x\n", "it is part of a YAML anchor"),
        ("a: &x\n  image: R:25\nb: *x\n", "it is part of a YAML anchor"),
        ("image: !!str R:25\n", "it has a YAML tag"),
        ("args: [ --base, R:25 ]\n", "its key does not end in `image`"),
        ("images:\n- name: R\n  newTag: \"21\"\n", "it is pinned to tag `21`"),
        ("images:\n- name: R\n  digest: OLD\n", "it has no `newTag`"),
        ("x: {repository: R, digest: OLD}\n", "it has no `tag`"),
        ("x: {repository: R, tag: 25, tag: 25}\n", "the key `tag` appears twice"),
        ("t: &t 25\nx: {repository: R, tag: *t}\n", "it is part of a YAML anchor"),
        ("d: &d {digest: OLD}\nx: {<<: *d, repository: R, tag: 25}\n", "it is part of a YAML anchor"),
        ("x: {repository: R, tag: 25, digest: latest}\n", "its `digest` is not a SHA-256 digest"),
        ("x: {repository: R, tag: 25@OLD, digest: OLD}\n", "it has two digests"),
        ("x:\n  repository: R\n  ? tag\n  : 25\n", "its tag is written in an unusual way"),
        ("x: {repository: R, tag: [25]}\n", "it is not a text"),
    ];
    for (text, reason) in table {
        let (found, left) = edited(text);
        assert_eq!(found, text);
        assert!(left.len() == 1 && left[0].starts_with(reason), "{text}: {left:?}");
    }
}

#[test]
fn others_are_not_ours() {
    for text in [
        "",
        "# R:25\n",
        "image: Rscript:25\n",
        "image: R/app:25\n",
        "image: x/R:25\n",
        "image: base/java:25\n",
        "repository: R\n",
        "images:\n- name: base/java\n  newTag: \"25\"\n",
        "images:\n- name: R\n  newName: other\n  newTag: \"25\"\n",
        "x: {registry: r.example, repository: base/java, tag: 25}\n",
        "x: {repository: base/java, tag: 25}\n",
        "image: |\n  R:25\n  more\nother: text R:25\n",
    ] {
        let (found, left) = edited(text);
        assert_eq!((found.as_str(), left.len()), (text, usize::from(text.contains('|'))), "{left:?}");
    }
    assert!(edit("{{- if .Values.x }}\nimage: r.example:8443/base/java:25\n{{- end }}\n", &[image()]).is_err());
    assert!(edit(&"[".repeat(10_000), &[image()]).is_err());
}

/// Returns pieces of files, with our references among them.
fn piece() -> impl Strategy<Value = String> {
    let ours = "r.example:8443/base/java";
    prop_oneof![
        Just(format!("image: {ours}:25\n")),
        Just(format!("image: '{ours}:25@{OLD}' # c\r\n")),
        Just(format!("images:\n- name: {ours}\n  newTag: \"25\"\n")),
        Just(format!("images: [{{name: {ours}, newTag: '25', digest: {OLD}}}]\n")),
        Just(format!("x:\n  repository: {ours}\n  tag: 25 # c\n  digest:\n")),
        Just(format!("- &a\n  repository: {ours}\n  tag: 25\n")),
        Just("---\n".to_owned()),
        "[a-c]: [a-z0-9]{0,5}( #c)?\n",
        "  [a-c]: [\\[\\]{}&*!|>'\"%@`,]{0,3}\r?\n",
        "( {0,4}- )?[a-c]?:? ?(\\||>)?\n( {2,4}[a-z#: ]{0,8}\n)?",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_but_digests_changes(pieces in prop::collection::vec((0_usize..3, piece()), 0..12), cut in any::<prop::sample::Index>()) {
        let indented = |(depth, piece): &(usize, String)| {
            let lines = piece.split_inclusive('\n');
            lines.map(|line| format!("{}{line}", "  ".repeat(*depth))).collect::<String>()
        };
        let whole: String = pieces.iter().map(indented).collect();
        let end = whole.floor_char_boundary(cut.index(whole.len() + 1));
        for text in [&whole[..], &whole[..end]] {
            let Ok(EditedFile { text: changed, edits, .. }) = edit(text, &[image()]) else { continue };
            // taking out what was put in gives the old text, byte for byte
            let mut restored = changed.clone();
            for edit in edits.iter().rev() {
                let moved: isize = edits.iter().take_while(|other| *other != edit)
                    .map(|other| other.text.len() as isize - other.place.len() as isize).sum();
                let start = edit.place.start.checked_add_signed(moved).expect("within the text");
                restored.replace_range(start..start + edit.text.len(), &text[edit.place.clone()]);
            }
            prop_assert_eq!(&restored, text);
            let again = edit(&changed, &[image()]).expect("it was read before");
            prop_assert_eq!((again.text, again.edits.len()), (changed, 0));
        }
    }

    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,80}", lines in "([a-c?!&*\\[\\]{}:|>\"'#,-]{0,4}[ \t\n]{0,3}){0,40}") {
        let ours = "r.example:8443/base/java:25";
        for text in [text.clone(), lines.clone(), format!("{lines}\nimage: {ours}\n"), format!("{text}{ours}{lines}")] {
            let _any = edit(&text, &[image()]);
        }
    }
}
