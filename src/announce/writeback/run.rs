//! A whole write-back: files are read, changed in memory, written together, committed, pushed.

use crate::announce::writeback::Error;
use crate::announce::writeback::Image;
use crate::announce::writeback::edit;
use crate::announce::writeback::edit::Edited;
use crate::announce::writeback::git::Author;
use crate::announce::writeback::git::Checkout;
use crate::sys::beneath::Beneath;
use crate::sys::fs;
use crate::values::Digest;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

/// Largest file that is looked at.
const LARGEST: u64 = 4 << 20;

/// How to write back.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// `NAME <MAIL>` of author and committer; without it Git's own configuration counts.
    pub author: Option<&'a str>,
    /// Push with the checkout's own remote and branch.
    pub push: bool,
    /// Only say what would be changed.
    pub dry_run: bool,
}

/// A reference that got a new digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Change {
    /// File, relative to the folder.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Image name.
    pub image: String,
    /// `host/repository:tag`
    pub reference: String,
    /// Digest before; none where there was only a tag.
    pub old: Option<Digest>,
    /// Digest after.
    pub new: Digest,
}

/// A reference, or a file, that was left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Note {
    /// File, relative to the folder.
    pub file: String,
    /// Line, from 1; 0 for all of the file.
    pub line: usize,
    /// What was left alone.
    pub reference: String,
    /// Why.
    pub reason: String,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct WrittenBack {
    /// References that got a new digest, by file and line.
    pub changes: Vec<Change>,
    /// References that were left alone.
    pub left: Vec<Note>,
    /// The commit; none when there was nothing to change.
    pub commit: Option<String>,
    /// Whether the branch was pushed.
    pub pushed: bool,
}

/// A file on its way.
struct Draft {
    path: String,
    old: String,
    edited: Edited,
    /// A killed run has written it already.
    is_written: bool,
}

/// Looks whether a folder is one of a Git checkout, and an author one.
///
/// # Errors
/// [`Error::NoCheckout`], [`Error::Author`]
pub fn check(folder: &Path, author: Option<&str>) -> Result<(), Error> {
    author.map(Author::parse).transpose()?;
    Checkout::open(folder).map(drop)
}

/// Puts the digests of published images into the files of a checkout and commits them.
///
/// # Errors
/// [`Error`]; then no file is changed, unless it is the push that failed.
pub fn write_back(folder: &Path, images: &[Image], options: &Options<'_>) -> Result<WrittenBack, Error> {
    let author = options.author.map(Author::parse).transpose()?;
    let checkout = Checkout::open(folder)?;
    let _alone = checkout.lock()?;
    let mut done = WrittenBack::default();
    let drafts = drafts(folder, &checkout, images, &mut done)?;
    if options.dry_run {
        return Ok(done);
    }
    if !drafts.is_empty() {
        let files: Vec<String> = drafts.iter().map(|draft| draft.path.clone()).collect();
        let message = message(&done.changes, images);
        let committed = write(folder, &drafts).and_then(|()| checkout.commit(&files, &message, author.as_ref()));
        match committed {
            Ok(commit) => done.commit = Some(commit),
            Err(error) => {
                // all or nothing: what cannot be put back is what Git still has
                for draft in &drafts {
                    let _as_good_as_it_gets = fs::write_atomic(&folder.join(&draft.path), draft.old.as_bytes());
                }
                return Err(error);
            }
        }
    }
    if options.push {
        checkout.push()?;
        done.pushed = true;
    }
    Ok(done)
}

