//! Names of projects and repositories, checked before they become part of an address.

use crate::harbor::Error;
use std::fmt;

/// A repository of a Harbor: `project/name`, where the name may have further slashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Repository {
    project: String,
    name: String,
}

impl Repository {
    /// Reads `project/name`.
    ///
    /// # Errors
    /// [`Error::Name`] for anything else (distribution-spec, "Pulling manifests": `<name>`).
    pub fn parse(text: &str) -> Result<Self, Error> {
        match text.split_once('/') {
            Some((project, name)) if text.len() <= 255 && is_path(project) && is_path(name) => {
                Ok(Self { project: project.to_owned(), name: name.to_owned() })
            }
            _ => Err(Error::Name {
                kind: "repository",
                name: text.to_owned(),
                rule: "it must be `project/name` of small letters and digits, with `.`, `_`, `-` in between",
            }),
        }
    }

    /// Returns the project.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.project
    }

    /// Returns the name within the project.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name as a path segment. The address encodes it a second time, as Harbor expects.
    pub(crate) fn encoded(&self) -> String {
        self.name.replace('/', "%2F")
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.name)
    }
}

/// Checks the name of a project (Harbor `src/server/v2.0/handler/project.go`).
pub(crate) fn check_project(name: &str) -> Result<(), Error> {
    let rule = "it must be small letters and digits, with single `.`, `_`, `-` in between";
    let is_name = name.len() <= 255 && !name.contains('/') && is_path(name);
    if is_name { Ok(()) } else { Err(Error::Name { kind: "project", name: name.to_owned(), rule }) }
}

/// Checks the name of a robot (Harbor `src/server/v2.0/handler/robot.go`).
pub(crate) fn check_robot(name: &str) -> Result<(), Error> {
    let rule = "it must be small letters and digits, with single `.`, `_`, `-` in between";
    let is_name = name.len() <= 255 && !name.contains('/') && is_path(name);
    if is_name { Ok(()) } else { Err(Error::Name { kind: "robot name", name: name.to_owned(), rule }) }
}

/// Tells whether every component of a path is a name. None can be `.` or `..`, so no name leads to another address.
fn is_path(text: &str) -> bool {
    text.split('/').all(is_component)
}

/// Tells whether a text consists of small letters and digits, with separators only in between.
fn is_component(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_plain = bytes.iter().all(|byte| is_alphanumeric(*byte) || matches!(byte, b'.' | b'_' | b'-'));
    is_plain
        && bytes.first().copied().is_some_and(is_alphanumeric)
        && bytes.last().copied().is_some_and(is_alphanumeric)
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_names() {
        let good = ["staging/tomcat-11", "a/b/c", "0/0", "base.images/java__25"];
        let bad = ["", "staging", "/a", "a/", "a//b", "A/b", "a/..", "../a", "a/.b", "a/b-", "a/b%2Fc", "a/b c", "ä/b"];
        for text in good {
            assert_eq!(Repository::parse(text).unwrap().to_string(), text);
        }
        for text in bad {
            assert!(Repository::parse(text).is_err(), "{text}");
        }
        assert!(check_project("a").is_ok() && check_project("a/b").is_err() && check_robot("robot$a").is_err());
    }
}
