//! Compares the maintainer scripts of packages with the ledger, and shows everything that a person needs to decide
//! about those that it does not know.

use crate::lock::file::LockedScript;
use crate::recipe::ScriptDecision;
use crate::recipe::ScriptLedger;
use crate::values::Digest;
use crate::values::shown::lines;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

/// Members of `control.tar` that are looked up in the ledger.
pub const KINDS: [&str; 6] = ["preinst", "postinst", "prerm", "postrm", "config", "triggers"];

/// Most lines of an undecided script that are shown: a few screens; for the rest there is the package.
const MOST_LINES: usize = 60;

/// Most characters of one line that are shown, since a script may embed data in one line.
const MOST_CHARACTERS: usize = 400;

/// Effects, each with the words that reveal it.
const EFFECTS: [(&str, &[&str]); 18] = [
    ("alternatives", &["update-alternatives"]),
    ("diversion", &["dpkg-divert"]),
    ("file attributes", &["dpkg-statoverride"]),
    ("accounts", &["adduser", "addgroup", "useradd", "groupadd", "usermod", "systemd-sysusers"]),
    ("temporary files", &["systemd-tmpfiles"]),
    ("configuration file from template", &["ucf ", "ucfr "]),
    ("trigger", &["dpkg-trigger", "activate", "interest"]),
    ("library cache", &["ldconfig"]),
    ("set-user-id or capabilities", &["setcap", "chmod u+s", "chmod g+s", "chmod 4", "chmod 2"]),
    ("compiled Python", &["py3compile", "pycompile"]),
    ("symbolic link", &["ln -s", "ln -f", "ln --s"]),
    ("folders", &["mkdir", "install -d"]),
    ("configuration questions", &["debconf", "db_get", "db_input", "db_set"]),
    ("owner", &["chown", "chgrp"]),
    ("mode", &["chmod"]),
    ("services", &["systemctl", "deb-systemd", "invoke-rc.d", "update-rc.d"]),
    ("certificates", &["update-ca-certificates", "keytool"]),
    ("files removed or moved", &["rm -", "rm \"", "mv ", "dpkg-maintscript-helper"]),
];

/// Returns the ledger's decision about a script as locks write it.
#[must_use]
pub fn decision(ledger: &ScriptLedger, script: &Digest) -> Option<String> {
    ledger.entry(script).map(|entry| match &entry.decision {
        ScriptDecision::NotNeeded => "not-needed".to_owned(),
        ScriptDecision::Reproduced { by } => format!("reproduced by {by}"),
    })
}

/// A script as a package contains it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintainerScript {
    /// Binary package.
    pub package: String,
    /// One of [`KINDS`].
    pub kind: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A script that the ledger does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndecidedScript {
    /// Packages with a script of these bytes, sorted.
    pub packages: Vec<String>,
    /// One of [`KINDS`].
    pub kind: String,
    /// SHA-256 of the bytes.
    pub sha256: Digest,
    /// Recognised effects: a hint, never a proof that it has no others.
    pub effects: Vec<&'static str>,
    /// First lines of the script.
    pub excerpt: String,
    /// Number of lines that the excerpt leaves out.
    pub more: usize,
}

/// Scripts of packages, divided by whether the ledger decides about them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScriptReview {
    /// Decided ones, sorted.
    pub known: Vec<LockedScript>,
    /// Undecided ones, sorted, the same bytes once.
    pub unknown: Vec<UndecidedScript>,
}

/// The same script of several packages.
struct SharedScript<'a> {
    packages: BTreeSet<String>,
    bytes: &'a [u8],
}

