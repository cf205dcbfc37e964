//! A checked recipe with all parameters filled in, to a Level; and what only the values of a level show to be wrong.

use crate::recipe::ArchiveDefinition;
use crate::recipe::Attributes;
use crate::recipe::Certificates;
use crate::recipe::Config;
use crate::recipe::CopyDefinition;
use crate::recipe::FileDefinition;
use crate::recipe::Level;
use crate::recipe::PackageDatabase;
use crate::recipe::PocketDefinition;
use crate::recipe::User;
use crate::recipe::files::Files;
use crate::recipe::parse::Node;
use crate::recipe::scalar::duration;
use crate::recipe::scalar::fingerprint;
use crate::recipe::scalar::identifier;
use crate::recipe::scalar::owner;
use crate::recipe::schema::GENERATORS;
use crate::recipe::source::Place;
use crate::recipe::source::Problems;
use crate::recipe::source::Source;
use crate::recipe::suggest::remedy;
use crate::values::Digest;
use std::collections::BTreeMap;

/// Layers of a level that says nothing about it.
const DEFAULT_LAYERS: usize = 3;

/// Reads values out of one recipe.
pub(crate) struct Reader<'a> {
    /// The recipe's file.
    pub(crate) source: &'a Source,
    /// Reads files that the recipe names.
    pub(crate) files: &'a mut Files,
    /// Takes the digests of those files.
    pub(crate) inputs: &'a mut BTreeMap<String, Digest>,
    /// Takes problems.
    pub(crate) problems: &'a mut Problems,
}

