//! The packages that may be chosen for one architecture: all pockets together, and which version of a name is its
//! candidate.

use crate::apt::BinaryPackage;
use crate::apt::index;
use crate::apt::index::PackageIndex;
use crate::apt::version::DebianVersion;
use crate::lock::Error;
use crate::lock::file::LockedPackage;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Packages by name and by what they provide: an index of an archive, or a list of packages.
pub trait VersionShelf {
    /// Returns all packages of a name.
    ///
    /// # Errors
    /// When a paragraph cannot be read.
    fn by_name(&self, name: &str) -> Result<Vec<BinaryPackage>, index::Error>;

    /// Returns all packages that provide a virtual package.
    ///
    /// # Errors
    /// When a paragraph cannot be read.
    fn providers(&self, name: &str) -> Result<Vec<BinaryPackage>, index::Error>;

    /// Returns all package names, for suggestions.
    fn names(&self) -> Vec<String>;
}

impl VersionShelf for PackageIndex {
    fn by_name(&self, name: &str) -> Result<Vec<BinaryPackage>, index::Error> {
        self.by_name(name).collect()
    }

    fn providers(&self, name: &str) -> Result<Vec<BinaryPackage>, index::Error> {
        // a package that cannot be read is not chosen for what it provides; whoever names it hears why
        let usable =
            |found: &Result<BinaryPackage, index::Error>| !found.as_ref().is_err_and(index::Error::is_of_one_package);
        self.providers(name).filter(usable).collect()
    }

    fn names(&self) -> Vec<String> {
        self.names().map(str::to_owned).collect()
    }
}

impl VersionShelf for Vec<BinaryPackage> {
    fn by_name(&self, name: &str) -> Result<Vec<BinaryPackage>, index::Error> {
        Ok(self.iter().filter(|package| package.name == name).cloned().collect())
    }

    fn providers(&self, name: &str) -> Result<Vec<BinaryPackage>, index::Error> {
        let provides = |package: &&BinaryPackage| package.provides.iter().any(|provide| provide.name == name);
        Ok(self.iter().filter(provides).cloned().collect())
    }

    fn names(&self) -> Vec<String> {
        self.iter().map(|package| package.name.clone()).collect()
    }
}

/// One component of one pocket.
#[derive(Clone)]
pub struct CandidateOrigin<'a> {
    /// Archive and pocket, `ubuntu/security`.
    pub from: String,
    /// Component, `main`.
    pub component: String,
    /// Its packages.
    pub shelf: &'a dyn VersionShelf,
}

impl CandidateOrigin<'_> {
    fn error(&self, cause: index::Error) -> Error {
        Error::Index { from: self.from.clone(), cause: Box::new(cause) }
    }
}

/// A package that can be chosen, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageCandidate {
    /// The package.
    pub package: BinaryPackage,
    /// Archive and pocket.
    pub from: String,
    /// Component.
    pub component: String,
}

/// What narrows the choice of versions.
#[derive(Debug, Clone, Default)]
pub struct CandidatePolicy {
    /// Source versions that must be taken, by binary package: what all platforms have.
    pub pins: BTreeMap<String, DebianVersion>,
    /// What is settled on this platform.
    pub kept: KeptVersions,
}

/// Names whose version is settled before the search, on one platform: a version that is kept although there is a newer
/// one, or none, where nothing of the name may be taken.
pub type KeptVersions = BTreeMap<String, Option<PackageCandidate>>;

/// All origins of one architecture. Their order matters only between equal versions.
pub struct Universe<'a> {
    origins: Vec<CandidateOrigin<'a>>,
    /// Packages of other architectures than this and `all` do not count.
    architecture: Option<String>,
    /// Cache of [`Self::versions`]: levels and images ask for the same names again and again.
    versions: RefCell<BTreeMap<String, Rc<[PackageCandidate]>>>,
    /// Cache of [`Self::provider_names`].
    providers: RefCell<BTreeMap<String, Rc<BTreeSet<String>>>>,
}

impl<'a> Universe<'a> {
    /// Takes the origins, in the recipe's order.
    #[must_use]
    pub fn new(origins: Vec<CandidateOrigin<'a>>) -> Self {
        Self { origins, architecture: None, versions: RefCell::default(), providers: RefCell::default() }
    }

    /// Leaves packages of other architectures out: flat repositories list all of them in one index.
    #[must_use]
    pub fn of_architecture(mut self, architecture: &str) -> Self {
        self.architecture = Some(architecture.to_owned());
        self
    }

    /// Tells whether a package can be installed on the architecture.
    fn fits(&self, package: &BinaryPackage) -> bool {
        let own = self.architecture.as_ref();
        own.is_none_or(|own| package.architecture == *own || package.architecture == "all")
    }

