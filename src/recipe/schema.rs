//! The keys of all YAML files in one table, from which the checks, the suggestions and the JSON Schema come.

use crate::recipe::ledger_schema::LEDGER;
use crate::recipe::scalar::ScalarKind;
use crate::values::DEBIAN_ARCHITECTURES;
use serde_json::Value;
use serde_json::json;

/// The form of a value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ValueShape {
    /// A single value.
    One(ScalarKind),
    /// A list without repetitions.
    List(ScalarKind),
    /// A list of words that may be repeated: a command line.
    Words,
    /// A single value or a list.
    OneOrMore(ScalarKind),
    /// A list of records.
    Records(&'static RecordSchema),
    /// A map whose keys people choose.
    Map(ScalarKind, &'static ValueShape),
    /// A map with known keys.
    Record(&'static RecordSchema),
}

/// A map with known keys.
#[derive(Debug)]
pub(crate) struct RecordSchema {
    /// Noun for the map in messages, such as `a recipe`.
    pub(crate) what: &'static str,
    /// The known keys.
    pub(crate) fields: &'static [FieldSchema],
}

/// A known key.
#[derive(Debug)]
pub(crate) struct FieldSchema {
    /// Name of the key.
    pub(crate) name: &'static str,
    /// Whether the key must be present.
    pub(crate) required: bool,
    /// Form of its value.
    pub(crate) shape: ValueShape,
    /// One line about the key, for editors and for messages about its absence.
    pub(crate) about: &'static str,
}

/// Plain generators, which a recipe enables by name, in the order in which they run.
pub(crate) const GENERATORS: &[&str] = &["filesystem", "nsswitch", "locale", "os-release", "ld-so-cache"];

pub(crate) const fn required(name: &'static str, shape: ValueShape, about: &'static str) -> FieldSchema {
    FieldSchema { name, required: true, shape, about }
}

pub(crate) const fn optional(name: &'static str, shape: ValueShape, about: &'static str) -> FieldSchema {
    FieldSchema { name, required: false, shape, about }
}

use ScalarKind as S;
use ValueShape::List;
use ValueShape::Map;
use ValueShape::One;
use ValueShape::OneOrMore;
use ValueShape::Records;
use ValueShape::Words;

/// Kinds of value that a parameter can ask for; `parameters` checks them.
const PARAMETER_KINDS: &[&str] = &["percent", "url-path"];

pub(crate) const REASON: ValueShape = One(S::Reason);
const TEXT: ValueShape = One(S::Text);

// Statics of their own, because a constant cannot hold a reference to a temporary value.
static ATTRIBUTES_SHAPE: ValueShape = ValueShape::Record(&ATTRIBUTES);
static FILE_SHAPE: ValueShape = ValueShape::Record(&FILE);
static COPY_SHAPE: ValueShape = ValueShape::Record(&COPY);

// The keys that a recipe has at its top and in its conditions.
const PACKAGES: FieldSchema = optional("packages", List(S::Relation), "Packages to install, with their dependencies.");
const EXCLUDES: FieldSchema =
    optional("exclude", ValueShape::Record(&EXCLUDE), "Packages and paths to leave out, each with its reason.");
const INCLUDE_PATHS: FieldSchema =
    optional("include-paths", List(S::Glob), "Paths kept although excluded here or in a lower level.");
const LINKS: FieldSchema = optional("links", Map(S::Path, &One(S::Target)), "Targets of symbolic links, by path.");
const DIRECTORIES: FieldSchema =
    optional("directories", Map(S::Path, &ATTRIBUTES_SHAPE), "Folders to create, or to set the attributes of.");
const FILES: FieldSchema = optional("files", Map(S::Path, &FILE_SHAPE), "Files that the recipe provides.");
const COPIES: FieldSchema =
    optional("copy", Map(S::Path, &COPY_SHAPE), "Copies of package files of this or lower levels.");
const REPLACES: FieldSchema = optional(
    "replaces",
    Map(S::Path, &REASON),
    "Paths of lower levels or packages that this level may replace, with reasons.",
);
const GENERATE: FieldSchema = optional("generate", List(S::Word("generator", GENERATORS)), "Plain generators to run.");
const SETTINGS: FieldSchema = optional(
    "config",
    ValueShape::Record(&CONFIG),
    "Run-time configuration; maps merge over levels, the higher level wins.",
);

/// A file in `recipes/`.
pub(crate) static RECIPE: RecordSchema = RecordSchema {
    what: "a recipe",
    fields: &[
        required("name", One(S::Name), "Name of the recipe: the file's name."),
        required("title", REASON, "One line about the level, for people."),
        optional(
            "from",
            OneOrMore(S::Name),
            "Recipe of the level below; of several, the one whose own parameter an image sets, else the first; `any` for variants; absent in a root recipe.",
        ),
        optional(
            "parameters",
            Map(S::Parameter, &ValueShape::Record(&PARAMETER)),
            "Values that images choose; written ${name} here and in higher levels.",
        ),
        optional(
            "archives",
            Map(S::Name, &ValueShape::Record(&ARCHIVE)),
            "APT archives that packages come from; only in a root recipe.",
        ),
        PACKAGES,
        EXCLUDES,
        INCLUDE_PATHS,
        LINKS,
        DIRECTORIES,
        FILES,
        COPIES,
        REPLACES,
        optional(
            "divert",
            Map(S::Path, &ValueShape::Record(&DIVERSION)),
            "Paths of packages that go elsewhere, as dpkg-divert(1) in a maintainer script does it.",
        ),
        optional("accounts", ValueShape::Record(&ACCOUNTS), "Users and groups."),
        optional("certificates", ValueShape::Record(&CERTIFICATES), "Certificate stores to write."),
        GENERATE,
        optional("localtime", One(S::Zone), "Time zone for /etc/localtime."),
        optional(
            "package-database",
            One(S::Word("form of the package database", &["status.d", "dpkg"])),
            "Form of the package database in the image.",
        ),
        optional("layers", One(S::Count), "Most layers that the level is split into (default 3)."),
        SETTINGS,
        optional(
            "when",
            Map(S::Parameter, &Map(S::Value, &ValueShape::Record(&ADDITION))),
            "What is added only where a parameter has a certain value: `when: { fonts: { \"true\": { packages: [ … ] } } }`.",
        ),
        optional("accept", Records(&ACCEPTED), "Findings of checks that stay, in this image and those above it."),
    ],
};

static DIVERSION: RecordSchema = RecordSchema {
    what: "a diversion",
    fields: &[
        required("to", One(S::Path), "Path that the file of every other package gets."),
        required("by", One(S::Package), "Package whose own file stays."),
    ],
};

static ACCEPTED: RecordSchema = RecordSchema {
    what: "an acceptance",
    fields: &[
        required("finding", One(S::Name), "Name of the finding, such as `library-missing`."),
        required("path", REASON, "The very path at which it is accepted, as the finding shows it."),
        required("reason", REASON, "Why it is accepted."),
        required("agreed-by", REASON, "Who agreed."),
        required("expires", One(S::Day), "Last day on which it holds."),
    ],
};

static ADDITION: RecordSchema = RecordSchema {
    what: "an addition under `when`",
    fields: &[PACKAGES, EXCLUDES, INCLUDE_PATHS, LINKS, DIRECTORIES, FILES, COPIES, REPLACES, GENERATE, SETTINGS],
};

static PARAMETER: RecordSchema = RecordSchema {
    what: "a parameter",
    fields: &[
        optional("default", One(S::Value), "Value if an image sets none."),
        optional("allowed", List(S::Value), "All values that an image may set."),
        optional(
            "kind",
            One(S::Word("kind of value", PARAMETER_KINDS)),
            "Form of the value: `percent` (1 to 100), `url-path` (such as /health).",
        ),
        optional("title", REASON, "One line about it, for people."),
        optional("from", One(S::Parameter), "Parameter that this one is derived from."),
        optional("map", Map(S::Value, &One(S::Text)), "Value for every value of the parameter named in `from`."),
    ],
};

static ARCHIVE: RecordSchema = RecordSchema {
    what: "an archive",
    fields: &[
        required("uri", One(S::Url), "Official address; mirrors are tried before it."),
        optional(
            "uris",
            Map(S::Word("architecture", &DEBIAN_ARCHITECTURES), &One(S::Url)),
            "Official addresses of single architectures.",
        ),
        optional("snapshot", One(S::Snapshot), "Address template of the snapshot service, with {timestamp}."),
        required("keys", List(S::File), "Armored OpenPGP certificates, relative to the recipe."),
        required("fingerprints", List(S::Fingerprint), "Pinned fingerprints; one of these keys must have signed."),
        optional("origin", REASON, "Required Origin of the Release file; left out, it must have none."),
        optional("label", REASON, "Required Label of the Release file; left out, it must have none."),
        optional("components", List(S::File), "Components to read; a flat repository has none."),
        required(
            "pockets",
            Map(S::Word("pocket", &["release", "updates", "security"]), &ValueShape::Record(&POCKET)),
            "Suites by purpose.",
        ),
    ],
};

static POCKET: RecordSchema = RecordSchema {
    what: "a pocket",
    fields: &[
        required(
            "suite",
            One(S::Suite),
            "Path below dists/; of a flat repository its path with a slash at the end, `./`.",
        ),
        optional("expected-suite", REASON, "Required Suite of the Release file, if it differs."),
        optional("codename", REASON, "Required Codename of the Release file; left out, it must have none."),
        optional("uri", One(S::Url), "Official address, if it differs from the archive's."),
        optional("frozen", One(S::Boolean), "The suite never changes again."),
        optional("warn-after", One(S::Duration), "Age from which sockel warns about the pocket."),
        optional("max-age", One(S::Duration), "Age from which sockel refuses the pocket."),
    ],
};

static EXCLUDE: RecordSchema = RecordSchema {
    what: "`exclude`",
    fields: &[
        optional("packages", Map(S::Package, &REASON), "Reasons for dependencies to leave out, by package."),
        optional("paths", Map(S::Glob, &REASON), "Reasons for paths to leave out, by pattern."),
    ],
};

static ATTRIBUTES: RecordSchema = RecordSchema {
    what: "a directory",
    fields: &[
        optional("mode", One(S::Mode), "Permission bits (default 0755)."),
        optional("owner", One(S::Owner), "Numeric uid:gid (default 0:0)."),
    ],
};

static FILE: RecordSchema = RecordSchema {
    what: "a file",
    fields: &[
        optional("content", TEXT, "The text itself."),
        optional("source", One(S::File), "File with the bytes, relative to the recipe."),
        optional("mode", One(S::Mode), "Permission bits (default 0644)."),
        optional("owner", One(S::Owner), "Numeric uid:gid (default 0:0)."),
    ],
};

static COPY: RecordSchema = RecordSchema {
    what: "a copy",
    fields: &[
        required("from", One(S::Path), "The file to copy."),
        optional("mode", One(S::Mode), "Permission bits (default 0644)."),
        optional("owner", One(S::Owner), "Numeric uid:gid (default 0:0)."),
    ],
};

static ACCOUNTS: RecordSchema = RecordSchema {
    what: "`accounts`",
    fields: &[
        optional("groups", Map(S::Account, &ValueShape::Record(&GROUP)), "Groups by name."),
        optional("users", Map(S::Account, &ValueShape::Record(&USER)), "Users by name."),
    ],
};

static GROUP: RecordSchema =
    RecordSchema { what: "a group", fields: &[required("gid", One(S::Id), "Numeric group id.")] };

static USER: RecordSchema = RecordSchema {
    what: "a user",
    fields: &[
        required("uid", One(S::Id), "Numeric user id."),
        required("group", One(S::Account), "Primary group."),
        optional("home", One(S::Path), "Home folder (default /nonexistent)."),
        optional("shell", One(S::Path), "Login shell (default /usr/sbin/nologin)."),
        optional("comment", TEXT, "Comment (GECOS) field."),
    ],
};

static CERTIFICATES: RecordSchema = RecordSchema {
    what: "`certificates`",
    fields: &[
        optional("bundle", One(S::Boolean), "Write the PEM bundle and the hashed links."),
        optional("extra", One(S::File), "Folder beside the recipe with the organisation's *.pem and *.crt."),
        optional("java-trust-store", One(S::Path), "Java trust store to write."),
    ],
};

static CONFIG: RecordSchema = RecordSchema {
    what: "`config`",
    fields: &[
        optional("user", One(S::User), "Numeric uid:gid, never root."),
        optional("env", Map(S::Variable, &TEXT), "Environment."),
        optional("entrypoint", Words, "Entry point."),
        optional("command", Words, "Default arguments."),
        optional("working-directory", One(S::Path), "Working directory."),
        optional("ports", List(S::Port), "Ports that the service listens on."),
        optional(
            "writable",
            Map(S::Path, &REASON),
            "Paths that need a writable mount if the root is read-only, with reasons.",
        ),
        optional("stop-signal", One(S::Signal), "Signal that stops the service."),
        optional("labels", Map(S::Reason, &TEXT), "Labels."),
    ],
};

/// A file in `base-images/`.
pub(crate) static BASE_IMAGE: RecordSchema = RecordSchema {
    what: "a base image",
    fields: &[
        required("recipe", One(S::Name), "The highest level's recipe."),
        optional("with", Map(S::Parameter, &One(S::Value)), "Values of parameters."),
        required("platforms", List(S::Platform), "Platforms to build."),
        required("publish", ValueShape::Record(&PUBLISH), "Repository and tags of the published image."),
        optional("version-of", One(S::Package), "Package whose upstream version becomes the image's version."),
        optional("variants", List(S::Name), "Recipes to put on top, one image each, named <image>-<variant>."),
        optional("rebuild", ValueShape::Record(&REBUILD), "How often the image is rebuilt."),
        required("purpose", REASON, "Purpose of the image."),
        required("owner", ValueShape::Record(&OWNER), "Who is responsible for the image."),
    ],
};

static PUBLISH: RecordSchema = RecordSchema {
    what: "`publish`",
    fields: &[
        required("repository", One(S::Repository), "Repository below the project."),
        required(
            "tags",
            List(S::Tag),
            "Tags. {fixed} becomes a version that never names anything else, such as 11.0.27.0.20261127.1; {version} the version of the software, {date} the date of the archives.",
        ),
    ],
};

static REBUILD: RecordSchema = RecordSchema {
    what: "`rebuild`",
    fields: &[
        optional("every", One(S::Duration), "Normal interval."),
        optional("urgent-within", One(S::Duration), "Longest delay when a security update is pending."),
    ],
};

static OWNER: RecordSchema = RecordSchema {
    what: "`owner`",
    fields: &[
        required("name", REASON, "Organisational unit or person."),
        required("contact", REASON, "Mail address or URL."),
    ],
};

/// The file `base-images/registry.yaml`.
pub(crate) static REGISTRY: RecordSchema = RecordSchema {
    what: "the registry file",
    fields: &[
        optional(
            "target",
            One(S::Destination),
            "Where images go: host, host/project (https unless it begins with http://), or oci:DIR.",
        ),
        optional("insecure", List(S::Reason), "Hosts (host or host:port) that may be talked to over plain http."),
        optional(
            "harbor",
            One(S::Boolean),
            "Whether the target is a Harbor. Without it, sockel finds out. `false` is for registries that answer oddly where Harbor has its interface; never together with `projects` or `gate`.",
        ),
        optional("projects", ValueShape::Record(&PROJECTS), "Harbor projects for judging and for release."),
        optional(
            "credentials",
            One(S::Reason),
            "File with the login that pushes and scans: a robot's JSON. For the target alone; a file elsewhere has to say so itself, with `registry`.",
        ),
        optional("release-credentials", One(S::Reason), "File with the login that may write to the release project."),
        optional("ca-file", One(S::Reason), "PEM file with certificate authorities to trust besides the system's."),
        optional("client-certificate", One(S::Reason), "PEM file with client certificate and key (mutual TLS)."),
        optional(
            "media-types",
            One(S::Word("kind of media types", &["oci", "docker"])),
            "Media types of published images: `oci` (default), or `docker` for registries that know no OCI index. With `docker`, an image has another digest in the registry than in a layout; never together with `cache`.",
        ),
        optional("parallel", One(S::Count), "Most requests at one time (default 4)."),
        optional("outage", One(S::Duration), "Longest time to wait for a registry that stops answering (default 3m)."),
        optional("chunk", One(S::Size), "Most bytes of one request, for proxies with a limit; costs speed."),
        optional("gate", ValueShape::Record(&GATE), "What the CVE gate lets through."),
        optional("setup", ValueShape::Record(&SETUP), "What `sockel publish --setup` brings about."),
        optional("mirrors", Map(S::Name, &List(S::Url)), "Addresses tried first for an archive of the recipes."),
        optional(
            "archive-logins",
            One(S::Reason),
            "File with logins for archives, in the form of apt's auth.conf: `machine HOST login USER password PASSWORD`.",
        ),
        optional(
            "archive-client-certificates",
            Map(S::Reason, &One(S::Reason)),
            "PEM files with client certificate and key for archives, by host.",
        ),
        optional("cache", ValueShape::Record(&CACHE), "Where results of builds are shared between machines."),
        optional("announce", Records(&RECEIVER), "Who is told of published images (CloudEvents, signed)."),
        optional("advisories", List(S::Reason), "OSV records: files, folders, all.zip archives or addresses of them."),
    ],
};

static CACHE: RecordSchema = RecordSchema {
    what: "`cache`",
    fields: &[
        required("repository", One(S::Reason), "Repository of the target's registry, with its project."),
        optional("verify", One(S::Reason), "PEM file with the Ed25519 public key of those whose entries are used."),
        optional("sign", One(S::Reason), "PEM file with the Ed25519 private key that signs entries."),
    ],
};

static RECEIVER: RecordSchema = RecordSchema {
    what: "a receiver",
    fields: &[
        required("url", One(S::Url), "Where messages are sent; nothing secret belongs into it."),
        required(
            "secret",
            One(S::Reason),
            "File with `whsec_` and a secret in Base64, or PEM file with an Ed25519 private key.",
        ),
    ],
};

static PROJECTS: RecordSchema = RecordSchema {
    what: "`projects`",
    fields: &[
        required("staging", One(S::Repository), "Project that images are pushed to and scanned in."),
        required("release", One(S::Repository), "Project that people pull from."),
    ],
};

/// Severities that can be a threshold, as Harbor names them.
const SEVERITIES: &[&str] = &["negligible", "low", "medium", "high", "critical"];

static GATE: RecordSchema = RecordSchema {
    what: "`gate`",
    fields: &[
        optional("severity", One(S::Word("severity", SEVERITIES)), "Least severity that stops an image (high)."),
        optional("fixable-only", One(S::Boolean), "Only what an update would mend stops an image."),
        optional("unrated-pass", One(S::Boolean), "What nobody has rated yet does not stop an image."),
        optional("database-age", One(S::Duration), "Oldest vulnerability database that is trusted (48h)."),
        optional(
            "unknown-database-age-pass",
            One(S::Boolean),
            "Trust a report though the scanner does not say how old its database is.",
        ),
        optional(
            "nothing-found-pass",
            One(S::Boolean),
            "Trust a report without any finding of any severity: set it once you know that the scanner supports the release.",
        ),
        optional("patience", One(S::Duration), "Longest time to wait for a scan."),
        optional("exemptions", Records(&EXEMPTION), "Vulnerabilities that are accepted for a time (Ausnahmen)."),
    ],
};

static EXEMPTION: RecordSchema = RecordSchema {
    what: "an exemption",
    fields: &[
        required("vulnerability", One(S::Vulnerability), "Identifier, such as CVE-2026-1234."),
        optional("package", One(S::Package), "Only in this package."),
        required("reason", REASON, "Why it is accepted."),
        optional("agreed-by", REASON, "Who agreed."),
        required("expires", One(S::Day), "Last day on which it holds."),
    ],
};

static SETUP: RecordSchema = RecordSchema {
    what: "`setup`",
    fields: &[
        optional("staging-storage", One(S::Size), "Quota of the staging project."),
        optional("release-storage", One(S::Size), "Quota of the release project."),
        optional("cache-storage", One(S::Size), "Quota of the shared cache's project, where it has one of its own."),
        optional(
            "cache-keep",
            One(S::Duration),
            "How long a shared result stays that nobody pulls, where the cache has a project of its own (90d).",
        ),
        optional("keep", One(S::Count), "How many images of each repository staging keeps (default 10)."),
        optional(
            "withhold",
            One(S::Word("severity", SEVERITIES)),
            "Severity from which Harbor itself refuses to hand out released images; it does not know exemptions.",
        ),
        optional("signed", One(S::Boolean), "The release project hands out signed images only."),
        optional("labels", List(S::Reason), "Labels for released images."),
        optional("robots", One(S::Reason), "Folder for the secrets of new robots; without it none are made."),
        optional(
            "robot-name",
            One(S::Reason),
            "What robots' names begin with (default sockel); another one for each registry file on the same Harbor.",
        ),
        optional("robot-validity", One(S::Duration), "How long robots are valid (default 90d)."),
        optional("webhook", One(S::Url), "Who is told of finished scans."),
    ],
};

/// A kind of YAML file with a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaKind {
    /// `recipes/<name>.yaml`.
    Recipe,
    /// `base-images/<name>.yaml`.
    BaseImage,
    /// `recipes/scripts.yaml`.
    Ledger,
    /// `base-images/registry.yaml`.
    Registry,
}

/// Returns the JSON Schema (draft 2020-12) of a kind of file, for editors. It ends with a newline.
#[must_use]
pub fn json_schema(kind: SchemaKind) -> String {
    let (record, title) = match kind {
        SchemaKind::Recipe => (&RECIPE, "sockel recipe"),
        SchemaKind::BaseImage => (&BASE_IMAGE, "sockel base image"),
        SchemaKind::Ledger => (&LEDGER, "sockel script ledger"),
        SchemaKind::Registry => (&REGISTRY, "sockel registry file"),
    };

    let mut schema = of_record(record);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(title);

    // The files are committed, so equal tables must give equal bytes.
    schema.sort_all_objects();
    format!("{schema:#}\n")
}

/// Returns the schema of a map with known keys.
fn of_record(record: &RecordSchema) -> Value {
    let mut properties = serde_json::Map::new();
    let mut required = Vec::new();
    for field in record.fields {
        let mut schema = of_shape(field.shape);
        schema["description"] = json!(field.about);
        properties.insert(field.name.to_owned(), schema);

        if field.required {
            required.push(field.name);
        }
    }

    // Editors underline a mistyped key only if no other keys are allowed.
    json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required })
}