impl Reader<'_> {
    /// Returns what the recipe adds.
    pub(crate) fn level(&mut self, recipe: &Node) -> Level {
        let at = |keys: &[&str]| keys.iter().try_fold(recipe, |node, key| node.get(key));
        self.one_origin(recipe);
        let generate = texts(at(&["generate"]));
        Level {
            recipe: text(at(&["name"])),
            title: text(at(&["title"])),
            packages: texts(at(&["packages"])),
            exclude_packages: map(at(&["exclude", "packages"])),
            exclude_paths: map(at(&["exclude", "paths"])),
            include_paths: texts(at(&["include-paths"])),
            links: map(at(&["links"])),
            directories: entries(at(&["directories"]), |node| attributes(node, 0o755)),
            files: self.recipe_files(at(&["files"])),
            copies: entries(at(&["copy"]), |node| CopyDefinition {
                from: text(node.get("from")),
                attributes: attributes(node, 0o644),
            }),
            replaces: map(at(&["replaces"])),
            users: entries(at(&["accounts", "users"]), user),
            groups: entries(at(&["accounts", "groups"]), |node| number(node.get("gid"))),
            certificates: self.certificates(at(&["certificates"])),
            generate: GENERATORS.iter().map(|name| (*name).to_owned()).filter(|name| generate.contains(name)).collect(),
            localtime: maybe(at(&["localtime"])),
            package_database: match at(&["package-database"]).map(Node::text) {
                Some("dpkg") => PackageDatabase::Dpkg,
                _ => PackageDatabase::StatusD,
            },
            layers: at(&["layers"]).and_then(|node| node.text().parse().ok()).unwrap_or(DEFAULT_LAYERS),
            config: at(&["config"]).map(config).unwrap_or_default(),
        }
    }

    /// Returns the archives of a root recipe.
    pub(crate) fn archives(&mut self, recipe: &Node) -> Vec<ArchiveDefinition> {
        let archives = recipe.get("archives").map(Node::entries).unwrap_or_default();
        archives.iter().map(|(key, node)| self.archive(&key.text, node)).collect()
    }

    fn archive(&mut self, name: &str, node: &Node) -> ArchiveDefinition {
        let pockets = node.get("pockets").map(Node::entries).unwrap_or_default();
        let names = node.get("keys").map(Node::items).unwrap_or_default();
        ArchiveDefinition {
            name: name.to_owned(),
            uri: address(&text(node.get("uri"))),
            uris: map(node.get("uris")).into_iter().map(|(name, uri)| (name, address(&uri))).collect(),
            snapshot: maybe(node.get("snapshot")),
            keys: names.iter().filter_map(|name| self.key(name)).collect(),
            fingerprints: texts(node.get("fingerprints")).iter().map(|text| fingerprint(text)).collect(),
            origin: text(node.get("origin")),
            label: text(node.get("label")),
            components: texts(node.get("components")),
            pockets: pockets.iter().map(|(key, node)| pocket(&key.text, node)).collect(),
        }
    }

    fn key(&mut self, name: &Node) -> Option<Vec<u8>> {
        const BEGIN: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";
        let bytes = self.files.read(self.source, name, self.inputs, self.problems)?;
        if memchr::memmem::find(&bytes, BEGIN).is_none() {
            let message = format!("`{}` is not an armored OpenPGP certificate", name.text());
            self.problems.error_with_help(self.source, name.place, &message, "write it with `gpg --armor --export`");
            return None;
        }
        Some(bytes)
    }

    fn recipe_files(&mut self, files: Option<&Node>) -> BTreeMap<String, FileDefinition> {
        let mut found = BTreeMap::new();
        for (key, node) in files.map(Node::entries).unwrap_or_default() {
            let content = match (node.get("content"), node.get("source")) {
                (Some(content), None) => Some(content.text().as_bytes().to_vec()),
                (None, Some(name)) => self.files.read(self.source, name, self.inputs, self.problems),
                _ => None,
            };
            if let Some(content) = content {
                found.insert(key.text.clone(), FileDefinition { content, attributes: attributes(node, 0o644) });
            }
        }
        found
    }

    fn certificates(&mut self, node: Option<&Node>) -> Certificates {
        let Some(node) = node else { return Certificates::default() };
        let extra = node.get("extra");
        let folder = extra.map(|folder| self.files.certificates(self.source, folder, self.inputs, self.problems));
        Certificates {
            bundle: boolean(node.get("bundle")),
            extra: folder.unwrap_or_default(),
            java_trust_store: maybe(node.get("java-trust-store")),
        }
    }

    /// Reports a path that two sections write.
    fn one_origin(&mut self, recipe: &Node) {
        let mut seen: BTreeMap<&str, (&str, Place)> = BTreeMap::new();
        for section in ["files", "links", "copy", "directories"] {
            for (key, _) in recipe.get(section).map(Node::entries).unwrap_or_default() {
                let (other, place) = *seen.entry(&key.text).or_insert((section, key.place));
                if other != section {
                    let message = format!("`{}` is in `{other}` and in `{section}`", key.text);
                    let help = format!("first in line {}", self.source.line(place));
                    self.problems.error_with_help(self.source, key.place, &message, &help);
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
    users: BTreeMap<String, String>,
    groups: BTreeMap<String, String>,
}

impl AccountCheck {
    /// Takes the next recipe of the chain.
    pub(crate) fn add(&mut self, source: &Source, recipe: &Node, problems: &mut Problems) {
        let section = |name| recipe.get("accounts").and_then(|node| node.get(name)).map(Node::entries);
        for (known, section, id) in
            [(&mut self.groups, section("groups"), "gid"), (&mut self.users, section("users"), "uid")]
        {
            for (key, node) in section.unwrap_or_default() {
                let number = text(node.get(id));
                if let Some((other, _)) = known.iter().find(|(name, other)| **name == key.text || **other == number) {
                    let message = format!("the {id} `{number}` or the name `{}` is taken by `{other}`", key.text);
                    problems.error(source, key.place, &message);
                }
                known.insert(key.text.clone(), number);
            }
        }
        for (_, node) in section("users").unwrap_or_default() {
            let Some(group) = node.get("group") else { continue };
            if !STANDING_GROUPS.contains(&group.text()) && !self.groups.contains_key(group.text()) {
                let message = format!("unknown group `{}`", group.text());
                let known = self.groups.keys().map(String::as_str).chain(STANDING_GROUPS);
                let help = remedy(group.text(), known);
                problems.error_with_help(source, group.place, &message, &help);
            }
        }
    }
}

fn pocket(name: &str, node: &Node) -> PocketDefinition {
    PocketDefinition {
        name: name.to_owned(),
        suite: text(node.get("suite")),
        expected_suite: maybe(node.get("expected-suite")),
        codename: text(node.get("codename")),
        uri: maybe(node.get("uri")).map(|uri| address(&uri)),
        frozen: boolean(node.get("frozen")),
        warn_after: seconds(node.get("warn-after")),
        max_age: seconds(node.get("max-age")),
    }
}

fn user(node: &Node) -> User {
    User {
        uid: number(node.get("uid")),
        group: text(node.get("group")),
        home: maybe(node.get("home")).unwrap_or_else(|| "/nonexistent".to_owned()),
        shell: maybe(node.get("shell")).unwrap_or_else(|| "/usr/sbin/nologin".to_owned()),
        comment: text(node.get("comment")),
    }
}

fn config(node: &Node) -> Config {
    Config {
        user: maybe(node.get("user")),
        env: map(node.get("env")),
        entrypoint: node.get("entrypoint").map(|node| texts(Some(node))),
        command: node.get("command").map(|node| texts(Some(node))),
        working_directory: maybe(node.get("working-directory")),
        ports: texts(node.get("ports")),
        writable: map(node.get("writable")),
        stop_signal: maybe(node.get("stop-signal")),
        labels: map(node.get("labels")),
    }
}

fn attributes(node: &Node, default: u32) -> Attributes {
    let mode = node.get("mode").and_then(|mode| u32::from_str_radix(mode.text(), 8).ok());
    let (uid, gid) = node.get("owner").and_then(|node| owner(node.text())).unwrap_or((0, 0));
    Attributes { mode: mode.unwrap_or(default), uid, gid }
}

fn address(uri: &str) -> String {
    uri.trim_end_matches('/').to_owned()
}

fn boolean(node: Option<&Node>) -> bool {
    node.is_some_and(|node| node.text() == "true")
}

/// Returns a duration in seconds.
pub(crate) fn seconds(node: Option<&Node>) -> Option<u64> {
    node.and_then(|node| duration(node.text()))
}

fn number(node: Option<&Node>) -> u32 {
    node.and_then(|node| identifier(node.text())).unwrap_or(u32::MAX)
}

/// Returns a text; empty where there is none.
pub(crate) fn text(node: Option<&Node>) -> String {
    node.map(Node::text).unwrap_or_default().to_owned()
}

/// Returns a text, where there is one.
pub(crate) fn maybe(node: Option<&Node>) -> Option<String> {
    node.map(|node| node.text().to_owned())
}

/// Returns a list of texts.
pub(crate) fn texts(node: Option<&Node>) -> Vec<String> {
    node.map(Node::items).unwrap_or_default().iter().map(|item| item.text().to_owned()).collect()
}

fn map(node: Option<&Node>) -> BTreeMap<String, String> {
    entries(node, |value| value.text().to_owned())
}

fn entries<T>(node: Option<&Node>, read: impl Fn(&Node) -> T) -> BTreeMap<String, T> {
    node.map(Node::entries).unwrap_or_default().iter().map(|(key, value)| (key.text.clone(), read(value))).collect()
}
