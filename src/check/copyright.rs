//! The copyright file of every package opens: licences ask for it, and scanners look for it there.
//!
//! Source: Debian policy 12.5: `/usr/share/doc/<package>/copyright`, where the folder may be a link to that of another
//! package of the same source.

use crate::check::finding::CheckKind;
use crate::check::finding::FindingDetails;
use crate::check::finding::FindingList;
use crate::check::finding::warning;
use crate::check::view::ImageView;
use crate::check::view::is_within;
use crate::store::Error;
use crate::tree::EntryOrigin;

const MISSING: CheckKind = warning("copyright-missing", "The copyright file of a package does not open in the image.");

pub(super) const KINDS: &[&CheckKind] = &[&MISSING];

pub(super) fn run(image: &ImageView<'_>, findings: &mut FindingList) -> Result<(), Error> {
    for (name, package) in image.subject.packages.iter().flatten() {
        let folder = format!("usr/share/doc/{name}");
        let path = format!("{folder}/copyright");
        if image.resolve(&path).is_some_and(|entry| entry.content().is_some()) {
            continue;
        }

        let ships = package.entries.iter().any(|entry| is_within(&entry.path, &folder));
        let (cause, remedy) = match ships {
            true => (
                "the package has it, or a link to it, but the image does not",
                "include it, and the folder that it links to, under `include-paths`",
            ),
            false => (
                "the package brings none, although Debian policy 12.5 asks for it",
                "tell its maintainer, or provide it under `files`",
            ),
        };
        let origin = EntryOrigin::Package(name.clone());
        let (cause, remedy) = (cause.to_owned(), remedy.to_owned());
        findings.add(&MISSING, FindingDetails { path: format!("/{path}"), origin: Some(&origin), cause, remedy });
    }
    Ok(())
}
