//! The script ledger, `recipes/scripts.yaml`: what was decided about each maintainer script, by the script's digest.

use crate::recipe::Error;
use crate::recipe::level::text;
use crate::recipe::parse::Node;
use crate::recipe::parse::parse;
use crate::recipe::schema::LEDGER;
use crate::recipe::source::Place;
use crate::recipe::source::Problems;
use crate::recipe::source::Source;
use crate::recipe::validate::Parameters;
use crate::recipe::validate::validate;
use crate::values::Digest;
use std::collections::BTreeMap;

/// All decisions about maintainer scripts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    entries: Vec<LedgerEntry>,
    by_digest: BTreeMap<Digest, usize>,
}

/// What was decided about one script of one package, in all its known forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Binary package.
    pub package: String,
    /// `preinst`, `postinst`, `prerm`, `postrm`, `config` or `triggers`.
    pub script: String,
    /// What was decided.
    pub decision: Decision,
    /// Why that is right.
    pub reason: String,
    /// Digests of the script's known forms.
    pub digests: Vec<Digest>,
}

/// What becomes of a script's effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// An image does not need it.
    NotNeeded,
    /// A generator or recipe key brings it about.
    Reproduced {
        /// Name of the generator or recipe key.
        by: String,
    },
}

impl Ledger {
    /// Reads a ledger; `file` is its path for messages.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all problems.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let source = Source::new(file.to_owned(), text.to_owned());
        let mut problems = Problems::default();
        let mut ledger = Self::default();
        if let Some(node) = parse(&source, &mut problems) {
            validate(&source, &node, &LEDGER, Parameters::Filled, &mut problems);
            ledger.fill(&source, &node, &mut problems);
        }
        if problems.has_error() { Err(Error::Invalid(problems.sorted())) } else { Ok(ledger) }
    }

    /// Returns the entry for a script with this digest.
    #[must_use]
    pub fn entry(&self, script: &Digest) -> Option<&LedgerEntry> {
        self.by_digest.get(script).and_then(|index| self.entries.get(*index))
    }

    /// Returns the entries for a script of a package, whatever its digest: hints for a script that has changed.
    pub fn entries_for<'a>(&'a self, package: &'a str, script: &'a str) -> impl Iterator<Item = &'a LedgerEntry> {
        self.entries.iter().filter(move |entry| entry.package == package && entry.script == script)
    }

    /// Returns the digest of all decisions; reasons and the order of entries do not count.
    #[must_use]
    pub fn identity(&self) -> Digest {
        let decided =
            self.by_digest.iter().map(|(digest, index)| format!("{digest} {:?}\n", self.entries[*index].decision));
        Digest::of(decided.collect::<String>().as_bytes())
    }

    /// Returns all entries in the file's order.
    #[must_use]
    pub fn entries(&self) -> &[LedgerEntry] {
        &self.entries
    }

    fn fill(&mut self, source: &Source, root: &Node, problems: &mut Problems) {
        let mut places: BTreeMap<Digest, Place> = BTreeMap::new();
        for node in root.get("scripts").map(Node::items).unwrap_or_default() {
            let by = node.get("by");
            let decision = match (node.get("decision").map(Node::text), by) {
                (Some("reproduced"), Some(by)) => Decision::Reproduced { by: by.text().to_owned() },
                (Some("reproduced"), None) => {
                    problems.error(source, node.place, "`reproduced` needs the key `by`: what reproduces it");
                    continue;
                }
                (_, Some(by)) => {
                    problems.error(source, by.place, "`by` stands only with `decision: reproduced`");
                    continue;
                }
                _ => Decision::NotNeeded,
            };
            let mut digests = Vec::new();
            for item in node.get("sha256").map(Node::items).unwrap_or_default() {
                let Ok(digest) = Digest::from_hex(item.text()) else { continue };
                digests.push(digest);
                self.by_digest.insert(digest, self.entries.len());
                if let Some(first) = places.insert(digest, item.place).filter(|first| *first != item.place) {
                    let help = format!("first in line {}", source.line(first));
                    problems.error_with_help(source, item.place, "this digest is in the ledger already", &help);
                }
            }
            let field = |name| text(node.get(name));
            let (package, script, reason) = (field("package"), field("script"), field("reason"));
            self.entries.push(LedgerEntry { package, script, decision, reason, digests });
        }
    }
}
