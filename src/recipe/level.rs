//! Turns a validated recipe with all parameters filled in into a [`LevelDefinition`], and checks what only its values show.

use crate::apt::archive::is_flat;
use crate::recipe::ArchiveDefinition;
use crate::recipe::CertificateStores;
use crate::recipe::CopyDefinition;
use crate::recipe::FileAttributes;
use crate::recipe::FileDefinition;
use crate::recipe::LevelDefinition;
use crate::recipe::PackageDatabase;
use crate::recipe::PathDiversion;
use crate::recipe::PocketDefinition;
use crate::recipe::RuntimeConfig;
use crate::recipe::UserAccount;
use crate::recipe::files::RecipeFiles;
use crate::recipe::parse::YamlKey;
use crate::recipe::parse::YamlNode;
use crate::recipe::request::accepted;
use crate::recipe::scalar::duration;
use crate::recipe::scalar::fingerprint;
use crate::recipe::scalar::identifier;
use crate::recipe::scalar::owner;
use crate::recipe::schema::GENERATORS;
use crate::recipe::source::Diagnostics;
use crate::recipe::source::SourceFile;
use crate::recipe::source::SourceSpan;
use crate::recipe::suggest::remedy;
use crate::values::Digest;
use std::collections::BTreeMap;

/// Most layers of a level without the key `layers`.
const DEFAULT_LAYERS: usize = 3;

/// Reads the values of one recipe.
pub(crate) struct LevelReader<'a> {
    /// File of the recipe.
    pub(crate) source: &'a SourceFile,
    /// Reader for files that the recipe names.
    pub(crate) files: &'a mut RecipeFiles,
    /// Receives the digests of those files.
    pub(crate) inputs: &'a mut BTreeMap<String, Digest>,
    /// Receives problems.
    pub(crate) problems: &'a mut Diagnostics,
}

impl LevelReader<'_> {
    /// Returns what the recipe adds.
    ///
    /// Values of the wrong kind are read as absent: validation has reported them, and the level is not used then.
    pub(crate) fn level(&mut self, recipe: &YamlNode) -> LevelDefinition {
        // Only here, because two paths can become the same when parameters are filled in.
        self.check_single_origin(recipe);

        LevelDefinition {
            recipe: text(recipe.get("name")),
            title: text(recipe.get("title")),
            packages: texts(recipe.get("packages")),
            exclude_packages: map(recipe.at(&["exclude", "packages"])),
            exclude_paths: map(recipe.at(&["exclude", "paths"])),
            include_paths: texts(recipe.get("include-paths")),
            links: map(recipe.get("links")),
            directories: entries(recipe.get("directories"), |node| attributes(node, 0o755)),
            files: self.recipe_files(recipe),
            copies: entries(recipe.get("copy"), copy),
            replaces: map(recipe.get("replaces")),
            diversions: entries(recipe.get("divert"), diversion),
            users: entries(recipe.at(&["accounts", "users"]), user),
            groups: entries(recipe.at(&["accounts", "groups"]), |node| number(node.get("gid"))),
            certificates: self.certificates(recipe.get("certificates")),
            generate: generators(recipe),
            localtime: maybe(recipe.get("localtime")),
            package_database: package_database(recipe),
            // What is neither set nor valid gets the default; validation has reported the latter.
            layers: recipe.get("layers").and_then(|node| node.text().parse().ok()).unwrap_or(DEFAULT_LAYERS),
            config: recipe.get("config").map(config).unwrap_or_default(),
            accept: recipe.items_of("accept").iter().filter_map(accepted).collect(),
            requests: Vec::new(),
        }
    }

    /// Returns the archives of a root recipe.
    pub(crate) fn archives(&mut self, recipe: &YamlNode) -> Vec<ArchiveDefinition> {
        recipe.entries_of("archives").iter().map(|(key, node)| self.archive(&key.text, node)).collect()
    }

    fn archive(&mut self, name: &str, node: &YamlNode) -> ArchiveDefinition {
        self.check_components(node);
        ArchiveDefinition {
            name: name.to_owned(),
            uri: address(&text(node.get("uri"))),
            uris: entries(node.get("uris"), |uri| address(uri.text())),
            snapshot: maybe(node.get("snapshot")),
            keys: node.items_of("keys").iter().filter_map(|file| self.key(file)).collect(),
            fingerprints: texts(node.get("fingerprints")).iter().map(|text| fingerprint(text)).collect(),
            origin: maybe(node.get("origin")),
            label: maybe(node.get("label")),
            components: texts(node.get("components")),
            pockets: node.entries_of("pockets").iter().map(|(key, node)| pocket(&key.text, node)).collect(),
        }
    }

    /// Reports an archive that names no components, although one of its suites is not flat.
    fn check_components(&mut self, node: &YamlNode) {
        if !node.items_of("components").is_empty() {
            return;
        }
        for (_, pocket) in node.entries_of("pockets") {
            let Some(suite) = pocket.get("suite").filter(|suite| !is_flat(suite.text())) else { continue };
            let message = format!("the suite `{}` needs the key `components` of its archive", suite.text());
            let help = "name the components to read; a flat repository has none, and its suite ends with a slash";
            self.problems.error_with_help(self.source, suite.place, &message, help);
        }
    }

    /// Reads an armored OpenPGP certificate.
    fn key(&mut self, file: &YamlNode) -> Option<Vec<u8>> {
        const BEGIN: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";

        let bytes = self.files.read(self.source, file, self.inputs, self.problems)?;
        // Reported here, where the file is named, not by the OpenPGP parser in the middle of a lock. A private key has
        // another header, so it is refused too.
        if memchr::memmem::find(&bytes, BEGIN).is_none() {
            let message = format!("`{}` is not an armored OpenPGP certificate", file.text());
            self.problems.error_with_help(self.source, file.place, &message, "write it with `gpg --armor --export`");
            return None;
        }

        Some(bytes)
    }

    fn recipe_files(&mut self, recipe: &YamlNode) -> BTreeMap<String, FileDefinition> {
        let mut files = BTreeMap::new();
        for (path, node) in recipe.entries_of("files") {
            let file = match (node.get("content"), node.get("source")) {
                (Some(content), None) => Some((content.text().as_bytes().to_vec(), 0o644)),
                (None, Some(file)) => {
                    let read = self.files.read(self.source, file, self.inputs, self.problems);
                    // Git keeps this one bit of a file's mode, so the same commit gives the same image.
                    read.map(|content| {
                        (content, if self.files.is_executable(self.source, file) { 0o755 } else { 0o644 })
                    })
                }
                // Neither or both: `plan::check_files` has reported it.
                _ => None,
            };
            // An unreadable file was reported, so the level is not used without it.
            if let Some((content, mode)) = file {
                files.insert(path.text.clone(), FileDefinition { content, attributes: attributes(node, mode) });
            }
        }
        files
    }

    fn certificates(&mut self, node: Option<&YamlNode>) -> CertificateStores {
        let Some(node) = node else { return CertificateStores::default() };
        let extra = match node.get("extra") {
            Some(folder) => self.files.certificates(self.source, folder, self.inputs, self.problems),
            None => BTreeMap::new(),
        };

        CertificateStores {
            bundle: boolean(node.get("bundle")),
            extra,
            java_trust_store: maybe(node.get("java-trust-store")),
        }
    }

    /// Reports paths that two sections write. Every path of an image has one origin.
    fn check_single_origin(&mut self, recipe: &YamlNode) {
        let mut seen: BTreeMap<&str, (&str, SourceSpan)> = BTreeMap::new();
        // Sections that write paths: generators and packages may only be overridden through `replaces`.
        for section in ["files", "links", "copy", "directories"] {
            for (path, _) in recipe.entries_of(section) {
                let (other, place) = *seen.entry(&path.text).or_insert((section, path.place));

                // Within one section it is a repeated key, which validation reports.
                if other != section {
                    let message = format!("`{}` is in `{other}` and in `{section}`", path.text);
                    let help = format!("first in line {}", self.source.line(place));
                    self.problems.error_with_help(self.source, path.place, &message, &help);
                }
            }
        }
    }
}