/// Returns the files that have to be changed, with what was found in all files.
fn drafts(
    folder: &Path,
    checkout: &Checkout<'_>,
    images: &[Image],
    done: &mut WrittenBack,
) -> Result<Vec<Draft>, Error> {
    let changed = checkout.changed()?;
    let (mut drafts, mut dirty) = (Vec::new(), Vec::new());
    for (path, is_usual) in checkout.files()? {
        let all = |reason: String| Note { file: path.clone(), line: 0, reference: path.clone(), reason };
        // a file that was removed is changed by somebody
        let Ok(bytes) = Beneath::new(folder).read(&path, LARGEST) else { continue };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        if !may_name(&text, images) {
            continue;
        }
        let names_one = images.iter().any(|image| text.contains(&image.repository));
        let edited = match edit::edit(&text, images) {
            Ok(edited) => edited,
            Err(reason) => {
                if names_one {
                    done.left
                        .push(all(format!("the file cannot be read as YAML, which templates never can: {reason}")));
                }
                continue;
            }
        };
        if !is_usual {
            if !edited.edits.is_empty() {
                done.left.push(all("the file is executable, a link, or part of a merge".to_owned()));
            }
            continue;
        }
        let mut draft = Draft { path: path.clone(), old: text, edited, is_written: false };
        if changed.contains(&path) {
            match interrupted(checkout, &draft, images)? {
                Some(found) => draft = found,
                None if !draft.edited.edits.is_empty() => dirty.push(path.clone()),
                None => {}
            }
        }
        tell(&draft, done);
        if !draft.edited.edits.is_empty() {
            drafts.push(draft);
        }
    }
    match dirty.is_empty() {
        true => Ok(drafts),
        false => Err(Error::Dirty { folder: folder.to_owned(), files: dirty }),
    }
}

/// Tells whether a file is worth reading closely: Helm splits names, so the last part is all that is sure to be there.
fn may_name(text: &str, images: &[Image]) -> bool {
    images.iter().any(|image| text.contains(image.repository.rsplit('/').next().unwrap_or_default()))
}

/// Recognises the work of a killed run: the file is exactly what the committed one would become.
fn interrupted(checkout: &Checkout<'_>, draft: &Draft, images: &[Image]) -> Result<Option<Draft>, Error> {
    let Ok(committed) = checkout.committed(&draft.path) else { return Ok(None) };
    let Ok(old) = String::from_utf8(committed) else { return Ok(None) };
    let Ok(edited) = edit::edit(&old, images) else { return Ok(None) };
    let is_ours = !edited.edits.is_empty() && edited.text == draft.old;
    Ok(is_ours.then(|| Draft { path: draft.path.clone(), old, edited, is_written: true }))
}

fn tell(draft: &Draft, done: &mut WrittenBack) {
    let line = |offset: usize| draft.old.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1;
    let file = || draft.path.clone();
    for edit in &draft.edited.edits {
        let (image, reference) = (edit.image.clone(), edit.reference.clone());
        let line = line(edit.place.start);
        done.changes.push(Change { file: file(), line, image, reference, old: edit.old, new: edit.new });
    }
    for left in &draft.edited.left {
        let (reference, reason) = (left.reference.clone(), left.reason.clone());
        done.left.push(Note { file: file(), line: line(left.place), reference, reason });
    }
}

/// Writes all files; when one cannot be written, the caller puts the others back.
fn write(folder: &Path, drafts: &[Draft]) -> Result<(), Error> {
    for draft in drafts.iter().filter(|draft| !draft.is_written) {
        fs::write_atomic(&folder.join(&draft.path), draft.edited.text.as_bytes())?;
    }
    Ok(())
}

/// Returns the commit's message: which image, from which digest to which, in which files.
fn message(changes: &[Change], images: &[Image]) -> String {
    let names: BTreeSet<&str> = changes.iter().map(|change| &*change.image).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let subject = match &names[..] {
        [one] => {
            let digest = images.iter().find(|image| image.image == *one).map(|image| image.digest.short());
            format!("update {one} to {}", digest.unwrap_or_default())
        }
        [one, two] => format!("update {one} and {two}"),
        _ => format!("update {} base images", names.len()),
    };
    let mut text = subject + "\n";
    let moves: BTreeSet<(&str, Option<Digest>, Digest)> =
        changes.iter().map(|change| (&*change.reference, change.old, change.new)).collect();
    for (reference, old, new) in moves {
        let old_text = old.map_or_else(|| "no digest".to_owned(), |old| old.to_string());
        let _never_fails = write!(text, "\n{reference}\n  {old_text}\n  -> {new}\n");
        let is_it = |change: &&Change| (&*change.reference, change.old) == (reference, old);
        let files: BTreeSet<&str> = changes.iter().filter(is_it).map(|change| &*change.file).collect();
        for file in files {
            let _never_fails = writeln!(text, "  in {}", file.escape_debug());
        }
    }
    text
}
