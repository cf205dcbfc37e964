//! What keeps a checkout from running code when Git works in it.
//!
//! Whoever can write to a deployment repository, or to the checkout's `.git`, must not run programs where images are published.
//! Git runs programs that its configuration names, and that configuration may come from the checkout: from `.git/config`,
//! from what that includes, and from plain files of a commit that look like a bare repository. Three things stop it:
//!
//! 1. **Environment.** Git gets the variables of [`crate::sys::process::USUAL`] and of `INHERITED`, and `ENVIRONMENT`.
//!    Of our `GIT_*` variables it gets the names of author and committer only: others name programs (`GIT_SSH_COMMAND`,
//!    `GIT_ASKPASS`, `GIT_EXTERNAL_DIFF`), configuration (`GIT_CONFIG_COUNT`) or another repository (`GIT_DIR`).
//! 2. **Settings** that a write-back never needs are switched off by `-c`, which overrides all files (`SETTINGS`).
//! 3. **Refusal.** Settings that name programs, and that operators need in their own configuration (credential helpers, ssh
//!    commands, LFS filters), are refused if the checkout has them ([`is_refused`]). Filters, diff and merge drivers may have
//!    any name, so they cannot be switched off one by one; reading the configuration runs nothing.
//!
//! The user's and the system's configuration apply: a push needs credential helpers, ssh settings and certificates. They
//! belong to the operator, as does the ssh agent (`SSH_AUTH_SOCK`).
//!
//! # Sources
//! git-config(1), git(1) "Environment Variables", gitattributes(5), githooks(5), gitremote-helpers(7), and for LFS
//! git-lfs-config(5). Git reads `safe.bareRepository` (since 2.38) from protected configuration alone, as `-c` is.

use crate::sys::fs;
use std::path::Path;

/// Variables that Git inherits in addition to those of every program: the ssh agent for the push, author and committer.
pub(super) const INHERITED: &[&str] =
    &["SSH_AUTH_SOCK", "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"];

/// Variables that are set for Git.
pub(super) const ENVIRONMENT: &[(&str, &str)] = &[
    // nobody can answer: neither on the terminal nor to a program (`core.askPass`, `SSH_ASKPASS`)
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", ""),
    // `Error::hints` looks for words of messages
    ("LC_ALL", "C"),
    // overrides all `protocol.*.allow`: no `ext::`, no remote helper that a remote's address names
    ("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh"),
    // missing objects are not fetched on demand from a remote that the checkout names (Git 2.45, 2.39.4)
    ("GIT_NO_LAZY_FETCH", "1"),
];

/// Settings that override all configuration files. Without each of them, Git could run a program.
pub(super) const SETTINGS: &[&str] = &[
    // plain files of a commit that look like a bare repository are not taken for one
    "safe.bareRepository=explicit",
    "core.fsmonitor=false",
    // githooks(5): `pre-commit`, `post-commit`, `reference-transaction`, `post-index-change`, `pre-push`, …
    "core.hooksPath=/dev/null",
    // gitattributes(5): one source of drivers less; the files in the work tree still apply
    "core.attributesFile=/dev/null",
    "core.pager=cat",
    "core.editor=false",
    "sequence.editor=false",
    // `gpg.program` and the like; a robot's commit is not signed
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "push.gpgSign=false",
    "log.showSignature=false",
    "commit.verbose=false",
    // submodules have a configuration of their own
    "submodule.recurse=false",
    "push.recurseSubmodules=no",
    "diff.ignoreSubmodules=all",
    "status.submoduleSummary=false",
    // `gc.recentObjectsHook`, and programs that outlive this one
    "gc.auto=0",
    "maintenance.auto=false",
];

/// Tells whether a setting of the checkout's own configuration is refused: one that names a program which Git would run for
/// us, and that no other setting switches off. `key` is written as `git config --list` writes it, with section and last name
/// in lower case.
///
/// Not refused: diff and merge drivers (no command of ours compares contents or merges; gitattributes(5)), trailers, aliases.
#[must_use]
pub fn is_refused(key: &str, value: &str) -> bool {
    let (section, rest) = key.split_once('.').unwrap_or((key, ""));
    let name = rest.rsplit('.').next().unwrap_or(rest);
    let names_program = match section {
        "core" => matches!(name, "sshcommand" | "gitproxy" | "alternaterefscommand"),
        "credential" => name == "helper",
        "filter" => matches!(name, "clean" | "smudge" | "process"),
        // Git 2.54: hooks by configuration, which `core.hooksPath` does not reach
        "hook" => name == "command",
        "lfs" => rest.starts_with("extension.") || rest.starts_with("customtransfer."),
        // with a remote on this machine, and a remote helper of any name (gitremote-helpers(7))
        "remote" => matches!(name, "receivepack" | "uploadpack" | "vcs" | "proxy" | "proxyauthmethod"),
        // git-config(1), `http.*` and `http.<url>.*`: they decide who answers, whom Git trusts, and where logins go
        "http" => {
            name.starts_with("proxy")
                || name.starts_with("ssl")
                || name.contains("cookie")
                || matches!(name, "curloptresolve" | "followredirects" | "delegation" | "emptyauth" | "pinnedpubkey")
        }
        _ => false,
    };

    // an empty value resets what another file sets
    names_program && !value.is_empty()
}

