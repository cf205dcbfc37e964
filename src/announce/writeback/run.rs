//! A whole write-back: files are read, changed in memory, written together, committed and pushed.

use crate::announce::writeback::Error;
use crate::announce::writeback::WriteBackImage;
use crate::announce::writeback::edit;
use crate::announce::writeback::edit::EditedFile;
use crate::announce::writeback::git::CommitAuthor;
use crate::announce::writeback::git::GitCheckout;
use crate::sys::beneath::ConfinedFolder;
use crate::sys::fs;
use crate::values::Digest;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

/// Largest file that is read. Manifests have some kB, values files of large charts some 100 kB.
const LARGEST: u64 = 4 << 20;

/// How to write back.
#[derive(Debug, Clone, Copy)]
pub struct WriteBackOptions<'a> {
    /// `NAME <MAIL>` of author and committer. By default, Git's own configuration decides.
    pub author: Option<&'a str>,
    /// Whether to push, with the checkout's own remote and branch.
    pub push: bool,
    /// Whether to report only, and write nothing.
    pub dry_run: bool,
}

/// A reference that got a new digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DigestChange {
    /// File, relative to the folder.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Image name.
    pub image: String,
    /// `host/repository:tag`
    pub reference: String,
    /// Digest before; none if there was only a tag.
    pub old: Option<Digest>,
    /// Digest after.
    pub new: Digest,
}

/// A reference, or a file, that was left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SkippedReference {
    /// File, relative to the folder.
    pub file: String,
    /// Line, from 1; 0 for the whole file.
    pub line: usize,
    /// The reference as far as it could be read, or the file.
    pub reference: String,
    /// The reason to leave it alone.
    pub reason: String,
}

/// The result of a write-back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct WriteBackResult {
    /// References that got a new digest, by file and line.
    pub changes: Vec<DigestChange>,
    /// References that were left alone.
    pub left: Vec<SkippedReference>,
    /// The commit; none if there was nothing to change.
    pub commit: Option<String>,
    /// Whether the branch was pushed.
    pub pushed: bool,
}

/// Checks that a folder is in a Git checkout, and that an author has the right form.
///
/// # Errors
/// [`Error::NoCheckout`], [`Error::RunsCode`], [`Error::Author`]
pub fn check(folder: &Path, author: Option<&str>) -> Result<(), Error> {
    author.map(CommitAuthor::parse).transpose()?;
    GitCheckout::open(folder).map(drop)
}

/// Puts the digests of published images into the files of a checkout and commits them.
///
/// # Errors
/// [`Error`]. No file is changed then, unless the push failed.
pub fn write_back(
    folder: &Path,
    images: &[WriteBackImage],
    options: &WriteBackOptions<'_>,
) -> Result<WriteBackResult, Error> {
    let author = options.author.map(CommitAuthor::parse).transpose()?;
    let checkout = GitCheckout::open(folder)?;
    let _lock = checkout.lock()?;
    let (drafts, mut report) = CheckoutScan::new(folder, &checkout, images)?.run()?;
    if options.dry_run {
        return Ok(report);
    }

    if !drafts.is_empty() {
        let files: Vec<String> = drafts.iter().map(|draft| draft.path.clone()).collect();
        let message = commit_message(&report.changes, images);
        let committed = write_all(folder, &drafts).and_then(|()| checkout.commit(&files, &message, author.as_ref()));
        match committed {
            Ok(commit) => report.commit = Some(commit),
            Err(error) => {
                restore(folder, &drafts);
                return Err(error);
            }
        }
    }

    // also without a commit of this run: the push of an earlier one may have failed
    if options.push {
        checkout.push()?;
        report.pushed = true;
    }
    Ok(report)
}

/// A file that has to be changed.
struct FileDraft {
    path: String,
    /// The committed text.
    old: String,
    edited: EditedFile,
    /// Whether a run that was killed has written it already.
    is_written: bool,
}

/// The search through a checkout for files that have to be changed.
struct CheckoutScan<'a> {
    folder: &'a Path,
    checkout: &'a GitCheckout<'a>,
    images: &'a [WriteBackImage],
    /// Files with uncommitted changes.
    uncommitted: BTreeSet<String>,
    drafts: Vec<FileDraft>,
    /// Files that have to be changed but have uncommitted changes.
    dirty: Vec<String>,
    report: WriteBackResult,
}

impl<'a> CheckoutScan<'a> {
    fn new(folder: &'a Path, checkout: &'a GitCheckout<'a>, images: &'a [WriteBackImage]) -> Result<Self, Error> {
        let uncommitted = checkout.changed()?;
        let (drafts, dirty, report) = (Vec::new(), Vec::new(), WriteBackResult::default());
        Ok(Self { folder, checkout, images, uncommitted, drafts, dirty, report })
    }

    /// Returns the files that have to be changed, and the references in all files.
    fn run(mut self) -> Result<(Vec<FileDraft>, WriteBackResult), Error> {
        for (path, is_regular) in self.checkout.files()? {
            self.scan_file(&path, is_regular)?;
        }

        // all files or none: one that somebody is working on stops the others
        if self.dirty.is_empty() {
            return Ok((self.drafts, self.report));
        }
        Err(Error::Dirty { folder: self.folder.to_owned(), files: self.dirty })
    }

