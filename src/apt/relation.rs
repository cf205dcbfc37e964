//! Relations between packages: Depends, Conflicts, Provides and the like (Debian policy 7.1, deb-control(5)).

use crate::apt::version::Version;
use std::fmt;
use std::str::FromStr;

/// How a version is compared in a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
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

impl Operator {
    /// Returns the operator as written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        }
    }

    /// Tells whether `left operator right` holds.
    #[must_use]
    pub fn holds(self, left: &Version, right: &Version) -> bool {
        match self {
            Self::Earlier => left < right,
            Self::EarlierOrEqual => left <= right,
            Self::Equal => left == right,
            Self::LaterOrEqual => left >= right,
            Self::Later => left > right,
        }
    }
}

/// One package name with an optional version bound, `libc6 (>= 2.38)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Package or virtual package.
    pub name: String,
    /// Architecture qualifier after the colon (`any`, `native`, `amd64`).
    pub qualifier: Option<String>,
    /// Bound.
    pub bound: Option<(Operator, Version)>,
}

/// A virtual package, `Provides: mail-transport-agent, libfoo (= 1.2)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provide {
    /// Virtual package name.
    pub name: String,
    /// Version, when one is given.
    pub version: Option<Version>,
}

/// The text is no relation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read package relation `{text}`: {cause}")]
pub struct Error {
    /// The text, shortened.
    pub text: String,
    /// What is wrong with it.
    pub cause: &'static str,
}

impl Relation {
    /// Tells whether a package of this version satisfies the bound. The name is the caller's business.
    #[must_use]
    pub fn allows(&self, version: &Version) -> bool {
        self.bound.as_ref().is_none_or(|(operator, bound)| operator.holds(version, bound))
    }

    /// Tells whether a `Provides` entry satisfies this relation: a versioned relation needs a versioned entry
    /// (policy 7.5).
    #[must_use]
    pub fn allows_provided(&self, provide: &Provide) -> bool {
        self.name == provide.name
            && match (&self.bound, &provide.version) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(_), Some(version)) => self.allows(version),
            }
    }
}

impl FromStr for Relation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |cause| Error { text: text.trim().chars().take(80).collect(), cause };
        let text = text.trim();
        let end = text.find(|c: char| c.is_whitespace() || "([<".contains(c)).unwrap_or(text.len());
        let (full_name, rest) = text.split_at(end);
        let (name, qualifier) = match full_name.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier)),
            None => (full_name, None),
        };
        if !is_package_name(name) {
            return Err(wrong("the name is not a package name"));
        }
        if qualifier.is_some_and(|qualifier| !is_package_name(qualifier)) {
            return Err(wrong("the part after `:` is not an architecture"));
        }
        let rest = rest.trim();
        let bound = match rest.strip_prefix('(').map(|inner| inner.strip_suffix(')')) {
            None if rest.is_empty() => None,
            None => return Err(wrong("only a version in parentheses may follow the name")),
            Some(None) => return Err(wrong("the closing parenthesis is missing")),
            Some(Some(inner)) => Some(bound(inner).ok_or_else(|| wrong("the version bound is malformed"))?),
        };
        Ok(Self { name: name.to_owned(), qualifier: qualifier.map(str::to_owned), bound })
    }
}

fn bound(text: &str) -> Option<(Operator, Version)> {
    let text = text.trim();
    let end = text.find(|c| !"<>=".contains(c))?;
    let operator = match &text[..end] {
        "<<" => Operator::Earlier,
        // the obsolete single forms mean the inclusive ones (policy 7.1)
        "<=" | "<" => Operator::EarlierOrEqual,
        "=" => Operator::Equal,
        ">=" | ">" => Operator::LaterOrEqual,
        ">>" => Operator::Later,
        _ => return None,
    };
    let version = text[end..].trim();
    let is_version_character = |c: char| c.is_ascii_alphanumeric() || ".+-:~".contains(c);
    (!version.is_empty() && version.chars().all(is_version_character)).then(|| (operator, Version::new(version)))
}

/// Package names: at least one of `a-z0-9`, and `+-.` (policy 5.6.1); upper case and `_` occur in the wild.
#[must_use]
pub fn is_package_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
    name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric()) && name.len() <= 255 && name.chars().all(allowed)
}

/// Reads a field of groups of alternatives, `a | b, c (>= 1)`.
///
/// # Errors
/// The first group that is malformed.
pub fn groups(text: &str) -> Result<Vec<Vec<Relation>>, Error> {
    parts(text).map(|group| group.split('|').map(str::parse).collect()).collect()
}

/// Reads a flat field, as Conflicts, Breaks and Replaces are.
///
/// # Errors
/// The first relation that is malformed.
pub fn list(text: &str) -> Result<Vec<Relation>, Error> {
    parts(text).map(str::parse).collect()
}

/// Reads a Provides field.
///
/// # Errors
/// The first entry that is malformed or has a bound other than `=`.
pub fn provides(text: &str) -> Result<Vec<Provide>, Error> {
    let provide = |relation: Relation| match relation.bound {
        None => Ok(Provide { name: relation.name, version: None }),
        Some((Operator::Equal, version)) => Ok(Provide { name: relation.name, version: Some(version) }),
        Some(_) => Err(Error { text: relation.name, cause: "a provided package can only have an exact version" }),
    };
    list(text)?.into_iter().map(provide).collect()
}

/// Splits at commas; empty parts are tolerated as dpkg does.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(qualifier) = &self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        match &self.bound {
            Some((operator, version)) => write!(f, " ({} {version})", operator.as_str()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_real_indexes_contain() {
        let text = "libc6 (>= 2.38), default-mta | mail-transport-agent,\n python3:any (<< 3.13),foo(=1:2~rc1-3),";
        let shown: Vec<String> = groups(text)
            .unwrap()
            .iter()
            .map(|group| group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "))
            .collect();
        assert_eq!(
            shown,
            ["libc6 (>= 2.38)", "default-mta | mail-transport-agent", "python3:any (<< 3.13)", "foo (= 1:2~rc1-3)"]
        );
        assert_eq!(provides("a, b (= 2)").unwrap().len(), 2);
    }

    #[test]
    fn refuses_what_is_no_relation() {
        for text in
            ["(>= 1)", "a (>= )", "a (>= 1", "a (~ 1)", "a [amd64]", "a <!nocheck>", "a b", "-a", "a:", "a (= 1 2)"]
        {
            assert!(groups(text).is_err(), "{text}");
        }
        assert!(groups("a |").is_err());
        assert!(provides("a (>= 1)").is_err());
    }

    #[test]
    fn versioned_relations_need_versioned_provides() {
        let provide = |text: &str| provides(text).unwrap().remove(0);
        let relation = |text: &str| text.parse::<Relation>().unwrap();
        assert!(relation("v").allows_provided(&provide("v")));
        assert!(relation("v").allows_provided(&provide("v (= 1)")));
        assert!(!relation("v (>= 1)").allows_provided(&provide("v")));
        assert!(relation("v (>= 1)").allows_provided(&provide("v (= 1)")));
        assert!(!relation("v (>= 2)").allows_provided(&provide("v (= 1)")));
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,60}") {
            let _any = groups(&text);
            let _any = provides(&text);
        }

        #[test]
        fn reads_what_it_prints(name in "[a-z0-9][a-z0-9+.-]{1,10}", operator in "<<|<=|=|>=|>>", version in "[0-9][0-9a-z.+~-]{0,8}") {
            let text = format!("{name} ({operator} {version})");
            prop_assert_eq!(text.parse::<Relation>().unwrap().to_string(), text);
        }
    }
}
