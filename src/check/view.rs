//! The image as checks look at it: its tree with programs and scripts recognised, its configuration, its user.

use crate::check::CheckSubject;
use crate::layer::elf;
use crate::layer::elf::ElfFile;
use crate::recipe::DEFAULT_PATH;
use crate::recipe::LevelDefinition;
use crate::recipe::RuntimeConfig;
use crate::recipe::merged_config;
use crate::recipe::scalar::owner;
use crate::store::Error;
use crate::tree::EntryOrigin;
use crate::tree::FileContent;
use crate::tree::TreeEntry;
use crate::tree::parent;
use std::collections::BTreeMap;

/// Most bytes of a script's first line: the kernel reads 256 (`BINPRM_BUF_SIZE`).
const LINE_LIMIT: u64 = 256;

/// Folders that exist only while a container runs, or whose content does.
const RUN_TIME: [&str; 6] = ["proc", "sys", "dev", "run", "tmp", "var/tmp"];

/// Folders in which everybody may write (FHS 3.0, 3.18, 5.15; 5.9 for locks).
pub(super) const OPEN_FOLDERS: [&str; 4] = ["tmp", "var/tmp", "run/lock", "dev/shm"];

/// What a path allows (the three bits of each part of a mode).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AccessRight {
    Execute = 1,
    Write = 2,
}

/// An image with what several checks need.
pub(super) struct ImageView<'a> {
    pub(super) subject: CheckSubject<'a>,
    /// Run-time configuration of all levels together.
    pub(super) config: RuntimeConfig,
    /// Uid and gid that the image runs as.
    pub(super) user: (u32, u32),
    /// Programs and libraries of the image's architecture, by path.
    pub(super) programs: BTreeMap<&'a str, ElfFile>,
    /// First lines of scripts, without `#!`, by path.
    pub(super) scripts: BTreeMap<&'a str, String>,
}

impl<'a> ImageView<'a> {
    /// Looks at the first bytes of every file.
    pub(super) fn new(subject: CheckSubject<'a>) -> Result<Self, Error> {
        let config = merged_config(subject.definition.levels_for(subject.platform));
        // recipes take two numbers only; anything else would be nobody here
        let user = config.user.as_deref().and_then(owner).unwrap_or((u32::MAX, u32::MAX));

        let mut view = Self { subject, config, user, programs: BTreeMap::new(), scripts: BTreeMap::new() };
        for entry in subject.whole.iter() {
            if let Some(content) = entry.content() {
                view.recognise(entry, content)?;
            }
        }
        Ok(view)
    }

    fn recognise(&mut self, entry: &'a TreeEntry, content: &FileContent) -> Result<(), Error> {
        let contents = self.subject.contents;
        let mut first = vec![0; usize::try_from(content.size.min(LINE_LIMIT)).unwrap_or(0)];
        contents.read_at(content, 0, &mut first)?;

        if first.starts_with(elf::MAGIC) {
            let program = elf::read(content, contents, self.subject.platform.architecture())?;
            self.programs.extend(program.map(|program| (entry.path.as_str(), program)));
        } else if let Some(line) = first.strip_prefix(b"#!") {
            let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
            self.scripts.insert(&entry.path, String::from_utf8_lossy(line).trim().to_owned());
        }
        Ok(())
    }

    /// Returns the recipe levels from the root up.
    pub(super) fn levels(&self) -> &'a [LevelDefinition] {
        self.subject.definition.levels_for(self.subject.platform)
    }

    /// Returns what an absolute path leads to, through links.
    pub(super) fn resolve(&self, path: &str) -> Option<&'a TreeEntry> {
        self.subject.whole.resolve(path.trim_matches('/'))
    }

    /// Reads a small file through links; `None` when it does not exist or is no regular file.
    pub(super) fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let content = self.resolve(path).and_then(TreeEntry::content).filter(|content| content.size <= limit);
        content.map(|content| self.subject.contents.read(content, limit)).transpose()
    }

    /// Tells whether the image's user has a right at an entry. It is in no other groups.
    pub(super) fn may(&self, entry: &TreeEntry, right: AccessRight) -> bool {
        let (uid, gid) = self.user;
        let bits = if entry.uid == uid {
            entry.mode >> 6
        } else if entry.gid == gid {
            entry.mode >> 3
        } else {
            entry.mode
        };
        bits & right as u32 != 0
    }

    /// Returns the first folder on the way to a real path that the image's user cannot enter.
    pub(super) fn barrier(&self, path: &str) -> Option<&'a TreeEntry> {
        let mut barrier = None;
        let mut path = path;
        while let Some(folder) = parent(path) {
            let entry = self.subject.whole.get(folder).filter(|entry| !self.may(entry, AccessRight::Execute));
            barrier = entry.or(barrier);
            path = folder;
        }
        barrier
    }

    /// Returns the folders in which commands are looked for.
    pub(super) fn command_path(&self) -> impl Iterator<Item = &str> {
        self.config.env.get("PATH").map_or(DEFAULT_PATH, String::as_str).split(':').filter(|part| !part.is_empty())
    }

    /// Tells whether a path (without leading slash) exists or gets its content only at run time: kernel file systems,
    /// temporary files, and what the recipes declare as writable, which is mounted.
    pub(super) fn is_of_run_time(&self, path: &str) -> bool {
        let declared = self.config.writable.keys().map(|path| path.trim_matches('/'));
        RUN_TIME.into_iter().chain(declared).any(|folder| is_within(path, folder))
    }

    /// Returns the source package that an entry comes from.
    pub(super) fn source_of(&self, origin: &EntryOrigin) -> Option<&'a str> {
        let EntryOrigin::Package(name) = origin else { return None };
        let package = self.subject.lock.packages(self.subject.platform).find(|package| package.name == *name);
        package.map(|package| package.source.as_str())
    }

    /// Returns the recipe that excludes a package.
    pub(super) fn recipe_excluding(&self, package: &str) -> Option<&'a str> {
        let level = self.levels().iter().find(|level| level.exclude_packages.contains_key(package));
        level.map(|level| level.recipe.as_str())
    }
}

/// Tells whether a path is a folder or below it.
pub(super) fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
