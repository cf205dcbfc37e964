//! The Git commands of a write-back: list files, compare them with the last commit, commit, push.

use crate::announce::writeback::Error;
use crate::announce::writeback::guard;
use crate::sys::fs;
use crate::sys::process::ProgramOutput;
use crate::sys::process::ProgramRun;
use crate::values::cover;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

/// Most bytes that a command may print: a list of 500,000 files with long paths.
const OUTPUT_LIMIT: u64 = 64 << 20;

/// Time limit of a command. Local ones need seconds; a push to a slow remote needs minutes.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// Mode of a regular file that is not executable, as Git lists it.
const REGULAR: &str = "100644";

/// Most lines and characters of Git's messages that are repeated.
const MOST_LINES: usize = 20;
const MOST_CHARACTERS: usize = 2000;

/// The author of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommitAuthor {
    name: String,
    mail: String,
}

impl CommitAuthor {
    /// Reads `NAME <MAIL>`.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let parts = text.split_once('<').and_then(|(name, rest)| Some((name, rest.strip_suffix('>')?)));
        match parts {
            Some((name, mail)) if is_author_part(name) && is_author_part(mail) => {
                Ok(Self { name: name.trim().to_owned(), mail: mail.to_owned() })
            }
            _ => Err(Error::Author(text.escape_debug().to_string())),
        }
    }
}

/// Tells whether Git can store a name or address: it delimits them with `<`, `>` and line breaks.
fn is_author_part(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains(['<', '>']) && !text.contains(char::is_control)
}

/// A setting in a checkout's own configuration.
#[derive(Debug)]
struct CheckoutSetting {
    key: String,
    value: String,
}

/// A folder of a checkout.
#[derive(Debug)]
pub(super) struct GitCheckout<'a> {
    folder: &'a Path,
    /// The settings of its own configuration.
    own_settings: Vec<CheckoutSetting>,
}

impl<'a> GitCheckout<'a> {
    /// Opens a folder of a checkout whose configuration runs no programs.
    pub(super) fn open(folder: &'a Path) -> Result<Self, Error> {
        let mut checkout = Self { folder, own_settings: Vec::new() };
        let answer = checkout.run(&["rev-parse", "--is-inside-work-tree"], &[])?;
        if !answer.success || answer.output.trim_ascii() != b"true" {
            return Err(Error::NoCheckout { folder: folder.to_owned(), cause: message_of(&answer) });
        }

        // before anything else that Git might run a program for
        checkout.own_settings = checkout.read_own_settings()?;
        let refused = checkout.own_settings.iter().filter(|setting| guard::is_refused(&setting.key, &setting.value));
        let keys: BTreeSet<&str> = refused.map(|setting| setting.key.as_str()).collect();
        if keys.is_empty() {
            return Ok(checkout);
        }
        let keys = keys.into_iter().map(str::to_owned).collect();
        Err(Error::RunsCode { folder: folder.to_owned(), keys })
    }

    /// Reads the settings of the checkout's own configuration, with the files that it includes. Git runs nothing for it.
    fn read_own_settings(&self) -> Result<Vec<CheckoutSetting>, Error> {
        let list = self.output("read its configuration", &["config", "--list", "--show-scope", "-z"], &[])?;
        let list = String::from_utf8_lossy(&list);

        // `<scope>\0<key>[\n<value>]\0`; git-config(1), `--show-scope`
        let fields: Vec<&str> = list.split_terminator('\0').collect();
        let mut settings = Vec::new();
        for pair in fields.chunks_exact(2) {
            if matches!(pair[0], "local" | "worktree") {
                // a key without a value is true
                let (key, value) = pair[1].split_once('\n').unwrap_or((pair[1], "true"));
                settings.push(CheckoutSetting { key: key.to_owned(), value: value.to_owned() });
            }
        }
        Ok(settings)
    }

    /// Waits until no other write-back uses the checkout, and keeps others out until the returned file is closed.
    pub(super) fn lock(&self) -> Result<std::fs::File, Error> {
        // in Git's own folder, outside of the work tree; Git knows where that is for a linked work tree
        let path = self.output("find its folder", &["rev-parse", "--git-path", "sockel.lock"], &[])?;
        let path = String::from_utf8_lossy(&path).trim_end().to_owned();
        Ok(fs::lock(&self.folder.join(path), fs::LockMode::Exclusive)?)
    }

    /// Returns the YAML files that Git tracks, relative to the folder, and whether each is a regular file.
    pub(super) fn files(&self) -> Result<BTreeMap<String, bool>, Error> {
        let list = self.output("list files", &["ls-files", "--stage", "-z", "--", "*.yaml", "*.yml"], &[])?;
        let mut files = BTreeMap::new();
        for row in list.split(|byte| *byte == 0).filter(|row| !row.is_empty()) {
            // `<mode> <object> <stage>\t<path>`; a path that is not UTF-8 cannot be reported and is left alone
            let row = std::str::from_utf8(row).ok().and_then(|row| row.split_once('\t'));
            let Some((attributes, path)) = row else { continue };

            // other stages than 0 belong to an unfinished merge, which lists a file several times
            let mut attributes = attributes.split(' ');
            let is_regular = attributes.next() == Some(REGULAR) && attributes.nth(1) == Some("0");
            let known = files.entry(path.to_owned()).or_insert(is_regular);
            *known &= is_regular;
        }
        Ok(files)
    }