/// Groups that the account generator always writes.
const STANDING_GROUPS: [&str; 3] = ["root", "nogroup", "shadow"];

/// Collects the accounts of a chain, root first, and reports repeated names and ids and unknown groups.
#[derive(Default)]
pub(crate) struct AccountCheck {
    /// Uid of every user so far, by name.
    users: BTreeMap<String, String>,
    /// Gid of every group so far, by name.
    groups: BTreeMap<String, String>,
}

impl AccountCheck {
    /// Takes the next recipe of the chain.
    pub(crate) fn add(&mut self, source: &SourceFile, recipe: &YamlNode, problems: &mut Diagnostics) {
        let Some(accounts) = recipe.get("accounts") else { return };

        // Groups come first, because users of the same recipe may belong to them.
        claim(&mut self.groups, "gid", source, accounts.entries_of("groups"), problems);
        claim(&mut self.users, "uid", source, accounts.entries_of("users"), problems);

        for (_, user) in accounts.entries_of("users") {
            let Some(group) = user.get("group") else { continue };
            // Reported here, or the account generator would have no number to write into `/etc/passwd`.
            if !STANDING_GROUPS.contains(&group.text()) && !self.groups.contains_key(group.text()) {
                let message = format!("unknown group `{}`", group.text());
                let known = self.groups.keys().map(String::as_str).chain(STANDING_GROUPS);
                problems.error_with_help(source, group.place, &message, &remedy(group.text(), known));
            }
        }
    }
}

/// Adds accounts to those of lower recipes, and reports names and ids that are taken.
///
/// Two names for one id would give the files of one account to the other.
fn claim(
    taken: &mut BTreeMap<String, String>,
    id_key: &str,
    source: &SourceFile,
    accounts: &[(YamlKey, YamlNode)],
    problems: &mut Diagnostics,
) {
    for (name, account) in accounts {
        let id = text(account.get(id_key));

        if let Some((other, _)) = taken.iter().find(|(known, known_id)| **known == name.text || **known_id == id) {
            let message = format!("the {id_key} `{id}` or the name `{}` is already taken by `{other}`", name.text);
            problems.error(source, name.place, &message);
        }
        // Also after a problem, so that a third account is compared with this one.
        taken.insert(name.text.clone(), id);
    }
}

