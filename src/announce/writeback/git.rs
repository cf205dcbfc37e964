//! What is asked of `git`: which files it knows, what is not committed, one commit, one push.

use crate::announce::writeback::Error;
use crate::announce::writeback::guard;
use crate::sys::fs;
use crate::sys::process::Finished;
use crate::sys::process::Run;
use crate::values::cover;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

/// Most bytes of a list of files.
const LIMIT: u64 = 64 << 20;

/// For what happens on this machine; a push may take its time.
const SOON: Duration = Duration::from_secs(300);

/// Mode of a usual file in a list of Git's.
const USUAL: &str = "100644";

/// Who commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Author {
    name: String,
    mail: String,
}

impl Author {
    /// Reads `NAME <MAIL>`.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Author(text.escape_debug().to_string());
        let (name, rest) = text.split_once('<').ok_or_else(wrong)?;
        let mail = rest.strip_suffix('>').ok_or_else(wrong)?;
        let is_sound =
            |text: &str| !text.trim().is_empty() && !text.contains(['<', '>']) && !text.contains(char::is_control);
        match is_sound(name) && is_sound(mail) {
            true => Ok(Self { name: name.trim().to_owned(), mail: mail.to_owned() }),
            false => Err(wrong()),
        }
    }
}

/// A folder of a checkout.
#[derive(Debug)]
pub(super) struct Checkout<'a> {
    folder: &'a Path,
    /// The settings of its own configuration, as they stand in it.
    own: Vec<(String, String)>,
}

impl<'a> Checkout<'a> {
    /// Opens a folder.
    pub(super) fn open(folder: &'a Path) -> Result<Self, Error> {
        let mut checkout = Self { folder, own: Vec::new() };
        let asked = checkout.git(&["rev-parse", "--is-inside-work-tree"], &[])?;
        if !asked.success || asked.output.trim_ascii() != b"true" {
            return Err(Error::NoCheckout { folder: folder.to_owned(), cause: said(&asked) });
        }
        checkout.own = checkout.settings()?;
        let refused = checkout.own.iter().filter(|(key, value)| guard::refused(key, value));
        let keys: BTreeSet<&str> = refused.map(|(key, _)| key.as_str()).collect();
        match keys.is_empty() {
            true => Ok(checkout),
            false => {
                let keys = keys.into_iter().map(str::to_owned).collect();
                Err(Error::RunsCode { folder: folder.to_owned(), keys })
            }
        }
    }

    /// Reads the settings that are the checkout's own, with what its files include. Git runs nothing for it.
    fn settings(&self) -> Result<Vec<(String, String)>, Error> {
        let list = self.must("read its configuration", &["config", "--list", "--show-scope", "-z"], &[])?;
        let list = String::from_utf8_lossy(&list);
        // `<scope>\0<key>[\n<value>]\0`; git-config(1), `--show-scope`
        let words: Vec<&str> = list.split_terminator('\0').collect();
        let own = words.chunks_exact(2).filter(|pair| matches!(pair[0], "local" | "worktree"));
        let setting = |pair: &[&str]| {
            let (key, value) = pair[1].split_once('\n').unwrap_or((pair[1], "true"));
            (key.to_owned(), value.to_owned())
        };
        Ok(own.map(setting).collect())
    }

    /// Waits until this is the only write-back in the checkout.
    pub(super) fn lock(&self) -> Result<std::fs::File, Error> {
        let path = self.must("find its folder", &["rev-parse", "--git-path", "sockel.lock"], &[])?;
        let path = String::from_utf8_lossy(&path).trim_end().to_owned();
        Ok(fs::lock(&self.folder.join(path), fs::Lock::Exclusive)?)
    }

    /// Returns the YAML files that Git knows, relative to the folder, and whether they are usual files.
    pub(super) fn files(&self) -> Result<BTreeMap<String, bool>, Error> {
        let list = self.must("list files", &["ls-files", "--stage", "-z", "--", "*.yaml", "*.yml"], &[])?;
        let mut files = BTreeMap::new();
        for row in list.split(|byte| *byte == 0).filter(|row| !row.is_empty()) {
            // `<mode> <object> <stage>\t<path>`; a name that is not UTF-8 is nobody's image
            let Some((facts, path)) = std::str::from_utf8(row).ok().and_then(|row| row.split_once('\t')) else {
                continue;
            };
            let mut facts = facts.split(' ');
            // other stages are of a merge that is not finished
            let is_usual = facts.next() == Some(USUAL) && facts.nth(1) == Some("0");
            let known = files.entry(path.to_owned()).or_insert(is_usual);
            *known &= is_usual;
        }
        Ok(files)
    }

