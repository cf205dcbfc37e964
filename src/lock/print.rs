//! Prints a lock as YAML that reads well in a review: fixed order, five lines for each package, quotes only where
//! needed.

use crate::lock::file::Lock;
use crate::lock::file::LockedLevel;
use crate::lock::file::LockedPackage;
use crate::lock::file::LockedPocket;
use std::fmt::Write as _;

/// Returns the whole file.
pub(crate) fn lock(lock: &Lock, header: &str) -> String {
    // the digest of this text is the identity of the lock: any change here changes every image
    let mut out = header.to_owned();
    line(&mut out, &format!("format: {}", lock.format));
    line(&mut out, &format!("engine: {}", lock.engine));
    line(&mut out, &format!("image: {}", scalar(&lock.image)));
    line(&mut out, &format!("epoch: {}", scalar(&lock.epoch.to_string())));
    line(&mut out, &format!("revision: {}", lock.revision));
    map(&mut out, "parameters", lock.parameters.iter().map(|(name, value)| (name.as_str(), value.clone())));
    map(&mut out, "definition", lock.definition.iter().map(|(name, digest)| (name.as_str(), digest.to_string())));

    list(&mut out, "", "archives", lock.archives.is_empty());
    for pocket in &lock.archives {
        self::pocket(&mut out, pocket);
    }

    list(&mut out, "", "levels", lock.levels.is_empty());
    for level in &lock.levels {
        self::level(&mut out, level);
    }
    out
}

/// Prints the state of a pocket.
fn pocket(out: &mut String, pocket: &LockedPocket) {
    let mut times = format!("date: {}", scalar(&pocket.date.to_string()));
    if let Some(until) = pocket.valid_until {
        let _ = write!(times, ", valid-until: {}", scalar(&until.to_string()));
    }

    let (archive, name) = (scalar(&pocket.archive), scalar(&pocket.pocket));
    let suite = scalar(&pocket.suite);
    let codename = pocket.codename.as_ref().map(|name| format!(" codename: {},", scalar(name))).unwrap_or_default();
    line(out, &format!("  - {{ archive: {archive}, pocket: {name}, suite: {suite},{codename}"));
    line(out, &format!("      {times},"));
    line(out, &format!("      inrelease: {},", scalar(&pocket.inrelease.to_string())));
    line(out, &format!("      signed-by: {} }}", scalar(&pocket.signed_by)));
}

/// Prints a level.
fn level(out: &mut String, level: &LockedLevel) {
    line(out, &format!("  - recipe: {}", scalar(&level.recipe)));
    list(out, "    ", "layers", level.layers.is_empty());
    for layer in &level.layers {
        line(out, &format!("      - {}", sequence(layer)));
    }

    line(out, if level.packages.is_empty() { "    packages: {}" } else { "    packages:" });
    for (platform, packages) in &level.packages {
        list(out, "      ", &platform.to_string(), packages.is_empty());
        for package in packages {
            self::package(out, package);
        }
    }

    // empty lists are left out; reading fills them in
    if !level.excluded.is_empty() {
        line(out, "    excluded:");
    }
    for excluded in &level.excluded {
        line(out, &format!("      - name: {}", scalar(&excluded.name)));
        line(out, &format!("        reason: {}", scalar(&excluded.reason)));
        line(out, &format!("        wanted-by: {}", sequence(&excluded.wanted_by)));
    }

    if !level.scripts.is_empty() {
        line(out, "    scripts:");
    }
    for script in &level.scripts {
        let (package, kind, decision) = (scalar(&script.package), scalar(&script.script), scalar(&script.decision));
        line(out, &format!("      - {{ package: {package}, script: {kind}, decision: {decision},"));
        line(out, &format!("          sha256: {} }}", scalar(&script.sha256.to_string())));
    }
    effects(out, level);
    kept_back(out, level);
}

/// Prints packages that could not be updated.
fn kept_back(out: &mut String, level: &LockedLevel) {
    if !level.kept_back.is_empty() {
        line(out, "    kept-back:");
    }
    for kept in &level.kept_back {
        let (package, newer, because) = (scalar(&kept.package), scalar(&kept.newer), scalar(&kept.because));
        line(out, &format!("      - package: {package}"));
        line(out, &format!("        newer: {newer}"));
        line(out, &format!("        because: {because}"));
        list(out, "        ", "effects", kept.effects.is_empty());
        for effect in &kept.effects {
            line(out, &format!("          - {}", scalar(effect)));
        }
    }
}

/// Prints the effects of scripts: one a line, so that a new one is a line of a difference.
fn effects(out: &mut String, level: &LockedLevel) {
    if let Some(reader) = level.reader {
        line(out, &format!("    reader: {reader}"));
    }
    if !level.effects.is_empty() {
        line(out, "    effects:");
    }
    for decided in &level.effects {
        line(out, &format!("      - package: {}", scalar(&decided.package)));
        line(out, &format!("        decision: {}", scalar(&decided.decision)));
        line(out, "        effects:");
        for effect in &decided.effects {
            line(out, &format!("          - {}", scalar(effect)));
        }
    }
}

/// Prints a package.
fn package(out: &mut String, package: &LockedPackage) {
    let mut origin = format!("source: {}", scalar(&package.source));
    if let Some(version) = &package.source_version {
        let _ = write!(origin, ", source-version: {}", scalar(version));
    }
    let _ = write!(origin, ", from: {}, component: {}", scalar(&package.from), scalar(&package.component));
    if let Some(percent) = package.phased {
        let _ = write!(origin, ", phased: {percent}");
    }

    let (name, version) = (scalar(&package.name), scalar(&package.version));
    let (architecture, why) = (scalar(&package.architecture), scalar(&package.why));
    line(out, &format!("        - {{ name: {name}, version: {version}, architecture: {architecture}, why: {why},"));
    line(out, &format!("            {origin},"));
    line(out, &format!("            path: {}, size: {},", scalar(&package.path), package.size));
    if let Some(state) = &package.state {
        line(out, &format!("            state: {},", scalar(&state.to_string())));
    }
    line(out, &format!("            sha256: {},", scalar(&package.sha256.to_string())));
    // always quoted, so that all digests look alike
    line(out, &format!("            sha512: {} }}", quoted(&package.sha512)));
}

fn map<'a>(out: &mut String, name: &str, entries: impl Iterator<Item = (&'a str, String)>) {
    let mut lines = String::new();
    for (key, value) in entries {
        line(&mut lines, &format!("  {}: {}", scalar(key), scalar(&value)));
    }
    line(out, &if lines.is_empty() { format!("{name}: {{}}") } else { format!("{name}:") });
    out.push_str(&lines);
}

fn list(out: &mut String, indent: &str, name: &str, empty: bool) {
    line(out, &format!("{indent}{name}:{}", if empty { " []" } else { "" }));
}

fn sequence(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| scalar(item)).collect();
    format!("[{}]", items.join(", "))
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// Returns a string as a YAML scalar. A word that every YAML reader takes for text stays plain; everything else is
/// quoted as in JSON, which is YAML.
fn scalar(text: &str) -> String {
    let words = text
        .split(' ')
        .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._+-".contains(&b)));
    // YAML 1.1 reads these as null and booleans
    let reserved = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    // what begins with a digit or a sign could be a number or a date
    let letter = text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    if letter && words && !reserved.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    quoted(text)
}

/// Returns a string in double quotes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // YAML forbids control characters, and takes these two separators for line breaks
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
