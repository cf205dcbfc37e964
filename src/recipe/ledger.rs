//! The script ledger, `recipes/scripts.yaml`: decisions about effects of maintainer scripts, and about whole scripts by
//! their digest where the effects say too little.

use crate::recipe::EffectPattern;
use crate::recipe::EffectRule;
use crate::recipe::Error;
use crate::recipe::ledger_schema::LEDGER;
use crate::recipe::level::text;
use crate::recipe::parse::YamlNode;
use crate::recipe::parse::parse;
use crate::recipe::source::Diagnostics;
use crate::recipe::source::SourceFile;
use crate::recipe::source::SourceSpan;
use crate::recipe::validate::ParameterPhase;
use crate::recipe::validate::validate;
use crate::values::Digest;
use std::collections::BTreeMap;

/// All decisions about maintainer scripts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScriptLedger {
    /// Rules about effects: those that name packages first, then the general ones.
    rules: Vec<EffectRule>,
    entries: Vec<ScriptLedgerEntry>,
    /// Index into `entries`, by the digest of a script.
    by_digest: BTreeMap<Digest, usize>,
}

/// The decision about one script of one package, in all its known forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptLedgerEntry {
    /// Name of the binary package.
    pub package: String,
    /// Kind of script: `preinst`, `postinst`, `prerm`, `postrm`, `config` or `triggers`.
    pub script: String,
    /// The decision.
    pub decision: ScriptDecision,
    /// Reason for the decision, for reviewers.
    pub reason: String,
    /// Digests of the script's known forms.
    pub digests: Vec<Digest>,
}

/// How an image gets the effect of a script that is never run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptDecision {
    /// Images do not need the effect.
    NotNeeded,
    /// A generator or recipe key reproduces the effect.
    Reproduced {
        /// Name of the generator or recipe key.
        by: String,
    },
}

impl ScriptDecision {
    /// Returns the decision as locks write it.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::NotNeeded => "not-needed".to_owned(),
            Self::Reproduced { by } => format!("reproduced by {by}"),
        }
    }
}

impl ScriptLedger {
    /// Reads a ledger; `file` is its path for messages.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all problems.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let source = SourceFile::new(file.to_owned(), text.to_owned());
        let mut problems = Diagnostics::default();
        let mut ledger = Self::default();

        if let Some(node) = parse(&source, &mut problems) {
            validate(&source, &node, &LEDGER, ParameterPhase::Filled, &mut problems);
            ledger.fill(&source, &node, &mut problems);
        }