/// Returns the generators of a recipe in the order in which they run, whatever the order in the file.
fn generators(recipe: &YamlNode) -> Vec<String> {
    let requested = texts(recipe.get("generate"));
    GENERATORS.iter().map(|name| (*name).to_owned()).filter(|name| requested.contains(name)).collect()
}

fn package_database(recipe: &YamlNode) -> PackageDatabase {
    match recipe.get("package-database").map(YamlNode::text) {
        Some("dpkg") => PackageDatabase::Dpkg,
        // What scanners read in images without apt.
        _ => PackageDatabase::StatusD,
    }
}

fn copy(node: &YamlNode) -> CopyDefinition {
    CopyDefinition { from: text(node.get("from")), attributes: attributes(node, 0o644) }
}

fn diversion(node: &YamlNode) -> PathDiversion {
    PathDiversion { to: text(node.get("to")), by: text(node.get("by")) }
}

fn pocket(name: &str, node: &YamlNode) -> PocketDefinition {
    PocketDefinition {
        name: name.to_owned(),
        suite: text(node.get("suite")),
        expected_suite: maybe(node.get("expected-suite")),
        codename: maybe(node.get("codename")),
        uri: maybe(node.get("uri")).map(|uri| address(&uri)),
        frozen: boolean(node.get("frozen")),
        warn_after: seconds(node.get("warn-after")),
        max_age: seconds(node.get("max-age")),
    }
}

/// Reads an account; the defaults are those of Debian's system users (adduser(8)): no home folder, no login.
fn user(node: &YamlNode) -> UserAccount {
    UserAccount {
        uid: number(node.get("uid")),
        group: text(node.get("group")),
        home: maybe(node.get("home")).unwrap_or_else(|| "/nonexistent".to_owned()),
        shell: maybe(node.get("shell")).unwrap_or_else(|| "/usr/sbin/nologin".to_owned()),
        comment: text(node.get("comment")),
    }
}

fn config(node: &YamlNode) -> RuntimeConfig {
    RuntimeConfig {
        user: maybe(node.get("user")),
        env: map(node.get("env")),
        // An empty list is not an absent one: it takes the command line of a lower level away.
        entrypoint: node.get("entrypoint").map(|node| texts(Some(node))),
        command: node.get("command").map(|node| texts(Some(node))),
        working_directory: maybe(node.get("working-directory")),
        ports: texts(node.get("ports")),
        writable: map(node.get("writable")),
        stop_signal: maybe(node.get("stop-signal")),
        labels: map(node.get("labels")),
    }
}

/// Reads mode and owner; without them the mode is `default_mode` and the owner is root.
fn attributes(node: &YamlNode, default_mode: u32) -> FileAttributes {
    let mode = node.get("mode").and_then(|mode| u32::from_str_radix(mode.text(), 8).ok());
    // Files of root by default: the user that the service runs as must not be able to change them.
    let (uid, gid) = node.get("owner").and_then(|node| owner(node.text())).unwrap_or((0, 0));

    FileAttributes { mode: mode.unwrap_or(default_mode), uid, gid }
}

/// Returns an address without trailing slashes, since paths are joined with one.
fn address(uri: &str) -> String {
    uri.trim_end_matches('/').to_owned()
}

fn boolean(node: Option<&YamlNode>) -> bool {
    node.is_some_and(|node| node.text() == "true")
}

/// Returns a duration in seconds.
pub(crate) fn seconds(node: Option<&YamlNode>) -> Option<u64> {
    node.and_then(|node| duration(node.text()))
}

/// Reads a user or group id.
fn number(node: Option<&YamlNode>) -> u32 {
    // Validation has reported what is no id. `u32::MAX` is none either (chown(2)), so a mistake never becomes root.
    node.and_then(|node| identifier(node.text())).unwrap_or(u32::MAX)
}

/// Returns the text of a node; empty if there is no node.
pub(crate) fn text(node: Option<&YamlNode>) -> String {
    node.map(YamlNode::text).unwrap_or_default().to_owned()
}

/// Returns the text of a node, if there is one.
pub(crate) fn maybe(node: Option<&YamlNode>) -> Option<String> {
    node.map(|node| node.text().to_owned())
}

/// Returns the texts of a list.
pub(crate) fn texts(node: Option<&YamlNode>) -> Vec<String> {
    node.map(YamlNode::items).unwrap_or_default().iter().map(|item| item.text().to_owned()).collect()
}

/// Returns a map of texts.
fn map(node: Option<&YamlNode>) -> BTreeMap<String, String> {
    entries(node, |value| value.text().to_owned())
}

/// Returns a map whose values are read by `read`.
fn entries<T>(node: Option<&YamlNode>, read: impl Fn(&YamlNode) -> T) -> BTreeMap<String, T> {
    node.map(YamlNode::entries).unwrap_or_default().iter().map(|(key, value)| (key.text.clone(), read(value))).collect()
}