/// Tells whether a setting may make a push go to a folder within the checkout: Git would run the hooks of the repository
/// there.
#[must_use]
pub fn pushes_into(key: &str, value: &str, top: &Path) -> bool {
    let (section, rest) = key.split_once('.').unwrap_or((key, ""));
    let name = rest.rsplit('.').next().unwrap_or(rest);
    let place = match section {
        "remote" if matches!(name, "url" | "pushurl" | "pushdefault") => value,
        "branch" if matches!(name, "remote" | "pushremote") => value,
        // `url.<base>.insteadOf`: the subsection replaces the beginning of an address
        "url" => rest.strip_suffix(name).map_or("", |base| base.trim_end_matches('.')),
        _ => return false,
    };
    let place = place.strip_prefix("file://").unwrap_or(place);

    // git-fetch(1), "GIT URLS": a colon before the first slash names another machine
    let is_remote = place.split('/').next().is_some_and(|first| first.contains(':'));
    if place.is_empty() || is_remote {
        return false;
    }

    // a plain name is a remote's, unless there is such a folder
    fs::absolute(&top.join(place)).is_ok_and(|place| place.starts_with(top))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_a_program_is_refused() {
        for key in [
            "core.sshcommand",
            "core.gitproxy",
            "core.alternaterefscommand",
            "credential.helper",
            "credential.https://h/a.b.helper",
            "filter.x.clean",
            "filter.X.y.process",
            "filter.lfs.smudge",
            "hook.x.command",
            "lfs.extension.x.clean",
            "lfs.customtransfer.x.path",
            "remote.origin.receivepack",
            "remote.a.b.vcs",
            "remote.origin.proxy",
            "http.proxy",
            "http.https://h/x.sslverify",
            "http.curloptresolve",
            "http.cookiefile",
        ] {
            assert!(is_refused(key, "/tmp/x"), "{key}");
        }
    }

    #[test]
    fn what_checkouts_usually_have_is_not() {
        for (key, value) in [
            ("core.repositoryformatversion", "0"),
            ("core.filemode", "true"),
            // switched off
            ("core.fsmonitor", "/tmp/x"),
            ("core.hookspath", ".husky/_"),
            ("gpg.program", "/tmp/x"),
            ("diff.sops.textconv", "sops decrypt"),
            ("merge.ours.driver", "true"),
            ("credential.helper", ""),
            ("remote.origin.url", "https://h/x.git"),
            ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"),
            ("remote.origin.partialclonefilter", "blob:none"),
            ("http.https://github.com/.extraheader", "AUTHORIZATION: basic x"),
            ("includeif.gitdir:/a/.git.path", "/tmp/credentials"),
            ("submodule.x.update", "rebase"),
            ("user.name", "x"),
            ("lfs.repositoryformatversion", "0"),
            ("filter.lfs.required", "true"),
            ("diff.x.binary", "true"),
            ("merge.ff", "only"),
            ("commit.gpgsign", "true"),
            ("gc.auto", "0"),
        ] {
            assert!(!is_refused(key, value), "{key}");
        }
    }

    #[test]
    fn a_remote_within_the_checkout_is_none() {
        let folder = tempfile::tempdir().expect("made");
        let outer = folder.path().canonicalize().expect("there");
        let top = outer.join("checkout");
        for name in ["checkout/evil.git", "checkout/.git", "other.git"] {
            fs::create_dir(&outer.join(name)).expect("made");
        }
        let inside = top.join("evil.git").display().to_string();
        for (key, value) in [
            ("remote.origin.url", "evil.git"),
            ("remote.origin.pushurl", inside.as_str()),
            ("remote.a.b.url", &format!("file://{inside}")),
            ("branch.main.remote", "."),
            ("remote.pushdefault", "../checkout/evil.git"),
            (&format!("url.{inside}.pushinsteadof"), "https://h/"),
        ] {
            assert!(pushes_into(key, value, &top), "{key} {value}");
        }
        for (key, value) in [
            ("remote.origin.url", "../other.git"),
            ("remote.origin.url", "https://h/evil.git"),
            ("remote.origin.url", "git@h:evil.git"),
            ("remote.origin.url", "no-such-folder"),
            ("branch.main.remote", "origin"),
            ("branch.main.merge", "."),
            ("url.https://h/.insteadof", "evil.git"),
            ("core.worktree", "."),
        ] {
            assert!(!pushes_into(key, value, &top), "{key} {value}");
        }
    }
}
