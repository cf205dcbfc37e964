//! Requests of recipes that have no effect: an exclusion that excludes nothing hides a mistake, or a file that moved.
//!
//! A recipe with parameters serves several images, so a request is in vain only if no image of the project that uses
//! the recipe has any use for it. One image says what *it* did not use (`unused`); all together say the rest
//! (`in_vain`).

use crate::check::CheckReport;
use crate::check::acceptance;
use crate::check::finding::CheckFinding;
use crate::check::finding::CheckKind;
use crate::check::finding::warning;
use crate::check::view::ImageView;
use crate::layer::exclude::pattern_set;
use crate::layer::unpack;
use crate::recipe::ImageDefinition;
use crate::recipe::LevelDefinition;
use crate::recipe::RecipeRequest;
use crate::recipe::RequestSection;
use crate::tree::EntryKind;
use crate::tree::EntryOrigin;
use crate::tree::TreeEntry;
use crate::values::Epoch;
use crate::values::Platform;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

// A warning: recipes are shared, and no project has an image for every value of their parameters.
pub(super) const REQUEST: CheckKind =
    warning("request-without-effect", "A line of a recipe changes nothing in any image that uses the recipe.");

pub(super) const KINDS: &[&CheckKind] = &[&REQUEST];

/// A request that had no effect in one image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnusedRequest {
    /// The recipe.
    pub recipe: String,
    /// Its section.
    pub section: RequestSection,
    /// The request as it is written, with parameters not filled in: they differ from image to image.
    pub written: String,
}

impl UnusedRequest {
    pub(super) fn new(recipe: &str, request: &RecipeRequest) -> Self {
        Self { recipe: recipe.to_owned(), section: request.section, written: request.written.clone() }
    }
}

/// Returns the requests of an image's recipes that had no effect in it.
pub(super) fn unused(image: &ImageView<'_>) -> Vec<UnusedRequest> {
    let paths = PathRequests::of(image);
    let mut unused = Vec::new();
    for (number, level) in image.levels().iter().enumerate() {
        for request in &level.requests {
            let is_used = match request.section {
                RequestSection::ExcludedPackages => is_excluded(&request.filled, image),
                RequestSection::ExcludedPaths => paths.excluding.contains(&(number, request.filled.as_str())),
                RequestSection::IncludedPaths => paths.including.contains(&(number, request.filled.as_str())),
                RequestSection::Replaces => replaces(&request.filled, number, image),
                RequestSection::Directories => changes_folder(&request.filled, number, image),
                RequestSection::Diversions => diverts(&request.filled, level, image),
                // judged with the findings, which may be those of an earlier build
                RequestSection::Accept => true,
            };
            if !is_used {
                unused.push(UnusedRequest::new(&level.recipe, request));
            }
        }
    }
    unused
}

/// Tells whether a dependency was left out of any level.
fn is_excluded(package: &str, image: &ImageView<'_>) -> bool {
    let mut excluded = image.subject.lock.levels.iter().flat_map(|level| &level.excluded);
    excluded.any(|excluded| excluded.name == package)
}

/// Tells whether a path that a level may replace was there.
fn replaces(path: &str, number: usize, image: &ImageView<'_>) -> bool {
    let path = unpack::normal(path);
    let mut below = image.subject.levels[..number].iter();
    let is_below = below.any(|tree| tree.get(&path).is_some());
    let mut packages = image.subject.packages.get(number).into_iter().flat_map(BTreeMap::values);
    let is_of_package = packages.any(|package| package.entry(&path).is_some());
    let own = image.subject.levels.get(number).and_then(|tree| tree.get(&path));
    is_below || is_of_package || own.is_some_and(|entry| matches!(entry.origin, EntryOrigin::Generator(_)))
}

/// Tells whether a package brings a diverted path that it does not divert itself.
fn diverts(path: &str, level: &LevelDefinition, image: &ImageView<'_>) -> bool {
    let by = level.diversions.get(path).map(|diversion| diversion.by.as_str());
    let mut packages = image.subject.packages.iter().flatten().filter(|(name, _)| Some(name.as_str()) != by);
    let path = unpack::normal(path);
    packages.any(|(_, package)| package.entry(&path).is_some())
}

/// Tells whether a folder would be another one without the recipe.
fn changes_folder(path: &str, number: usize, image: &ImageView<'_>) -> bool {
    let path = unpack::normal(path);
    let own = image.subject.levels.get(number).and_then(|tree| tree.get(&path));
    let same = |entry: &TreeEntry| {
        let attributes = (entry.mode, entry.uid, entry.gid);
        entry.kind == EntryKind::Directory && own.is_some_and(|own| attributes == (own.mode, own.uid, own.gid))
    };
    let packages = image.subject.packages.get(number).into_iter().flat_map(BTreeMap::values);
    let mut brought = packages.filter_map(|package| package.entry(&path));
    let below = image.subject.levels[..number].iter().rev().find_map(|tree| tree.get(&path));
    !brought.any(same) && !below.is_some_and(same)
}