    /// Returns which of the YAML files have changes that are not committed.
    pub(super) fn changed(&self) -> Result<BTreeSet<String>, Error> {
        let compare = ["diff", "--name-only", "--no-ext-diff", "--no-textconv", "--relative", "--no-renames", "-z"];
        let compare = [&compare[..], &["HEAD", "--", "*.yaml", "*.yml"]].concat();
        let list = self.must("compare files", &compare, &[])?;
        let names = list.split(|byte| *byte == 0).filter(|row| !row.is_empty());
        Ok(names.filter_map(|name| String::from_utf8(name.to_vec()).ok()).collect())
    }

    /// Returns a file as it was committed.
    pub(super) fn committed(&self, path: &str) -> Result<Vec<u8>, Error> {
        self.must("read a committed file", &["cat-file", "blob", &format!("HEAD:./{path}")], &[])
    }

    /// Commits these files, and nothing else that may be prepared; returns the commit.
    pub(super) fn commit(&self, files: &[String], message: &str, author: Option<&Author>) -> Result<String, Error> {
        let mut arguments: Vec<String> = vec!["--literal-pathspecs".to_owned()];
        if let Some(Author { name, mail }) = author {
            arguments.extend(["-c".to_owned(), format!("user.name={name}")]);
            arguments.extend(["-c".to_owned(), format!("user.email={mail}")]);
        }
        arguments.extend(["commit", "--quiet", "--only", "--file=-", "--"].map(str::to_owned));
        arguments.extend_from_slice(files);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.must("commit", &arguments, message.as_bytes())?;
        let commit = self.must("read the commit", &["rev-parse", "HEAD"], &[])?;
        Ok(String::from_utf8_lossy(&commit).trim().to_owned())
    }

    /// Pushes the branch as the checkout itself would.
    pub(super) fn push(&self) -> Result<(), Error> {
        let top = self.must("find its folder", &["rev-parse", "--show-toplevel"], &[])?;
        let top = fs::absolute(Path::new(String::from_utf8_lossy(&top).trim_end()))?;
        let into = |(key, value): &&(String, String)| guard::pushes_into((key, value), &top);
        if let Some((key, _)) = self.own.iter().find(into) {
            return Err(Error::RunsCode { folder: self.folder.to_owned(), keys: vec![key.clone()] });
        }
        let pushed = self.git(&["push", "--quiet"], &[])?;
        if pushed.success {
            return Ok(());
        }
        Err(Error::Push { folder: self.folder.to_owned(), cause: said(&pushed) })
    }

    fn must(&self, verb: &'static str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, Error> {
        let done = self.git(arguments, input)?;
        match done.success {
            true => Ok(done.output),
            false => Err(Error::Git { verb, folder: PathBuf::from(self.folder), cause: said(&done) }),
        }
    }

    fn git(&self, arguments: &[&str], input: &[u8]) -> Result<Finished, Error> {
        let settings = guard::SETTINGS.iter().flat_map(|setting| ["-c", *setting]);
        let arguments: Vec<&str> = settings.chain(arguments.iter().copied()).collect();
        let run = Run {
            program: "git",
            arguments: &arguments,
            folder: self.folder,
            environment: guard::ENVIRONMENT,
            inherited: guard::INHERITED,
            input,
            time: SOON,
            limit: LIMIT,
        };
        Ok(run.run()?)
    }
}

/// Returns what Git said, in one line, without passwords of addresses.
fn said(finished: &Finished) -> String {
    let text = String::from_utf8_lossy(if finished.errors.is_empty() { &finished.output } else { &finished.errors });
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(20).collect();
    let text = if lines.is_empty() { "it did not say why".to_owned() } else { lines.join("; ") };
    cover(&text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(2000).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authors_have_a_name_and_an_address() {
        let author = Author { name: "Image Robot".to_owned(), mail: "robot@example.org".to_owned() };
        assert_eq!(Author::parse("Image Robot <robot@example.org>").ok(), Some(author));
        for text in ["", "robot", "robot@example.org", "<robot@example.org>", "Robot <>", "A <b> <c>", "A\n <b>"] {
            assert!(Author::parse(text).is_err(), "{text:?}");
        }
    }
}
