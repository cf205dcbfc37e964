//! Owns the record of installed packages inside the image: one file per package, or dpkg's own database.
//!
//! Formats: `status.d` as distroless images have it and scanners read it (one control paragraph per package, with
//! `<package>.md5sums` beside); dpkg's database as in dpkg(1) "FILES", deb-triggers(5) and deb-md5sums(5).

mod present;

use crate::apt::relation;
use crate::apt::relation::Relation;
use crate::apt::version::DebianVersion;
use crate::layer::dpkg::present::InstalledPackages;
use crate::layer::unpack::UnpackedPackage;
use crate::layer::unpack::merged;
use crate::store;
use crate::tree::ContentReader;
use crate::tree::EntryKind;
use crate::tree::EntryOrigin;
use crate::tree::FileContent;
use crate::tree::TreeEntry;
use crate::tree::parent;
use crate::values::CONTENT_MTIME;
use md5::Digest as _;
use md5::Md5;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Version of the rules below, for cache keys.
pub const VERSION: u32 = 2;

/// Largest member of a control archive that is read; libreoffice's md5sums has about 1 MiB.
const MEMBER_LIMIT: u64 = 16 << 20;

/// Largest configuration file whose sum is made.
const CONFFILE_LIMIT: u64 = 64 << 20;

/// Generator that files of no single package come from.
const NAME: &str = "package-database";

/// Why packages cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {member} of package `{package}`: {cause}")]
    Read {
        /// The package.
        package: String,
        /// Control member or path.
        member: String,
        /// Error of the store.
        cause: store::Error,
    },
    /// The control data is not one paragraph with a valid package name.
    #[error("cannot record package `{package}`: {cause}")]
    BadControl {
        /// The package, as it calls itself.
        package: String,
        /// What is wrong.
        cause: &'static str,
    },
}

/// Returns `/var/lib/dpkg/status.d/<package>` with the control paragraph and, unless all its files are excluded,
/// `<package>.md5sums`. `kept` says whether a path (without leading slash) is in the image.
///
/// # Errors
/// When control data is missing or not one paragraph.
pub fn status_d(
    package: &UnpackedPackage,
    contents: &ContentReader<'_>,
    kept: &dyn Fn(&str) -> bool,
) -> Result<Vec<TreeEntry>, Error> {
    let record = InstalledPackage::read(package, contents)?;
    let name = &record.name;
    let origin = EntryOrigin::Package(name.clone());
    let path = format!("var/lib/dpkg/status.d/{name}");

    // without a `Status` field: scanners take such a package as installed
    let mut entries = vec![file(&origin, &path, &record.paragraph, 0o644)];
    let sums = record.md5sums(kept)?;
    if !sums.is_empty() {
        entries.push(file(&origin, &format!("{path}.md5sums"), &sums, 0o644));
    }
    Ok(entries)
}

/// Returns dpkg's own database for all packages of all levels, so that dpkg and apt work on the image.
///
/// Dependencies that the recipes excluded are not in it, and the packages that had them are on hold, so that an upgrade
/// does not bring the excluded ones in. `kept` says whether a path (without leading slash) is in the image; the lists
/// have no excluded files, so that `dpkg --verify` does not miss them.
///
/// # Errors
/// When control data is missing or not one paragraph.
pub fn database(
    packages: &[&UnpackedPackage],
    contents: &ContentReader<'_>,
    kept: &dyn Fn(&str) -> bool,
) -> Result<Vec<TreeEntry>, Error> {
    let mut records = Vec::new();
    for package in packages {
        records.push(InstalledPackage::read(package, contents)?);
    }
    // packages come by level; dpkg sorts its status file by name
    records.sort_by(|first, second| first.name.cmp(&second.name));

    let present = InstalledPackages::new(records.iter().map(|record| record.paragraph.as_str()));
    let mut entries = skeleton();
    let mut status = String::new();
    // always written, like the other files of a fresh system
    let mut triggers = BTreeMap::from([("File".to_owned(), String::new())]);
    for record in &records {
        status += &record.installed(&present)?;
        entries.extend(record.info(kept)?);
        record.add_triggers(&mut triggers)?;
    }

    let origin = EntryOrigin::Generator(NAME.to_owned());
    entries.push(file(&origin, "var/lib/dpkg/status", &status, 0o644));
    for (name, text) in triggers {
        entries.push(file(&origin, &format!("{TRIGGERS}/{name}"), &text, 0o644));
    }
    entries.sort_by(|first, second| first.path.cmp(&second.path));
    Ok(entries)
}

