//! The identity of a definition: digests of its parts as they resolve. A comment, another order of keys or a moved file
//! changes nothing; whatever can change an image, or what is trusted for it, changes a digest.
//!
//! | part | covers |
//! |---|---|
//! | `archives` | every archive with its pockets, keys, fingerprints and required fields, without addresses |
//! | `image` | platforms, parameters, `version-of`, purpose and owner: what the image says about itself |
//! | `level <recipe>` | everything that the recipe adds, with the content of its files, for every platform |
//!
//! Addresses are left out because a signature makes the source of a file irrelevant; tags and repositories, because they
//! only say where a finished image goes.

use crate::recipe::ArchiveDefinition;
use crate::recipe::ImageDefinition;
use crate::recipe::LevelDefinition;
use crate::recipe::PocketDefinition;
use crate::values::Digest;
use crate::values::Platform;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;

impl ImageDefinition {
    /// Returns the digest of every part of the definition, by the part's name.
    #[must_use]
    pub fn identity(&self) -> BTreeMap<String, Digest> {
        let mut parts = BTreeMap::new();
        let archives: Vec<Value> = self.archives.iter().map(archive).collect();
        parts.insert("archives".to_owned(), digest(&archives));
        parts.insert("image".to_owned(), digest(&self.about()));

        // One digest per recipe over all platforms: a stale lock is then explained by the recipe that changed.
        let mut by_recipe: BTreeMap<&str, Vec<(&Platform, LevelDefinition)>> = BTreeMap::new();
        for (platform, levels) in &self.levels {
            for level in levels {
                by_recipe.entry(&level.recipe).or_default().push((platform, ordered(level)));
            }
        }
        for (recipe, levels) in by_recipe {
            parts.insert(format!("level {recipe}"), digest(&levels));
        }

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

/// Returns a level with its sets sorted: packages and kept paths mean the same in any order.
fn ordered(level: &LevelDefinition) -> LevelDefinition {
    // Generators are in order already; command lines and ports keep the order that the recipe gives them.
    let mut level = level.clone();
    level.packages.sort();
    level.include_paths.sort();
    level
}

/// Returns what decides which files of an archive are trusted.
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

/// Returns what decides which state of a pocket is accepted; its ages only warn or stop a run.
fn pocket(pocket: &PocketDefinition) -> Value {
    json!({
        "name": pocket.name,
        "suite": pocket.suite,
        "expected-suite": pocket.expected_suite,
        "codename": pocket.codename,
        "frozen": pocket.frozen,
    })
}

/// Returns the digest of a part as JSON. Equal parts have equal bytes: maps are sorted, or written in a fixed order.
fn digest(part: &impl serde::Serialize) -> Digest {
    Digest::of(&serde_json::to_vec(part).expect("definitions have string keys and serialise"))
}