        if problems.has_error() { Err(Error::Invalid(problems.sorted())) } else { Ok(ledger) }
    }

    /// Returns the decision about an effect of a package: of the first rule that covers it.
    #[must_use]
    pub fn rule(&self, package: &str, effect: &str) -> Option<&EffectRule> {
        self.rules.iter().find(|rule| rule.covers(package, effect))
    }

    /// Puts the decisions of a project before those of this ledger. Where both decide, the project's count.
    #[must_use]
    pub fn with_project(mut self, project: Self) -> Self {
        let first = self.entries.len();
        self.entries.extend(project.entries);
        self.by_digest.extend(project.by_digest.into_iter().map(|(digest, index)| (digest, first + index)));
        self.rules = project.rules.into_iter().chain(self.rules).collect();
        // a general rule of the project does not stand before what either says about a package
        self.rules.sort_by_key(|rule| rule.packages.is_empty());
        self
    }

    /// Returns the entry for a script with this digest.
    #[must_use]
    pub fn entry(&self, script: &Digest) -> Option<&ScriptLedgerEntry> {
        self.by_digest.get(script).and_then(|index| self.entries.get(*index))
    }

    /// Returns the entries for a script of a package whatever its digest: hints for a script that has changed.
    pub fn entries_for<'a>(&'a self, package: &'a str, script: &'a str) -> impl Iterator<Item = &'a ScriptLedgerEntry> {
        self.entries.iter().filter(move |entry| entry.package == package && entry.script == script)
    }

    /// Returns the digest of all decisions, regardless of their reasons and of the order of entries.
    #[must_use]
    pub fn identity(&self) -> Digest {
        // The `Debug` form of a decision is part of the digest, and so of locks: its names must not change.
        let decisions: String = self
            .by_digest
            .iter()
            .map(|(digest, index)| format!("{digest} {:?}\n", self.entries[*index].decision))
            .collect();

        let rules: String = self
            .rules
            .iter()
            .map(|rule| {
                let patterns = [&rule.packages, &rule.effects];
                let [packages, effects] = patterns.map(|all| all.iter().map(EffectPattern::as_str).collect::<Vec<_>>());
                format!("{packages:?} {effects:?} {:?}\n", rule.decision)
            })
            .collect();
        Digest::of(format!("{decisions}{rules}").as_bytes())
    }

    /// Returns all entries in the file's order.
    #[must_use]
    pub fn entries(&self) -> &[ScriptLedgerEntry] {
        &self.entries
    }

    /// Takes the entries of a file.
    fn fill(&mut self, source: &SourceFile, root: &YamlNode, problems: &mut Diagnostics) {
        // what is said about a package counts before what is said about all
        for node in root.items_of("packages").iter().chain(root.items_of("general")) {
            let Some(decision) = read_decision(source, node, problems) else { continue };
            if let Some(packages) = node.get("packages").filter(|packages| packages.items().is_empty()) {
                let help = "what holds for all of them stands under `general`";
                problems.error_with_help(source, packages.place, "a rule about packages names at least one", help);
                continue;
            }
            self.rules.push(EffectRule {
                packages: node.items_of("packages").iter().map(|item| EffectPattern::new(item.text())).collect(),
                effects: node.items_of("effects").iter().map(|item| EffectPattern::new(item.text())).collect(),
                decision,
                reason: text(node.get("reason")),
            });
        }
        if let Some(format) = root.get("format").filter(|format| format.text() == "1")
            && !self.rules.is_empty()
        {
            problems.error(source, format.place, "decisions about effects need `format: 2`");
        }

        let mut places: BTreeMap<Digest, SourceSpan> = BTreeMap::new();
        for node in root.items_of("scripts") {
            let Some(decision) = read_decision(source, node, problems) else { continue };

            let mut digests = Vec::new();
            for item in node.items_of("sha256") {
                // Validation has reported what is not a digest.
                let Ok(digest) = Digest::from_hex(item.text()) else { continue };
                digests.push(digest);
                self.by_digest.insert(digest, self.entries.len());

                // Two decisions about the same script could contradict each other.
                if let Some(first) = places.insert(digest, item.place) {
                    let help = format!("first in line {}", source.line(first));
                    problems.error_with_help(source, item.place, "this digest is in the ledger already", &help);
                }
            }

            self.entries.push(ScriptLedgerEntry {
                package: text(node.get("package")),
                script: text(node.get("script")),
                decision,
                reason: text(node.get("reason")),
                digests,
            });
        }
    }
}

/// Returns the decision of an entry; `None` if it was reported as incomplete.
fn read_decision(source: &SourceFile, entry: &YamlNode, problems: &mut Diagnostics) -> Option<ScriptDecision> {
    let decision = entry.get("decision").map(YamlNode::text);

    match (decision, entry.get("by")) {
        (Some("reproduced"), Some(by)) => Some(ScriptDecision::Reproduced { by: by.text().to_owned() }),
        (Some("reproduced"), None) => {
            problems.error(source, entry.place, "`reproduced` needs the key `by`: what reproduces it");
            None
        }
        (_, Some(by)) => {
            problems.error(source, by.place, "`by` is only allowed with `decision: reproduced`");
            None
        }
        // Validation has reported any other word, so what is read here for it is never used.
        (_, None) => Some(ScriptDecision::NotNeeded),
    }
}