/// Returns the version of a package, and the packages whose files it may take over: its `Replaces` (policy 7.6.1).
///
/// # Errors
/// When control data is missing or not one paragraph.
pub fn version_and_replaces(
    package: &UnpackedPackage,
    contents: &ContentReader<'_>,
) -> Result<(DebianVersion, Vec<Relation>), Error> {
    let record = InstalledPackage::read(package, contents)?;
    let relations = Relation::parse_list(field(&record.paragraph, "Replaces").unwrap_or_default());
    let relations = relations.map_err(|_| record.bad_control("its `Replaces` field is malformed"))?;
    Ok((DebianVersion::new(field(&record.paragraph, "Version").unwrap_or_default()), relations))
}

const INFO: &str = "var/lib/dpkg/info";
const TRIGGERS: &str = "var/lib/dpkg/triggers";

/// Folders that neither dpkg nor apt creates by itself.
const FOLDERS: [&str; 11] = [
    "var/cache/apt/archives/partial",
    "var/cache/apt",
    "var/cache/apt/archives",
    "var/lib/apt",
    "var/lib/apt/lists",
    "var/lib/apt/lists/partial",
    "var/lib/dpkg/alternatives",
    INFO,
    "var/lib/dpkg/parts",
    TRIGGERS,
    "var/lib/dpkg/updates",
];

/// Files of a fresh system, with their text.
const FILES: [(&str, &str); 6] = [
    ("var/lib/dpkg/available", ""),
    ("var/lib/dpkg/diversions", ""),
    ("var/lib/dpkg/statoverride", ""),
    ("var/lib/dpkg/info/format", "1\n"),
    ("var/lib/dpkg/triggers/Lock", ""),
    ("var/lib/dpkg/triggers/Unincorp", ""),
];

fn skeleton() -> Vec<TreeEntry> {
    let origin = EntryOrigin::Generator(NAME.to_owned());
    let folders = FOLDERS.iter().map(|path| entry(&origin, path, EntryKind::Directory, 0o755));
    folders.chain(FILES.iter().map(|(path, text)| file(&origin, path, text, 0o644))).collect()
}

/// Members of the control archive that dpkg keeps in its info folder (`list` and `md5sums` are generated).
const KEPT_MEMBERS: [(&str, u32); 11] = [
    ("conffiles", 0o644),
    ("config", 0o755),
    ("postinst", 0o755),
    ("postrm", 0o755),
    ("preinst", 0o755),
    ("prerm", 0o755),
    ("shlibs", 0o644),
    ("symbols", 0o644),
    ("templates", 0o644),
    ("triggers", 0o644),
    ("isinstallable", 0o755),
];

/// One package with its control paragraph read.
struct InstalledPackage<'a> {
    name: String,
    /// Name as in dpkg's file names: with `:<architecture>` for `Multi-Arch: same`.
    qualified: String,
    /// The control paragraph, ending in one line end.
    paragraph: String,
    package: &'a UnpackedPackage,
    contents: &'a ContentReader<'a>,
}

impl<'a> InstalledPackage<'a> {
    fn read(package: &'a UnpackedPackage, contents: &'a ContentReader<'a>) -> Result<Self, Error> {
        let (name, qualified, paragraph) = Default::default();
        let mut record = Self { name, qualified, paragraph, package, contents };
        let text = record.member("control")?.unwrap_or_default();
        // a hostile package could bring fields of the status file, and pass for one that is not installed
        record.paragraph = without(text.trim_matches('\n'), &["Status", "Conffiles"]);
        record.name = field(&record.paragraph, "Package").unwrap_or_default().to_owned();

        if !is_package_name(&record.name) {
            return Err(record.bad_control("it has no valid `Package` field"));
        }
        // an empty line would begin the paragraph of another package in the status file
        if record.paragraph.lines().any(|line| line.trim().is_empty()) {
            return Err(record.bad_control("its control data is not one paragraph"));
        }
        let architecture = field(&record.paragraph, "Architecture").unwrap_or_default();
        if architecture.is_empty() || !architecture.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(record.bad_control("it has no valid `Architecture` field"));
        }