/// Returns the schema of a value.
fn of_shape(shape: ValueShape) -> Value {
    match shape {
        One(scalar) => of_scalar(scalar),
        List(scalar) => json!({ "type": "array", "uniqueItems": true, "items": of_scalar(scalar) }),
        Words => json!({ "type": "array", "items": of_scalar(S::Text) }),
        OneOrMore(scalar) => json!({ "anyOf": [of_shape(One(scalar)), of_shape(List(scalar))] }),
        Records(record) => json!({ "type": "array", "items": of_record(record) }),
        Map(key, value) => {
            let mut names = of_scalar(key);
            // Keys are text in JSON Schema, even those that look like numbers.
            names["type"] = json!("string");
            json!({ "type": "object", "propertyNames": names, "additionalProperties": of_shape(*value) })
        }
        ValueShape::Record(record) => of_record(record),
    }
}

/// Returns the schema of a single value.
fn of_scalar(scalar: ScalarKind) -> Value {
    // Numbers are allowed beside text, because `java: 25` and `java: "25"` mean the same.
    match (scalar, scalar.pattern()) {
        (S::Boolean, _) => json!({ "type": "boolean" }),
        // the number of a format
        (S::Word(_, ["1", "2"]), _) => json!({ "enum": [1, 2] }),
        (S::Word(_, words), _) => json!({ "type": "string", "enum": words }),
        (_, Some(pattern)) => json!({ "type": ["string", "number"], "pattern": pattern }),
        (_, None) => json!({ "type": ["string", "number"] }),
    }
}
