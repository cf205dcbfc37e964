//! Relations between packages: Depends, Conflicts, Provides and the like (Debian policy 7.1, deb-control(5)).

use crate::apt::version::DebianVersion;
use crate::apt::version::InvalidVersion;
use std::fmt;
use std::str::FromStr;

/// How a version is compared in a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionOperator {
    /// `<<`
    Earlier,
    /// `<=`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`
    LaterOrEqual,
    /// `>>`
    Later,
}

/// One package name with an optional version bound, `libc6 (>= 2.38)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Package or virtual package.
    pub name: String,
    /// Architecture qualifier after the colon (`any`, `native`, `amd64`).
    pub qualifier: Option<String>,
    /// Operator and version of `(>= 2.38)`.
    pub bound: Option<(VersionOperator, DebianVersion)>,
}

/// A virtual package, `Provides: mail-transport-agent, libfoo (= 1.2)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provide {
    /// Virtual package name.
    pub name: String,
    /// Version, if there is one.
    pub version: Option<DebianVersion>,
}

/// The text is not a relation of binary packages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read relation `{}`: {problem}", text.escape_debug())]
pub struct InvalidRelation {
    /// The offending part of the field.
    pub text: String,
    /// What is wrong with it.
    pub problem: RelationProblem,
}

/// What is wrong with a relation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelationProblem {
    /// There is no name.
    #[error("a package name is missing")]
    MissingName,
    /// The name has characters other than letters, digits and `+-._`, or does not begin with a letter or digit.
    #[error("`{}` is not a package name", .0.escape_debug())]
    Name(String),
    /// There are characters other than letters, digits and `-` after the colon.
    #[error("`{}` is not an architecture", .0.escape_debug())]
    Qualifier(String),
    /// The bound is not `(<operator> <version>)`.
    #[error("the version bound is not `(<operator> <version>)` with one of << <= = >= >>")]
    Bound,
    /// The version in the bound is invalid.
    #[error(transparent)]
    Version(#[from] InvalidVersion),
    /// `[amd64]` in a binary package.
    #[error("architecture restrictions belong to source packages")]
    Restriction,
    /// `<!nocheck>` in a binary package.
    #[error("build profiles belong to source packages")]
    Profile,
    /// Text after the relation.
    #[error("`{}` follows the relation", .0.escape_debug())]
    Trailing(String),
    /// `a | b` in a field without alternatives.
    #[error("alternatives are not allowed here")]
    Alternatives,
    /// A bound other than `=`, or a qualifier, in `Provides`.
    #[error("a package can only provide `name` or `name (= version)`")]
    Provide,
}

impl VersionOperator {
    /// Splits off a leading operator. The obsolete `<` and `>` mean `<=` and `>=`, as in dpkg.
    fn take(text: &str) -> Option<(Self, &str)> {
        // the longer ones first: `<<` begins with `<`
        const OPERATORS: [(&str, VersionOperator); 7] = [
            ("<<", VersionOperator::Earlier),
            ("<=", VersionOperator::EarlierOrEqual),
            (">=", VersionOperator::LaterOrEqual),
            (">>", VersionOperator::Later),
            ("=", VersionOperator::Equal),
            ("<", VersionOperator::EarlierOrEqual),
            (">", VersionOperator::LaterOrEqual),
        ];

        OPERATORS.iter().find_map(|&(sign, operator)| Some((operator, text.strip_prefix(sign)?)))
    }
}

impl fmt::Display for VersionOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        })
    }
}

impl Relation {
    /// Reads one relation, `tomcat10 (>= 10.1)`.
    ///
    /// # Errors
    /// [`InvalidRelation`] for anything else, lists and alternatives included.
    pub fn parse(text: &str) -> Result<Self, InvalidRelation> {
        let text = text.trim_matches(is_space);
        relation(text).map_err(|problem| InvalidRelation { text: text.to_owned(), problem })
    }

    /// Reads a field such as `Depends`. All groups of the outer list are needed; an inner list holds
    /// alternatives, best first.
    ///
    /// # Errors
    /// [`InvalidRelation`] with the first offending relation.
    pub fn parse_groups(field: &str) -> Result<Vec<Vec<Self>>, InvalidRelation> {
        items(field).map(|group| group.split('|').map(Self::parse).collect()).collect()
    }

    /// Reads a field without alternatives: `Conflicts`, `Breaks`, `Replaces`.
    ///
    /// # Errors
    /// [`InvalidRelation`] with the first offending relation.
    pub fn parse_list(field: &str) -> Result<Vec<Self>, InvalidRelation> {
        items(field).map(Self::parse).collect()
    }

    /// Tells whether a version of the named package is within the bound.
    #[must_use]
    pub fn satisfied_by(&self, version: &DebianVersion) -> bool {
        let Some((operator, bound)) = &self.bound else { return true };
        match operator {
            VersionOperator::Earlier => version < bound,
            VersionOperator::EarlierOrEqual => version <= bound,
            VersionOperator::Equal => version == bound,
            VersionOperator::LaterOrEqual => version >= bound,
            VersionOperator::Later => version > bound,
        }
    }

