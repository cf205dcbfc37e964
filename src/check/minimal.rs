//! Files that no process of an image uses: each kind once, with its bytes and the exclusion to write.

use crate::check::finding::CheckKind;
use crate::check::finding::FindingList;
use crate::check::finding::warning;
use crate::check::view::ImageView;
use crate::check::view::is_within;
use crate::store::Error;
use crate::tree::EntryKind;
use crate::tree::EntryOrigin;
use crate::tree::TreeEntry;
use crate::values::Digest;
use std::collections::BTreeMap;

const GDB: CheckKind = warning("debugger-helpers", "Scripts and links for debuggers, which images do not have.");
const MANUALS: CheckKind = warning("manual-pages", "Manual and info pages; nobody reads them in a container.");
const ARCHIVES: CheckKind =
    warning("static-libraries", "Static libraries and files of libtool, which only linkers use.");
const HEADERS: CheckKind = warning("headers", "Header files, which only compilers use.");
const COPIES: CheckKind = warning("identical-copies", "The same bytes several times.");

pub(super) const KINDS: &[&CheckKind] = &[&GDB, &MANUALS, &ARCHIVES, &HEADERS, &COPIES];

/// A kind of file that is not needed.
struct NeedlessKind {
    kind: &'static CheckKind,
    is: fn(&str) -> bool,
}

const NEEDLESS: [NeedlessKind; 4] = [
    NeedlessKind {
        kind: &GDB,
        is: |path| {
            path.ends_with("-gdb.py")
                || is_within(path, "usr/share/gdb")
                || is_within(path, "usr/lib/debug")
                || path.starts_with("usr/share/gcc") && path.contains("/python/")
        },
    },
    NeedlessKind { kind: &MANUALS, is: |path| is_within(path, "usr/share/man") || is_within(path, "usr/share/info") },
    NeedlessKind { kind: &ARCHIVES, is: |path| path.ends_with(".a") || path.ends_with(".la") },
    NeedlessKind { kind: &HEADERS, is: |path| is_within(path, "usr/include") },
];

/// Least size of a file whose copies are worth a finding.
const COPY_SIZE: u64 = 64 << 10;

pub(super) fn run(image: &ImageView<'_>, findings: &mut FindingList) -> Result<(), Error> {
    for needless in &NEEDLESS {
        let files =
            image.subject.whole.iter().filter(|entry| entry.kind != EntryKind::Directory && (needless.is)(&entry.path));
        report(needless.kind, &files.collect::<Vec<_>>(), findings);
    }
    copies(image, findings);
    Ok(())
}

/// Reports files of one kind together, at the first of them.
fn report(kind: &CheckKind, files: &[&TreeEntry], findings: &mut FindingList) {
    let Some(first) = files.first() else { return };
    let bytes: u64 = files.iter().filter_map(|entry| entry.content()).map(|content| content.size).sum();
    let cause = format!("{} files with {bytes} bytes are of a kind that no process uses", files.len());
    findings.at(first, kind, cause, format!("write under `exclude.paths`: {}", patterns(files).join(" ")));
}

/// Returns a pattern for the files of each folder, or the topmost folders where there are many.
fn patterns(files: &[&TreeEntry]) -> Vec<String> {
    const MOST: usize = 5;
    let patterns = |depth: usize| {
        let mut patterns: Vec<String> = Vec::new();
        for entry in files {
            let parts: Vec<&str> = entry.path.split('/').collect();
            let kept = parts.len().saturating_sub(1).min(depth).max(1);
            patterns.push(match parts.len() - 1 == kept {
                true => format!("\"/{}/*\"", parts[..kept].join("/")),
                false => format!("\"/{}/**\"", parts[..kept].join("/")),
            });
        }
        patterns.sort();
        patterns.dedup();
        patterns
    };
    let deep = patterns(usize::MAX);
    if deep.len() <= MOST { deep } else { patterns(3) }
}

/// Reports files whose bytes another file of the same image has, too.
fn copies(image: &ImageView<'_>, findings: &mut FindingList) {
    let mut files: BTreeMap<Digest, Vec<&TreeEntry>> = BTreeMap::new();
    for entry in image.subject.whole.iter() {
        // hard links share their bytes; a `copy` of a recipe is wanted
        if let EntryKind::File(content) = &entry.kind
            && content.size >= COPY_SIZE
            && !matches!(entry.origin, EntryOrigin::Recipe(_))
        {
            files.entry(content.digest).or_default().push(entry);
        }
    }

    for entries in files.values().filter(|entries| entries.len() > 1) {
        let (first, rest) = (entries[0], &entries[1..]);
        let size = first.content().map_or(0, |content| content.size);
        let paths: Vec<String> = rest.iter().map(|entry| format!("/{}", entry.path)).collect();
        let cause = format!("{} has the same {size} bytes", paths.join(", "));
        findings.at(first, &COPIES, cause, "exclude all but one and link the others to it under `links`");
    }
}