        let is_same = field(&record.paragraph, "Multi-Arch") == Some("same");
        record.qualified = if is_same { format!("{}:{architecture}", record.name) } else { record.name.clone() };
        Ok(record)
    }

    fn bad_control(&self, cause: &'static str) -> Error {
        Error::BadControl { package: self.name.chars().take(100).collect(), cause }
    }

    /// Reads a member of the control archive.
    fn member(&self, member: &str) -> Result<Option<String>, Error> {
        let Some(content) = self.package.control.get(member) else { return Ok(None) };
        let bytes = self.bytes(member, content, MEMBER_LIMIT)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn bytes(&self, member: &str, content: &FileContent, limit: u64) -> Result<Vec<u8>, Error> {
        self.contents.read(content, limit).map_err(|cause| Error::Read {
            package: self.name.clone(),
            member: format!("`{member}`"),
            cause,
        })
    }

    /// Lines of md5sums for files that are in the image, with paths as they are in the image; malformed lines, which
    /// scanners would stop at, are left out.
    fn md5sums(&self, kept: &dyn Fn(&str) -> bool) -> Result<String, Error> {
        let own: BTreeSet<&str> = self.package.entries.iter().map(|entry| entry.path.as_str()).collect();
        let mut text = String::new();
        for line in self.member("md5sums")?.unwrap_or_default().lines() {
            let Some((sum, path)) = line.split_once("  ") else { continue };
            let path = merged(path.trim_start_matches("./"));
            let is_sum = sum.len() == 32 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());

            // only its own paths: a package must not vouch for the files of another
            if is_sum && own.contains(&*path) && kept(&path) {
                text += &format!("{sum}  {path}\n");
            }
        }
        Ok(text)
    }

    /// The paragraph as in dpkg's status file: with `Status` and the sums of the configuration files.
    fn installed(&self, present: &InstalledPackages) -> Result<String, Error> {
        let lessened = present.without_missing(&self.paragraph);
        // an upgrade would bring back the dependency that the recipe excluded
        let wanted = if lessened.is_some() { "hold" } else { "install" };

        let mut text = String::new();
        for line in lessened.as_ref().unwrap_or(&self.paragraph).lines() {
            text += &format!("{line}\n");
            if named(line, "Package") {
                text += &format!("Status: {wanted} ok installed\n");
            }
        }
        let sums = self.conffile_sums()?;
        if !sums.is_empty() {
            text += &format!("Conffiles:\n{sums}");
        }
        Ok(format!("{text}\n"))
    }

    /// Configuration files with the sums that they have in the package, whatever the recipe made of them; so dpkg
    /// sees a changed or removed file as the administrator's decision.
    fn conffile_sums(&self) -> Result<String, Error> {
        let by_path: BTreeMap<&str, &TreeEntry> =
            self.package.entries.iter().map(|entry| (entry.path.as_str(), entry)).collect();

        let mut sums = String::new();
        for line in self.member("conffiles")?.unwrap_or_default().lines() {
            // lines with a flag (`remove-on-upgrade /path`) name files that the package no longer brings
            let Some(path) = line.trim().strip_prefix('/') else { continue };
            // the list may name paths as they were before the /usr merge, and dpkg looks them up as written
            let content = by_path.get(path).or_else(|| by_path.get(&*merged(path))).and_then(|entry| entry.content());
            if let Some(content) = content {
                let sum = Md5::digest(self.bytes(path, content, CONFFILE_LIMIT)?);
                sums += &format!(" /{path} {sum:x}\n");
            }
        }
        Ok(sums)
    }

    /// Files of the info folder.
    fn info(&self, kept: &dyn Fn(&str) -> bool) -> Result<Vec<TreeEntry>, Error> {
        let origin = EntryOrigin::Package(self.name.clone());
        let mut entries = vec![file(&origin, &self.info_path("list"), &self.list(kept), 0o644)];
        // `dpkg --audit` wants this file even when it is empty
        entries.push(file(&origin, &self.info_path("md5sums"), &self.md5sums(kept)?, 0o644));

        for (member, mode) in KEPT_MEMBERS {
            if let Some(content) = self.package.control.get(member) {
                entries.push(entry(&origin, &self.info_path(member), EntryKind::File(content.clone()), mode));
            }
        }
        Ok(entries)
    }

    fn info_path(&self, member: &str) -> String {
        format!("{INFO}/{}.{member}", self.qualified)
    }

    /// All paths of the package that are in the image, with the folders that they are in, beginning with the root.
    fn list(&self, kept: &dyn Fn(&str) -> bool) -> String {
        let mut paths = BTreeSet::new();
        for entry in &self.package.entries {
            // dpkg refuses packages with line ends in paths; here they would forge lines of the list
            if entry.path.contains('\n') || !kept(&entry.path) {
                continue;
            }

            let mut path = entry.path.as_str();
            // once a path is in the set, so are its parents
            while paths.insert(path)
                && let Some(folder) = parent(path)
            {
                path = folder;
            }
        }

        let lines = paths.into_iter().map(|path| format!("/{path}\n"));
        std::iter::once("/.\n".to_owned()).chain(lines).collect()
    }

    /// Adds what the package is interested in (deb-triggers(5)): paths to `File`, names to files of their own.
    fn add_triggers(&self, triggers: &mut BTreeMap<String, String>) -> Result<(), Error> {
        for line in self.member("triggers")?.unwrap_or_default().lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let (Some(directive), Some(trigger), None) = (words.next(), words.next(), words.next()) else { continue };

            // plain `interest` is `interest-await`; the `activate` directives leave no record
            let suffix = match directive {
                "interest" | "interest-await" => "",
                "interest-noawait" => "/noawait",
                _ => continue,
            };
            if trigger.starts_with('/') {
                *triggers.entry("File".to_owned()).or_default() += &format!("{trigger} {}{suffix}\n", self.qualified);
            } else if is_trigger_name(trigger) {
                *triggers.entry(trigger.to_owned()).or_default() += &format!("{}{suffix}\n", self.qualified);
            }
        }
        Ok(())
    }
}