    fn scan_file(&mut self, path: &str, is_regular: bool) -> Result<(), Error> {
        // Git tracks it, but it was removed, replaced by a link or is too large: not a file to change
        let Ok(bytes) = ConfinedFolder::new(self.folder).read(path, LARGEST) else { return Ok(()) };
        let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
        if !may_name(&text, self.images) {
            return Ok(());
        }

        let edited = match edit::edit(&text, self.images) {
            Ok(edited) => edited,
            Err(reason) => {
                // many templates of charts are not YAML: only those that name an image are worth a note
                if self.images.iter().any(|image| text.contains(&image.repository)) {
                    self.leave_file(path, format!("the file is not valid YAML, as templates never are: {reason}"));
                }
                return Ok(());
            }
        };
        if !is_regular {
            // writing would make a regular file of it
            if !edited.edits.is_empty() {
                self.leave_file(path, "the file is executable, a link, or part of a merge".to_owned());
            }
            return Ok(());
        }

        let mut draft = FileDraft { path: path.to_owned(), old: text, edited, is_written: false };
        if self.uncommitted.contains(path) {
            match interrupted(self.checkout, &draft, self.images)? {
                Some(interrupted) => draft = interrupted,
                None if !draft.edited.edits.is_empty() => self.dirty.push(path.to_owned()),
                None => {}
            }
        }
        self.add(draft);
        Ok(())
    }

    fn leave_file(&mut self, path: &str, reason: String) {
        self.report.left.push(SkippedReference { file: path.to_owned(), line: 0, reference: path.to_owned(), reason });
    }

    /// Reports what was found in a file, and keeps the file if it has to be changed.
    fn add(&mut self, draft: FileDraft) {
        for edit in &draft.edited.edits {
            self.report.changes.push(DigestChange {
                file: draft.path.clone(),
                line: line_of(&draft.old, edit.place.start),
                image: edit.image.clone(),
                reference: edit.reference.clone(),
                old: edit.old,
                new: edit.new,
            });
        }
        for left in &draft.edited.left {
            self.report.left.push(SkippedReference {
                file: draft.path.clone(),
                line: line_of(&draft.old, left.place),
                reference: left.reference.clone(),
                reason: left.reason.clone(),
            });
        }
        if !draft.edited.edits.is_empty() {
            self.drafts.push(draft);
        }
    }
}

/// Returns the number of the line, from 1, with a position in bytes.
fn line_of(text: &str, position: usize) -> usize {
    text.bytes().take(position).filter(|byte| *byte == b'\n').count() + 1
}

/// Tells whether a file is worth parsing. Helm splits names, so that only the last part is certain to appear.
fn may_name(text: &str, images: &[WriteBackImage]) -> bool {
    images.iter().any(|image| text.contains(image.repository.rsplit('/').next().unwrap_or_default()))
}

/// Recognises the work of a run that was killed: the file is exactly what the committed one would become.
fn interrupted(
    checkout: &GitCheckout<'_>,
    draft: &FileDraft,
    images: &[WriteBackImage],
) -> Result<Option<FileDraft>, Error> {
    // a file that is not committed yet, or not readable there, is somebody's work
    let Ok(committed) = checkout.committed(&draft.path) else { return Ok(None) };
    let Ok(old) = String::from_utf8(committed) else { return Ok(None) };
    let Ok(edited) = edit::edit(&old, images) else { return Ok(None) };
    let is_ours = !edited.edits.is_empty() && edited.text == draft.old;
    Ok(is_ours.then(|| FileDraft { path: draft.path.clone(), old, edited, is_written: true }))
}

/// Writes all files. If one cannot be written, the caller restores the others.
fn write_all(folder: &Path, drafts: &[FileDraft]) -> Result<(), Error> {
    for draft in drafts.iter().filter(|draft| !draft.is_written) {
        fs::write_atomic(&folder.join(&draft.path), draft.edited.text.as_bytes())?;
    }
    Ok(())
}

/// Puts the committed texts back.
fn restore(folder: &Path, drafts: &[FileDraft]) {
    for draft in drafts {
        // a file that cannot be restored is not lost: Git has it, and the first error is the one to report
        let _ignored = fs::write_atomic(&folder.join(&draft.path), draft.old.as_bytes());
    }
}

/// Returns the commit message: which images, from which digest to which, in which files.
fn commit_message(changes: &[DigestChange], images: &[WriteBackImage]) -> String {
    let names: BTreeSet<&str> = changes.iter().map(|change| &*change.image).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let subject = match &names[..] {
        [name] => {
            let digest = images.iter().find(|image| image.image == *name).map(|image| image.digest.short());
            format!("update {name} to {}", digest.unwrap_or_default())
        }
        [first, second] => format!("update {first} and {second}"),
        _ => format!("update {} base images", names.len()),
    };

    // one paragraph for all files with the same change
    let mut files: BTreeMap<(&str, Option<Digest>, Digest), BTreeSet<&str>> = BTreeMap::new();
    for change in changes {
        files.entry((&*change.reference, change.old, change.new)).or_default().insert(&*change.file);
    }
    let mut message = subject + "\n";
    for ((reference, old, new), files) in files {
        let old = old.map_or_else(|| "no digest".to_owned(), |old| old.to_string());
        let _never_fails = write!(message, "\n{reference}\n  {old}\n  -> {new}\n");
        for file in files {
            let _never_fails = writeln!(message, "  in {}", file.escape_debug());
        }
    }
    message
}