    /// Tells whether a virtual package satisfies this relation. A relation with a bound needs a virtual package
    /// with a version (Debian policy 7.5).
    #[must_use]
    pub fn provided_by(&self, provide: &Provide) -> bool {
        self.name == provide.name
            && match &provide.version {
                Some(version) => self.satisfied_by(version),
                None => self.bound.is_none(),
            }
    }
}

impl Provide {
    /// Reads a `Provides` field.
    ///
    /// # Errors
    /// [`InvalidRelation`] with the first offending item.
    pub fn parse_list(field: &str) -> Result<Vec<Self>, InvalidRelation> {
        items(field).map(Self::parse).collect()
    }

    /// Reads one item of a `Provides` field. An architecture qualifier (`Provides: python3:any`, found in the
    /// wild) does not make it another package, so it is dropped.
    fn parse(item: &str) -> Result<Self, InvalidRelation> {
        let relation = Relation::parse(item)?;
        match relation.bound {
            None => Ok(Self { name: relation.name, version: None }),
            // a package has one version, so it provides exactly one (Debian policy 7.5)
            Some((VersionOperator::Equal, version)) => Ok(Self { name: relation.name, version: Some(version) }),
            Some(_) => Err(InvalidRelation { text: item.to_owned(), problem: RelationProblem::Provide }),
        }
    }
}

/// Tells whether dpkg accepts a text as a package name: letters, digits and `+-._`, beginning with a letter or digit.
#[must_use]
pub fn is_package_name(text: &str) -> bool {
    // names become file names, which have at most 255 bytes
    text.len() <= 255
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
}

/// Splits a field at its commas. Some tools leave empty items at the end; they do not count.
fn items(field: &str) -> impl Iterator<Item = &str> {
    field.split(',').map(|item| item.trim_matches(is_space)).filter(|item| !item.is_empty())
}

/// Tells whether a character is white space in a folded field (deb822(5)).
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// Reads one relation without white space around it.
fn relation(text: &str) -> Result<Relation, RelationProblem> {
    let end = text.find(|c: char| is_space(c) || "(:[<|,".contains(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return Err(RelationProblem::MissingName);
    }
    if !is_package_name(name) {
        return Err(RelationProblem::Name(name.to_owned()));
    }

    let (qualifier, rest) = qualifier(rest)?;
    let (bound, rest) = bound(rest.trim_start_matches(is_space))?;

    // restrictions cannot be ignored: that would change the meaning of the relation
    match rest.trim_start_matches(is_space).chars().next() {
        None => Ok(Relation { name: name.to_owned(), qualifier, bound }),
        Some('[') => Err(RelationProblem::Restriction),
        Some('<') => Err(RelationProblem::Profile),
        Some('|') => Err(RelationProblem::Alternatives),
        Some(_) => Err(RelationProblem::Trailing(rest.trim_matches(is_space).to_owned())),
    }
}

/// Splits off a leading architecture qualifier, such as `:any`.
fn qualifier(text: &str) -> Result<(Option<String>, &str), RelationProblem> {
    let Some(text) = text.strip_prefix(':') else { return Ok((None, text)) };
    let end = text.find(|c: char| is_space(c) || "([<|".contains(c)).unwrap_or(text.len());
    let (qualifier, rest) = text.split_at(end);

    if qualifier.is_empty() || !qualifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(RelationProblem::Qualifier(qualifier.to_owned()));
    }
    Ok((Some(qualifier.to_owned()), rest))
}

/// The content of the parentheses.
type VersionBound = (VersionOperator, DebianVersion);

/// Splits off a leading version bound, such as `(>= 1.0)`.
fn bound(text: &str) -> Result<(Option<VersionBound>, &str), RelationProblem> {
    let Some(text) = text.strip_prefix('(') else { return Ok((None, text)) };
    let (inside, rest) = text.split_once(')').ok_or(RelationProblem::Bound)?;

    // white space is optional everywhere: `libc6(>=2.38)`
    let (operator, version) = VersionOperator::take(inside.trim_matches(is_space)).ok_or(RelationProblem::Bound)?;
    let version = DebianVersion::parse(version.trim_matches(is_space))?;
    Ok((Some((operator, version)), rest))
}

impl FromStr for Relation {
    type Err = InvalidRelation;

