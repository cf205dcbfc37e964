//! What identifies a definition: digests of its parts as they resolve, so that a comment, another order of keys or a
//! moved file changes nothing, and everything that can change an image or what is trusted for it does.
//!
//! | part | what it covers |
//! |---|---|
//! | `archives` | addresses aside, every archive with its pockets, keys, fingerprints and required fields |
//! | `image` | platforms, parameters, `version-of`, purpose and owner: what the image says about itself |
//! | `level <recipe>` | everything that the recipe adds, with the content of its files, for every platform |
//!
//! Addresses are left out because a signature makes the place of a file irrelevant; tags and repositories because they
//! only say where a finished image goes.

use crate::recipe::ArchiveDefinition;
use crate::recipe::Definition;
use crate::recipe::Level;
use crate::recipe::PocketDefinition;
use crate::values::Digest;
use crate::values::Platform;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;

impl Definition {
    /// Returns the digest of every part of the definition, by the part's name.
    #[must_use]
    pub fn identity(&self) -> BTreeMap<String, Digest> {
        let mut parts = BTreeMap::new();
        let archives: Vec<Value> = self.archives.iter().map(archive).collect();
        parts.insert("archives".to_owned(), digest(&archives));
        parts.insert("image".to_owned(), digest(&self.about()));

        let mut levels: BTreeMap<&str, Vec<(&Platform, Level)>> = BTreeMap::new();
        for (platform, of_platform) in &self.levels {
            for level in of_platform {
                levels.entry(&level.recipe).or_default().push((platform, ordered(level)));
            }
        }
        parts.extend(levels.into_iter().map(|(recipe, level)| (format!("level {recipe}"), digest(&level))));
        parts
    }

    /// Returns the identity as text, a line a part, for keys of what was made from a definition.
    #[must_use]
    pub fn identity_text(&self) -> String {
        let lines: Vec<String> = self.identity().into_iter().map(|(part, digest)| format!("{part} {digest}")).collect();
        lines.join("\n")
    }

    fn about(&self) -> Value {
        json!({
            "platforms": self.platforms,
            "parameters": self.parameters,
            "version-of": self.version_of,
            "purpose": self.purpose,
            "owner": [self.owner.name, self.owner.contact],
        })
    }
}

/// Returns a level with everything in order that is a set.
fn ordered(level: &Level) -> Level {
    let mut level = level.clone();
    level.packages.sort();
    level.include_paths.sort();
    level
}

fn archive(archive: &ArchiveDefinition) -> Value {
    let keys: Vec<Digest> = archive.keys.iter().map(|key| Digest::of(key)).collect();
    json!({
        "name": archive.name,
        "keys": keys,
        "fingerprints": archive.fingerprints,
        "origin": archive.origin,
        "label": archive.label,
        "components": archive.components,
        "pockets": archive.pockets.iter().map(pocket).collect::<Vec<Value>>(),
    })
}

fn pocket(pocket: &PocketDefinition) -> Value {
    json!({
        "name": pocket.name,
        "suite": pocket.suite,
        "expected-suite": pocket.expected_suite,
        "codename": pocket.codename,
        "frozen": pocket.frozen,
    })
}

fn digest(part: &impl serde::Serialize) -> Digest {
    Digest::of(&serde_json::to_vec(part).expect("definitions have string keys and serialise"))
}
