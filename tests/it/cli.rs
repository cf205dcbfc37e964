//! The command line as people meet it: its reference, and the exit codes and streams of the binary.

use crate::support::fresh::assert_fresh;
use sockel::sys::fs;
use std::path::Path;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

/// Runs the binary with an empty environment but for `HOME`.
fn sockel(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockel"));
    command.env_clear().env("HOME", home).args(arguments).output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn reference_is_fresh() {
    assert_fresh("docs/cli.md", &sockel::cli::reference());
}

#[test]
fn exit_codes_and_streams() {
    let home = tempfile::tempdir().expect("made");
    let folder = home.path().to_str().expect("UTF-8");
    let table: [(&[&str], i32, &str, &str); 7] = [
        (&["--version"], 0, "sockel ", ""),
        (&["schema", "recipe"], 0, "{", ""),
        (&["completions", "bash"], 0, "_sockel", ""),
        (&["cache", "info"], 0, "part", "store "),
        (&["build", "--nonsense"], 2, "", "--nonsense"),
        (&["-C", folder, "lock", "--check"], 1, "", "error: cannot find recipes"),
        (&["-C", folder, "--format", "json", "build"], 1, "\"exit-code\": 1", "error: cannot find recipes"),
    ];
    for (arguments, code, out, err) in table {
        let output = sockel(home.path(), arguments);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stdout.contains(out), "{arguments:?}: {stdout}");
        assert!(stderr.contains(err), "{arguments:?}: {stderr}");
        assert_eq!((stdout.is_empty(), stderr.is_empty()), (out.is_empty(), err.is_empty()), "{arguments:?}: {stderr}");
    }
}

#[test]
fn diagnostics_are_shown_with_their_place() {
    let home = tempfile::tempdir().expect("made");
    fs::create_dir(&home.path().join("recipes")).expect("made");
    fs::write_atomic(&home.path().join("recipes/base.yaml"), b"name: base\npackagse: [ bash ]\n").expect("written");
    let folder = home.path().to_str().expect("UTF-8");
    let output = sockel(home.path(), &["-C", folder, "lock", "--check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("recipes/base.yaml:2"), "{}", text(&output.stderr));
    let output = sockel(home.path(), &["-C", folder, "--format", "json", "-q", "lock", "--check"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(json["error"]["diagnostics"][2]["line"], 2, "{json}");
}

/// `sockel … | head -1` is no failure, a full disk is one.
#[test]
fn a_reader_that_goes_away_is_fine() {
    let home = tempfile::tempdir().expect("made");
    let mut child = Command::new(env!("CARGO_BIN_EXE_sockel"));
    let child = child.env_clear().env("HOME", home.path()).args(["completions", "zsh"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ends");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn a_full_disk_is_a_failure() {
    let Ok(full) = fs::lock(Path::new("/dev/full"), fs::LockMode::Shared) else { return };
    let home = tempfile::tempdir().expect("made");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockel"));
    let command = command.env_clear().env("HOME", home.path()).args(["schema", "recipe"]).stdout(full);
    let output = command.output().expect("runs");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("cannot write to standard output"));
}