    fn from_str(text: &str) -> Result<Self, InvalidRelation> {
        Self::parse(text)
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(qualifier) = &self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        match &self.bound {
            Some((operator, version)) => write!(f, " ({operator} {version})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Provide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{} (= {version})", self.name),
            None => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_prints() {
        let table = [
            ("libc6", "libc6"),
            ("libc6 (>= 2.38)", "libc6 (>= 2.38)"),
            ("libc6(>=2.38)", "libc6 (>= 2.38)"),
            (" libc6\n (  >=\t2.38 )  ", "libc6 (>= 2.38)"),
            ("python3:any", "python3:any"),
            ("python3:any (<< 3.13)", "python3:any (<< 3.13)"),
            ("perl:native(>> 5)", "perl:native (>> 5)"),
            ("g++ (= 4:14.1.0-2ubuntu1)", "g++ (= 4:14.1.0-2ubuntu1)"),
            ("old (< 1)", "old (<= 1)"),
            ("old (> 1)", "old (>= 1)"),
        ];
        for (text, printed) in table {
            assert_eq!(Relation::parse(text).unwrap().to_string(), printed);
            assert_eq!(printed.parse(), Relation::parse(text));
        }
    }

    #[test]
    fn reads_fields() {
        let field = "libc6 (>= 2.38),\n default-mta | mail-transport-agent,\n awk:any ,";
        let printed: Vec<Vec<String>> = Relation::parse_groups(field)
            .unwrap()
            .iter()
            .map(|group| group.iter().map(ToString::to_string).collect())
            .collect();
        assert_eq!(printed, [vec!["libc6 (>= 2.38)"], vec!["default-mta", "mail-transport-agent"], vec!["awk:any"]]);
        assert_eq!(Relation::parse_groups(" \n"), Ok(Vec::new()));
        assert_eq!(Relation::parse_list("a (<< 1), b").unwrap().len(), 2);
        let provides = Provide::parse_list("awk, libfoo (= 1:1.2-3), python3:any").unwrap();
        let printed: Vec<_> = provides.iter().map(ToString::to_string).collect();
        assert_eq!(printed, ["awk", "libfoo (= 1:1.2-3)", "python3"]);
    }

    #[test]
    fn names_what_is_wrong() {
        let table = [
            ("", "``: a package name is missing"),
            ("(>= 1)", "`(>= 1)`: a package name is missing"),
            ("-a", "`-a`: `-a` is not a package name"),
            ("../a", "`../a`: `../a` is not a package name"),
            ("ä", "`ä`: `ä` is not a package name"),
            ("a:", "`a:`: `` is not an architecture"),
            ("a: any", "`a: any`: `` is not an architecture"),
            ("a (1)", "`a (1)`: the version bound is not `(<operator> <version>)` with one of << <= = >= >>"),
            ("a (>= 1", "`a (>= 1`: the version bound is not `(<operator> <version>)` with one of << <= = >= >>"),
            ("a (>= )", "`a (>= )`: cannot read version ``: it is empty"),
            (
                "a (>= 1 2)",
                "`a (>= 1 2)`: cannot read version `1 2`: it has characters that are not allowed in versions",
            ),
            ("a [amd64]", "`a [amd64]`: architecture restrictions belong to source packages"),
            ("a (>= 1) <!nocheck>", "`a (>= 1) <!nocheck>`: build profiles belong to source packages"),
            ("a b", "`a b`: `b` follows the relation"),
            ("a | b", "`a | b`: alternatives are not allowed here"),
            ("a, b", "`a, b`: `, b` follows the relation"),
            ("a\u{1b}[2J", "`a\\u{1b}[2J`: `a\\u{1b}` is not a package name"),
        ];
        for (text, message) in table {
            let error = Relation::parse(text).unwrap_err();
            assert_eq!(error.to_string(), format!("cannot read relation {message}"));
        }
        assert_eq!(Relation::parse_groups("a | , b").unwrap_err().problem, RelationProblem::MissingName);
        assert_eq!(Relation::parse_list("a | b").unwrap_err().problem, RelationProblem::Alternatives);
        assert_eq!(Provide::parse_list("a (>= 1)").unwrap_err().problem, RelationProblem::Provide);
    }

    #[test]
    fn compares_versions() {
        let table = [
            ("a", true, true, true),
            ("a (<< 2)", true, false, false),
            ("a (<= 2)", true, true, false),
            ("a (= 2)", false, true, false),
            ("a (>= 2)", false, true, true),
            ("a (>> 2)", false, false, true),
        ];
        for (text, earlier, equal, later) in table {
            let relation = Relation::parse(text).unwrap();
            let answers = ["1", "0:2-0", "2.1"].map(|version| relation.satisfied_by(&DebianVersion::new(version)));
            assert_eq!(answers, [earlier, equal, later], "{text}");
        }
    }

    #[test]
    fn needs_a_version_to_provide_a_bound() {
        let provides = Provide::parse_list("a, a (= 2), b").unwrap();
        let answers = |text: &str| {
            let relation = Relation::parse(text).unwrap();
            provides.iter().map(|provide| relation.provided_by(provide)).collect::<Vec<_>>()
        };
        assert_eq!(answers("a"), [true, true, false]);
        assert_eq!(answers("a (>= 1)"), [false, true, false]);
        assert_eq!(answers("a (>= 3)"), [false, false, false]);
    }

    proptest! {
        #[test]
        fn prints_what_it_reads(text in "[a-c]{1,2}(:any)?( ?\\((<<|<=|=|>=|>>) ?[0-9]:?[0-9.a-]{1,3}\\))?") {
            if let Ok(relation) = Relation::parse(&text) {
                prop_assert_eq!(Relation::parse(&relation.to_string()), Ok(relation));
            }
        }

        #[test]
        fn takes_any_text(text in "[a:(<=>)|,\\[\\] \n1é.-]{0,30}") {
            let _ = Relation::parse_groups(&text);
            let _ = Relation::parse_list(&text);
            let _ = Provide::parse_list(&text);
        }
    }
}