    /// Returns the YAML files with uncommitted changes.
    pub(super) fn changed(&self) -> Result<BTreeSet<String>, Error> {
        let list = self.output(
            "compare files",
            &[
                "diff",
                "--name-only",
                // drivers of the checkout must not run
                "--no-ext-diff",
                "--no-textconv",
                "--relative",
                "--no-renames",
                "-z",
                "HEAD",
                "--",
                "*.yaml",
                "*.yml",
            ],
            &[],
        )?;
        let names = list.split(|byte| *byte == 0).filter(|row| !row.is_empty());
        Ok(names.filter_map(|name| String::from_utf8(name.to_vec()).ok()).collect())
    }

    /// Returns a file as it was committed.
    pub(super) fn committed(&self, path: &str) -> Result<Vec<u8>, Error> {
        self.output("read a committed file", &["cat-file", "blob", &format!("HEAD:./{path}")], &[])
    }

    /// Commits these files alone, whatever else is staged; returns the commit.
    pub(super) fn commit(
        &self,
        files: &[String],
        message: &str,
        author: Option<&CommitAuthor>,
    ) -> Result<String, Error> {
        // a file may be named `*.yaml`
        let mut arguments: Vec<String> = vec!["--literal-pathspecs".to_owned()];
        if let Some(CommitAuthor { name, mail }) = author {
            arguments.extend(["-c".to_owned(), format!("user.name={name}")]);
            arguments.extend(["-c".to_owned(), format!("user.email={mail}")]);
        }
        arguments.extend(["commit", "--quiet", "--only", "--file=-", "--"].map(str::to_owned));
        arguments.extend_from_slice(files);

        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.output("commit", &arguments, message.as_bytes())?;
        let commit = self.output("read the commit", &["rev-parse", "HEAD"], &[])?;
        Ok(String::from_utf8_lossy(&commit).trim().to_owned())
    }

    /// Pushes the branch to the remote that the checkout has for it.
    pub(super) fn push(&self) -> Result<(), Error> {
        let top = self.output("find its folder", &["rev-parse", "--show-toplevel"], &[])?;
        let top = fs::absolute(Path::new(String::from_utf8_lossy(&top).trim_end()))?;
        for setting in &self.own_settings {
            if guard::pushes_into(&setting.key, &setting.value, &top) {
                return Err(Error::RunsCode { folder: self.folder.to_owned(), keys: vec![setting.key.clone()] });
            }
        }

        let pushed = self.run(&["push", "--quiet"], &[])?;
        if pushed.success {
            return Ok(());
        }
        Err(Error::Push { folder: self.folder.to_owned(), cause: message_of(&pushed) })
    }

    /// Runs a command that must succeed; `verb` says in messages what it is for.
    fn output(&self, verb: &'static str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, Error> {
        let finished = self.run(arguments, input)?;
        if finished.success {
            return Ok(finished.output);
        }
        Err(Error::Git { verb, folder: PathBuf::from(self.folder), cause: message_of(&finished) })
    }

    /// Runs a command under the rules of [`guard`].
    fn run(&self, arguments: &[&str], input: &[u8]) -> Result<ProgramOutput, Error> {
        let settings = guard::SETTINGS.iter().flat_map(|setting| ["-c", *setting]);
        let arguments: Vec<&str> = settings.chain(arguments.iter().copied()).collect();
        let run = ProgramRun {
            program: "git",
            arguments: &arguments,
            folder: self.folder,
            environment: guard::ENVIRONMENT,
            inherited: guard::INHERITED,
            input,
            time: TIME_LIMIT,
            limit: OUTPUT_LIMIT,
        };
        Ok(run.run()?)
    }
}

/// Returns Git's message in one line, without passwords in addresses.
fn message_of(finished: &ProgramOutput) -> String {
    // git-commit(1) prints some reasons to its standard output
    let text = String::from_utf8_lossy(if finished.errors.is_empty() { &finished.output } else { &finished.errors });
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(MOST_LINES).collect();
    if lines.is_empty() {
        return "Git gave no reason".to_owned();
    }

    // remotes and hooks there choose the text
    let plain = lines.join("; ").replace(char::is_control, " ");
    cover(&plain.chars().take(MOST_CHARACTERS).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authors_have_a_name_and_an_address() {
        let author = CommitAuthor { name: "Image Robot".to_owned(), mail: "robot@example.org".to_owned() };
        assert_eq!(CommitAuthor::parse("Image Robot <robot@example.org>").ok(), Some(author));
        for text in ["", "robot", "robot@example.org", "<robot@example.org>", "Robot <>", "A <b> <c>", "A\n <b>"] {
            assert!(CommitAuthor::parse(text).is_err(), "{text:?}");
        }
    }
}
