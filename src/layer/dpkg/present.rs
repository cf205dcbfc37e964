//! Which dependencies the packages of an image satisfy: a recipe may have excluded some, and apt must know.

use crate::apt::control::Paragraph;
use crate::apt::relation::Provide;
use crate::apt::relation::Relation;
use crate::apt::version::DebianVersion;
use std::collections::BTreeMap;

/// Fields whose unsatisfied dependencies are left out of the database.
const FIELDS: [&str; 2] = ["Pre-Depends", "Depends"];

/// Names, versions and provided names of all packages of an image.
#[derive(Debug, Default)]
pub(super) struct InstalledPackages {
    versions: BTreeMap<String, DebianVersion>,
    provided: Vec<Provide>,
}

impl InstalledPackages {
    /// Collects from control paragraphs; malformed ones are refused elsewhere.
    pub(super) fn new<'a>(paragraphs: impl Iterator<Item = &'a str>) -> Self {
        let mut present = Self::default();
        for paragraph in paragraphs.filter_map(|text| Paragraph::parse(text).ok()) {
            let name = paragraph.get("Package").unwrap_or_default();
            let version = paragraph.get("Version").unwrap_or_default();
            present.versions.insert(name.to_owned(), DebianVersion::new(version));
            present
                .provided
                .extend(Provide::parse_list(paragraph.get("Provides").unwrap_or_default()).unwrap_or_default());
        }
        present
    }

    fn satisfies(&self, relation: &Relation) -> bool {
        self.versions.get(&relation.name).is_some_and(|version| relation.satisfied_by(version))
            || self.provided.iter().any(|provide| relation.provided_by(provide))
    }

    /// Returns the paragraph without the dependencies that no package of the image satisfies, because the recipe excluded
    /// them; `None` when all are satisfied. With them, apt would refuse every installation, and try to bring the excluded
    /// packages in.
    pub(super) fn without_missing(&self, text: &str) -> Option<String> {
        let mut paragraph = Paragraph::parse(text).ok()?;
        let mut changed = false;
        for field in FIELDS {
            let groups = Relation::parse_groups(paragraph.get(field).unwrap_or_default()).ok()?;
            let total = groups.len();

            // one alternative is enough, and the others stay: they are still true
            let mut kept: Vec<String> = Vec::new();
            for group in groups {
                if group.iter().any(|relation| self.satisfies(relation)) {
                    kept.push(group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "));
                }
            }

            if kept.len() < total {
                changed = true;
                // policy 5.1: only source packages may have empty fields
                match kept.is_empty() {
                    true => paragraph.remove(field),
                    false => paragraph.set(field, kept.join(", ")),
                }
            }
        }
        changed.then(|| paragraph.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_out_what_nothing_satisfies() {
        let records = ["Package: a\nVersion: 2\nProvides: v (= 1)\n", "Package: b\nVersion: 1\n"];
        let present = InstalledPackages::new(records.iter().copied());
        let table = [
            ("Depends: a, b\n", None),
            ("Depends: a (>= 2), missing, x | b\n", Some("Package: p\nDepends: a (>= 2), x | b\n")),
            ("Pre-Depends: missing\nDepends: v (>= 1)\n", Some("Package: p\nDepends: v (>= 1)\n")),
            ("Depends: a (>> 2)\n", Some("Package: p\n")),
        ];
        for (fields, expected) in table {
            let found = present.without_missing(&format!("Package: p\n{fields}"));
            assert_eq!(found.as_deref(), expected, "{fields}");
        }
    }
}
