//! Settings of a checkout, a key in the first line and its value in the rest: no name in the middle of a key hides what
//! names a program, and no way to write a folder hides that it is in the checkout.
#![no_main]

mod support;

use sockel::announce::writeback::guard::is_refused;
use sockel::announce::writeback::guard::pushes_into;
use std::path::PathBuf;
use std::sync::LazyLock;
use support::FOLDER;

/// A checkout with a repository in it.
static TOP: LazyLock<PathBuf> = LazyLock::new(|| {
    let top = FOLDER.canonicalize().expect("it is there").join("checkout");
    std::fs::create_dir_all(top.join("evil.git")).expect("a folder can be made");
    top
});

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (key, value) = text.split_once('\n').unwrap_or((text, ""));
    assert!(!is_refused(key, ""));
    let _no_panic = is_refused(key, value);
    if !value.contains('\0') {
        let _no_panic = pushes_into(key, value, &TOP);
    }
    for (section, name) in [
        ("credential", "helper"),
        ("filter", "clean"),
        ("filter", "process"),
        ("hook", "command"),
        ("remote", "vcs"),
        ("remote", "receivepack"),
        ("http", "proxy"),
        ("http", "sslverify"),
        ("http", "curloptresolve"),
    ] {
        assert!(is_refused(&format!("{section}.{key}.{name}"), "x"), "{section} {key}");
    }
    assert!(pushes_into(&format!("remote.{key}.url"), "evil.git", &TOP));
    assert!(pushes_into(&format!("branch.{key}.pushremote"), ".", &TOP));
    let top = TOP.display();
    assert!(pushes_into(&format!("url.{top}/evil.git.insteadof"), key, &TOP));
    let dots: String = value.chars().filter(|c| matches!(c, '.' | '/')).collect();
    if !dots.contains("..") && !dots.starts_with('/') {
        assert!(pushes_into("remote.pushdefault", &format!("./{dots}/evil.git"), &TOP), "{dots}");
    }
});