/// Patterns that matched a path of a package, each with the number of its level.
struct PathRequests<'a> {
    excluding: BTreeSet<(usize, &'a str)>,
    /// Those that kept a path that another pattern excludes.
    including: BTreeSet<(usize, &'a str)>,
}

impl<'a> PathRequests<'a> {
    fn of(image: &ImageView<'a>) -> Self {
        let mut found = Self { excluding: BTreeSet::new(), including: BTreeSet::new() };
        // patterns count for their own level and all above it
        let (mut excluded, mut included) = (Vec::new(), Vec::new());
        for (number, level) in image.levels().iter().enumerate() {
            excluded.extend(level.exclude_paths.keys().map(|pattern| (number, pattern.as_str())));
            included.extend(level.include_paths.iter().map(|pattern| (number, pattern.as_str())));
            let packages = image.subject.packages.get(number).into_iter().flat_map(BTreeMap::values);
            let entries = packages.flat_map(|package| &package.entries);
            found.note(entries, &excluded, &included);
        }
        found
    }

    fn note(
        &mut self,
        entries: impl Iterator<Item = &'a TreeEntry>,
        excluded: &[(usize, &'a str)],
        included: &[(usize, &'a str)],
    ) {
        let sets = [excluded, included].map(|patterns| pattern_set(patterns.iter().map(|(_, pattern)| *pattern)));
        // a pattern that is no glob has stopped the level before
        let [Ok(exclusion), Ok(inclusion)] = sets else { return };
        let (mut excluding, mut including) = (Vec::new(), Vec::new());
        for entry in entries {
            let path = format!("/{}", entry.path);
            exclusion.matches_into(&path, &mut excluding);
            if excluding.is_empty() {
                continue;
            }
            inclusion.matches_into(&path, &mut including);
            self.excluding.extend(excluding.iter().map(|index| excluded[*index]));
            self.including.extend(including.iter().map(|index| included[*index]));
        }
    }
}

/// What is known of one image when all of a project are judged together.
#[derive(Debug, Clone, Copy)]
pub struct ImageRequests<'a> {
    /// What its recipes say.
    pub definition: &'a ImageDefinition,
    /// Findings and unused requests of every platform, where the image was built.
    pub built: Option<&'a BTreeMap<Platform, CheckReport>>,
}

/// Returns a finding for every request that has no effect in any image of the project. A recipe is judged only if all
/// images that use it are known.
#[must_use]
pub fn in_vain(images: &[ImageRequests<'_>], now: Epoch) -> Vec<CheckFinding> {
    let mut uses: BTreeMap<UnusedRequest, RequestUse<'_>> = BTreeMap::new();
    for image in images {
        for (platform, levels) in &image.definition.levels {
            let report = image.built.and_then(|built| built.get(platform));
            for level in levels {
                note_uses(image, level, report, levels, &mut uses);
            }
        }
    }
    uses.retain(|_, request| !request.is_used);

    let (acceptances, requests): (Vec<_>, Vec<_>) =
        uses.into_iter().partition(|(request, _)| request.section == RequestSection::Accept);
    let mut findings: Vec<CheckFinding> = requests.iter().map(|(request, found)| found.finding(request)).collect();

    // a line may be for values of parameters that no image of the project has: then its recipe accepts the finding
    let levels: Vec<&LevelDefinition> =
        images.iter().flat_map(|image| image.definition.levels.values()).flatten().collect();
    let useless = acceptances.iter().filter(|(request, _)| !accepts_request(request, &findings, &levels));
    let useless: Vec<CheckFinding> = useless.map(|(request, found)| found.finding(request)).collect();
    findings.retain(|finding| !levels.iter().any(|level| acceptance::covers_request(level, finding, now)));
    findings.extend(useless);
    findings.sort();
    findings
}

/// Tells whether an acceptance is for a request without effect, which is no finding of an image.
fn accepts_request(acceptance: &UnusedRequest, findings: &[CheckFinding], levels: &[&LevelDefinition]) -> bool {
    let mut levels = levels.iter().filter(|level| level.recipe == acceptance.recipe);
    levels.any(|level| {
        let mut written =
            level.requests.iter().filter(|request| UnusedRequest::new(&level.recipe, request) == *acceptance);
        written
            .any(|request| findings.iter().any(|finding| acceptance::is_for_request(&request.filled, level, finding)))
    })
}

/// What all images together say about a request.
struct RequestUse<'a> {
    /// It had an effect somewhere, or may have one in an image that is not known.
    is_used: bool,
    place: &'a str,
    images: BTreeSet<&'a str>,
}

fn note_uses<'a>(
    image: &ImageRequests<'a>,
    level: &'a LevelDefinition,
    report: Option<&CheckReport>,
    levels: &[LevelDefinition],
    uses: &mut BTreeMap<UnusedRequest, RequestUse<'a>>,
) {
    for request in &level.requests {
        let key = UnusedRequest::new(&level.recipe, request);
        let is_used = match (report, request.section) {
            (None, _) => true,
            (Some(report), RequestSection::Accept) => {
                acceptance::matches(&request.filled, level, levels, &report.findings)
            }
            (Some(report), _) => !report.unused.contains(&key),
        };
        let found = RequestUse { is_used: false, place: &request.place, images: BTreeSet::new() };
        let found = uses.entry(key).or_insert(found);
        found.is_used |= is_used;
        found.images.insert(&image.definition.image);
    }
}

impl RequestUse<'_> {
    fn finding(&self, request: &UnusedRequest) -> CheckFinding {
        let kind = if request.section == RequestSection::Accept { &acceptance::UNMATCHED } else { &REQUEST };
        CheckFinding {
            path: format!("{}: {}", request.section.key(), request.written),
            finding: kind.name.to_owned(),
            severity: kind.severity,
            origin: Some(EntryOrigin::Recipe(request.recipe.clone())),
            place: Some(self.place.to_owned()),
            cause: format!("changes nothing in {}", self.images()),
            remedy: "remove or correct the line".to_owned(),
        }
    }

    /// Names the images that use the recipe.
    fn images(&self) -> String {
        const SHOWN: usize = 4;
        let shown: Vec<&str> = self.images.iter().copied().take(SHOWN).collect();
        match self.images.len().checked_sub(SHOWN) {
            None | Some(0) => shown.join(", "),
            Some(more) => format!("{} and {more} more images", shown.join(", ")),
        }
    }
}