    /// Returns every version of a name, newest first; equal versions in the order of the origins.
    ///
    /// # Errors
    /// When an index cannot be read.
    pub fn versions(&self, name: &str) -> Result<Rc<[PackageCandidate]>, Error> {
        if let Some(known) = self.versions.borrow().get(name) {
            return Ok(Rc::clone(known));
        }

        let mut found = Vec::new();
        for (place, origin) in self.origins.iter().enumerate() {
            let packages = origin.shelf.by_name(name).map_err(|cause| origin.error(cause))?;
            for package in packages.into_iter().filter(|package| self.fits(package)) {
                // every candidate remembers its pocket: the lock names it, and security pockets count differently
                let candidate =
                    PackageCandidate { package, from: origin.from.clone(), component: origin.component.clone() };
                found.push((place, candidate));
            }
        }

        // the digest makes the order total, whatever order the stanzas came in
        found.sort_by(|(place, a), (other, b)| {
            let newest = b.package.version.cmp(&a.package.version);
            newest.then(place.cmp(other)).then(a.package.sha256.cmp(&b.package.sha256))
        });

        let versions: Rc<[PackageCandidate]> = found.into_iter().map(|(_, candidate)| candidate).collect();
        self.versions.borrow_mut().insert(name.to_owned(), Rc::clone(&versions));
        Ok(versions)
    }

    /// Returns the version of a name that is to be taken, as apt does: the newest.
    ///
    /// A version that was halted (0 % of a phased update, which is what Ubuntu does after a regression) is passed over,
    /// unless the same version is a security update. Other percentages do not count: a fresh installation is never
    /// phased.
    ///
    /// # Errors
    /// When an index cannot be read.
    pub fn candidate(&self, name: &str, policy: &CandidatePolicy) -> Result<Option<PackageCandidate>, Error> {
        if let Some(kept) = policy.kept.get(name) {
            return Ok(kept.clone());
        }

        let versions = self.versions(name)?;
        for candidate in versions.iter() {
            let package = &candidate.package;
            // 0 % in one pocket says nothing about a version that the security pocket has
            let is_halted = package.phased == Some(0) && !is_security_update(&versions, &package.version);
            let is_pinned = policy.pins.get(name).is_none_or(|pin| package.source_version == *pin);
            if !is_halted && is_pinned {
                return Ok(Some(candidate.clone()));
            }
        }
        Ok(None)
    }

    /// Tells whether the index that a locked package names still lists it.
    ///
    /// # Errors
    /// When an index cannot be read.
    pub fn lists(&self, locked: &LockedPackage) -> Result<bool, Error> {
        Ok(self.listed(locked)?.is_some())
    }

    /// Returns a locked package as the index that it names lists it.
    ///
    /// # Errors
    /// When an index cannot be read.
    pub fn listed(&self, locked: &LockedPackage) -> Result<Option<PackageCandidate>, Error> {
        // the digest, too: an archive may have replaced the bytes of a version
        let versions = self.versions(&locked.name)?;
        let found = versions.iter().find(|candidate| {
            candidate.from == locked.from
                && candidate.package.version.as_str() == locked.version
                && candidate.package.sha256 == locked.sha256
        });
        Ok(found.cloned())
    }

    /// Returns the names of all packages of which some version provides `name`, sorted.
    ///
    /// # Errors
    /// When an index cannot be read.
    pub fn provider_names(&self, name: &str) -> Result<Rc<BTreeSet<String>>, Error> {
        if let Some(known) = self.providers.borrow().get(name) {
            return Ok(Rc::clone(known));
        }

        let mut names = BTreeSet::new();
        for origin in &self.origins {
            let packages = origin.shelf.providers(name).map_err(|cause| origin.error(cause))?;
            names.extend(packages.into_iter().filter(|package| self.fits(package)).map(|package| package.name));
        }

        let names = Rc::new(names);
        self.providers.borrow_mut().insert(name.to_owned(), Rc::clone(&names));
        Ok(names)
    }

    /// Returns up to three package names that look like `name`, nearest first.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Vec<String> {
        // one wrong letter in three; a length that differs by more is farther away than that
        let limit = name.len() / 3 + 1;
        let mut names = BTreeSet::new();
        for origin in &self.origins {
            names.extend(origin.shelf.names().into_iter().filter(|other| other.len().abs_diff(name.len()) <= limit));
        }

        let mut near: Vec<(usize, String)> =
            names.into_iter().map(|other| (distance(name, &other), other)).filter(|(far, _)| *far <= limit).collect();
        near.sort();
        near.into_iter().take(3).map(|(_, name)| name).collect()
    }

    /// Returns the labels of all origins, each once, in order.
    #[must_use]
    pub fn labels(&self) -> Vec<String> {
        let mut labels: Vec<String> = Vec::new();
        for origin in &self.origins {
            if !labels.contains(&origin.from) {
                labels.push(origin.from.clone());
            }
        }
        labels
    }
}

/// Tells whether a version is in a security pocket.
fn is_security_update(versions: &[PackageCandidate], version: &DebianVersion) -> bool {
    versions.iter().any(|candidate| candidate.from.ends_with("/security") && candidate.package.version == *version)
}

/// Levenshtein distance in bytes; names are ASCII.
fn distance(a: &str, b: &str) -> usize {
    // one row of the table is enough: `diagonal` keeps the value that was overwritten last
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