/// Looks every script up; `decide` returns the ledger's decision for package, kind and digest
/// (`not-needed`, `reproduced by accounts`).
#[must_use]
pub fn review(scripts: &[MaintainerScript], decide: &dyn Fn(&str, &str, &Digest) -> Option<String>) -> ScriptReview {
    let mut known = BTreeSet::new();
    let mut unknown: BTreeMap<(String, Digest), SharedScript<'_>> = BTreeMap::new();
    for script in scripts {
        // by digest: a script that changes at all must be judged again
        let sha256 = Digest::of(&script.bytes);
        match decide(&script.package, &script.kind, &sha256) {
            Some(decision) => {
                let (package, script) = (script.package.clone(), script.kind.clone());
                known.insert(LockedScript { package, script, sha256, decision });
            }
            None => {
                // debhelper writes the same script into many packages: one decision is enough
                let shared = unknown
                    .entry((script.kind.clone(), sha256))
                    .or_insert(SharedScript { packages: BTreeSet::new(), bytes: &script.bytes });
                shared.packages.insert(script.package.clone());
            }
        }
    }

    let mut unknown: Vec<UndecidedScript> =
        unknown.into_iter().map(|((kind, sha256), shared)| undecided(kind, sha256, shared)).collect();
    unknown.sort_by(|a, b| (&a.packages, &a.kind, a.sha256).cmp(&(&b.packages, &b.kind, b.sha256)));
    ScriptReview { known: known.into_iter().collect(), unknown }
}

/// Describes a script for the person who decides about it.
fn undecided(kind: String, sha256: Digest, shared: SharedScript<'_>) -> UndecidedScript {
    let text = String::from_utf8_lossy(shared.bytes);
    let shown = text.lines().take(MOST_LINES).map(printable).collect::<Vec<_>>();
    let more = text.lines().count().saturating_sub(MOST_LINES);

    let packages = shared.packages.into_iter().collect();
    UndecidedScript { packages, effects: effects(&kind, &text), kind, sha256, excerpt: shown.join("\n"), more }
}

/// Returns a line as it is, with control characters made visible: a script must not hide its text from whoever judges
/// it.
fn printable(line: &str) -> String {
    lines(&line.chars().take(MOST_CHARACTERS).collect::<String>())
}

/// Returns the effects that are recognised in a script, without comment lines.
#[must_use]
pub fn effects(kind: &str, text: &str) -> Vec<&'static str> {
    let code: Vec<&str> = text.lines().map(str::trim_start).filter(|line| !line.starts_with('#')).collect();

    let mut found = Vec::new();
    for (name, words) in EFFECTS {
        // `activate` and `interest` mean triggers only in a triggers file; elsewhere they are ordinary words
        let words = if name == "trigger" && kind != "triggers" { &words[..1] } else { words };
        if code.iter().any(|line| words.iter().any(|word| line.contains(word))) {
            found.push(name);
        }
    }
    found
}

impl UndecidedScript {
    /// Returns entries for `recipes/scripts.yaml`, one a package, with the decision left open.
    #[must_use]
    pub fn ledger_entry(&self) -> String {
        // an image is never changed by dpkg, so scripts of removal never run
        let late = matches!(self.kind.as_str(), "prerm" | "postrm");
        // the reason is for a person to write, except where it is always the same
        let reason = if late { "\"runs only at removal\"" } else { "\"\"  # why that is fine" };

        let mut text = String::new();
        for package in &self.packages {
            text.push_str(&format!("  - package: {package}\n    script: {}\n", self.kind));
            text.push_str("    decision: not-needed  # or: reproduced, with `by: <generator or recipe key>`\n");
            text.push_str(&format!("    reason: {reason}\n    sha256: [ {} ]\n", self.sha256.hex()));
        }
        text
    }
}

impl fmt::Display for UndecidedScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {} is not in the script ledger ({})", self.kind, self.packages.join(", "), self.sha256)?;

        let effects = if self.effects.is_empty() { "none".to_owned() } else { self.effects.join(", ") };
        writeln!(f, "recognised effects: {effects}")?;
        for line in self.excerpt.lines() {
            writeln!(f, "    | {line}")?;
        }
        if self.more > 0 {
            writeln!(f, "    | ({} more lines)", self.more)?;
        }
        writeln!(f, "entry for recipes/scripts.yaml, once it is clear what the script is for:")?;
        f.write_str(&self.ledger_entry())
    }
}