/// Checks a name as dpkg does. It becomes a file name, to which dpkg appends, so long ones do not get through.
fn is_package_name(name: &str) -> bool {
    name.len() <= 200 && relation::is_package_name(name)
}

/// Checks the name of a trigger, which becomes a file name in the triggers folder beside dpkg's own.
fn is_trigger_name(trigger: &str) -> bool {
    let is_own = ["File", "Lock", "Unincorp"].contains(&trigger);
    !is_own
        && trigger.len() <= 200
        && !trigger.starts_with('.')
        && trigger.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-+._:".contains(&byte))
}

/// Tells whether a line begins a field of this name; field names have no case (deb822(5)).
fn named(line: &str, name: &str) -> bool {
    line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
}

/// Returns a paragraph without these fields.
fn without(paragraph: &str, fields: &[&str]) -> String {
    let mut text = String::new();
    let mut skipping = false;
    for line in paragraph.lines() {
        // indented lines continue the field above (deb822(5))
        if !line.starts_with([' ', '\t']) {
            skipping = fields.iter().any(|field| named(line, field));
        }
        if !skipping {
            text += &format!("{line}\n");
        }
    }
    text
}

fn field<'a>(paragraph: &'a str, name: &str) -> Option<&'a str> {
    let line = paragraph.lines().find(|line| named(line, name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

fn entry(origin: &EntryOrigin, path: &str, kind: EntryKind, mode: u32) -> TreeEntry {
    TreeEntry { path: path.to_owned(), kind, mode, uid: 0, gid: 0, mtime: CONTENT_MTIME, origin: origin.clone() }
}

fn file(origin: &EntryOrigin, path: &str, text: &str, mode: u32) -> TreeEntry {
    entry(origin, path, EntryKind::File(FileContent::inline(text.as_bytes())), mode)
}

#[cfg(test)]
mod tests;
