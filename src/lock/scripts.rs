//! Compares the effects of maintainer scripts with the ledger, and shows everything that a person needs to decide about
//! those that it does not know.

use crate::apt::deb::ControlFiles;
use crate::lock::file::BY_EFFECTS;
use crate::lock::file::LockedEffects;
use crate::lock::file::LockedScript;
use crate::recipe::ScriptLedger;
use crate::scripts::MEMBERS;
use crate::scripts::effects_of;
use crate::values::Digest;
use crate::values::shown::lines;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

/// Members of `control.tar` that are looked up in the ledger by digest.
pub const KINDS: [&str; 6] = ["preinst", "postinst", "prerm", "postrm", "config", "triggers"];

/// Most lines of an undecided script that are shown: almost all scripts are shorter.
const MOST_LINES: usize = 200;

/// Most characters of one line that are shown, since a script may embed data in one line.
const MOST_CHARACTERS: usize = 400;

/// Returns the ledger's decision about a whole script as locks write it.
#[must_use]
pub fn decision(ledger: &ScriptLedger, script: &Digest) -> Option<String> {
    ledger.entry(script).map(|entry| entry.decision.title())
}

/// A script with effects that the ledger does not decide about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct UndecidedScript {
    /// Packages with a script of these bytes, sorted.
    pub packages: Vec<String>,
    /// One of [`MEMBERS`].
    pub kind: String,
    /// SHA-256 of the bytes.
    pub sha256: Digest,
    /// Effects that nobody has decided about, sorted.
    pub effects: Vec<String>,
    /// First lines of the script.
    pub excerpt: String,
    /// Number of lines that the excerpt leaves out.
    pub more: usize,
}

/// Scripts of packages, divided by whether the ledger decides about them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScriptReview {
    /// Decided ones, sorted.
    pub known: BTreeSet<LockedScript>,
    /// Decided effects, by package and decision.
    pub effects: DecidedEffects,
    /// Undecided ones, the same bytes once.
    pub unknown: BTreeMap<(String, Digest), UndecidedScript>,
}

/// Effects with their decisions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecidedEffects(BTreeMap<(String, String), BTreeSet<String>>);

impl DecidedEffects {
    /// Adds an effect of a package if the ledger decides about it, and tells whether it does.
    pub fn decide(&mut self, ledger: &ScriptLedger, package: &str, effect: &str) -> bool {
        let Some(rule) = ledger.rule(package, effect) else { return false };
        let key = (package.to_owned(), rule.decision.title());
        self.0.entry(key).or_default().insert(effect.to_owned());
        true
    }

    /// Returns the effects as locks write them.
    #[must_use]
    pub fn into_locked(self) -> Vec<LockedEffects> {
        let all = self.0.into_iter();
        all.map(|((package, decision), effects)| LockedEffects {
            package,
            decision,
            effects: effects.into_iter().collect(),
        })
        .collect()
    }
}

impl ScriptReview {
    /// Looks the scripts of a package up: each whole script by its digest, and else each of its effects.
    pub fn add(&mut self, package: &str, members: &ControlFiles, ledger: &ScriptLedger) {
        let mut by_effects = Vec::new();
        for kind in KINDS {
            let Some(bytes) = members.get(kind) else { continue };
            let sha256 = Digest::of(bytes);
            match decision(ledger, &sha256) {
                Some(decision) => {
                    let (package, script) = (package.to_owned(), kind.to_owned());
                    self.known.insert(LockedScript { package, script, sha256, decision });
                }
                // what runs at a removal never runs: dpkg removes nothing from an image
                None if MEMBERS.contains(&kind) => by_effects.push((kind, bytes, sha256)),
                None => (),
            }
        }

        // reading takes time, and most packages have no scripts
        if by_effects.is_empty() {
            return;
        }
        let effects = effects_of(package, &|name| members.get(name));
        for (kind, bytes, sha256) in by_effects {
            let found = effects.get(kind).into_iter().flatten().map(ToString::to_string);
            let open: Vec<String> = found.filter(|effect| !self.effects.decide(ledger, package, effect)).collect();
            if open.is_empty() {
                let (package, script, decision) = (package.to_owned(), kind.to_owned(), BY_EFFECTS.to_owned());
                self.known.insert(LockedScript { package, script, sha256, decision });
            } else {
                self.undecided(package, kind, bytes, open);
            }
        }
    }

    /// Adds a script with effects that nobody has decided about.
    fn undecided(&mut self, package: &str, kind: &str, bytes: &[u8], effects: Vec<String>) {
        let sha256 = Digest::of(bytes);
        let text = String::from_utf8_lossy(bytes);
        let shown = text.lines().take(MOST_LINES).map(printable).collect::<Vec<_>>();
        let script = UndecidedScript {
            packages: vec![package.to_owned()],
            kind: kind.to_owned(),
            sha256,
            effects,
            excerpt: shown.join("\n"),
            more: text.lines().count().saturating_sub(MOST_LINES),
        };
        merge(&script, &mut self.unknown);
    }
}

/// Adds a script to those that have no decision. debhelper writes the same script into many packages.
pub(super) fn merge(script: &UndecidedScript, unknown: &mut BTreeMap<(String, Digest), UndecidedScript>) {
    let key = (script.kind.clone(), script.sha256);
    let entry = unknown.entry(key).or_insert_with(|| script.clone());
    entry.packages = union(&entry.packages, &script.packages);
    entry.effects = union(&entry.effects, &script.effects);
}

/// Returns what is in either list, sorted.
fn union(one: &[String], other: &[String]) -> Vec<String> {
    one.iter().chain(other).cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Returns a line as it is, with control characters made visible: a script must not hide its text from whoever judges
/// it.
pub(super) fn printable(line: &str) -> String {
    lines(&line.chars().take(MOST_CHARACTERS).collect::<String>())
}

impl UndecidedScript {
    /// Returns an entry for `packages` of the ledger, with decision and reason left open.
    #[must_use]
    pub fn ledger_entry(&self) -> String {
        let mut text = format!("  - packages: [ {} ]\n    effects:\n", self.packages.join(", "));
        for effect in &self.effects {
            // YAML reads a JSON string as what it is
            text.push_str(&format!("      - {}\n", serde_json::Value::from(effect.as_str())));
        }
        text.push_str("    decision: not-needed  # or: reproduced, with `by: <generator or recipe key>`\n");
        text.push_str("    reason: \"\"  # why that is fine\n");
        text
    }
}

impl UndecidedScript {
    /// Returns the first lines about the script: what there is to decide about.
    pub(super) fn heading(&self) -> String {
        let (kind, packages) = (&self.kind, self.packages.join(", "));
        let mut text =
            format!("{kind} of {packages} has effects that the ledger does not decide about ({})\n", self.sha256);
        self.effects.iter().for_each(|effect| text.push_str(&format!("    {effect}\n")));
        text
    }

    /// Returns the last lines about the script: an entry for the ledger.
    pub(super) fn proposal(&self) -> String {
        let entry = self.ledger_entry();
        format!("entry for `packages` of the ledger, once it is clear what the effects are for:\n{entry}")
    }
}

impl fmt::Display for UndecidedScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.heading())?;
        writeln!(f, "its text:")?;
        for line in self.excerpt.lines() {
            writeln!(f, "    | {line}")?;
        }
        if self.more > 0 {
            writeln!(f, "    | ({} more lines)", self.more)?;
        }
        f.write_str(&self.proposal())
    }
}
