//! The kinds of single values in sockel's YAML files. Each has a description, a check and a JSON Schema pattern.

use crate::apt::relation;
use crate::recipe::suggest::remedy;
use crate::tree::has_whiteout;
use crate::values::Digest;
use crate::values::Epoch;
use crate::values::Platform;
use crate::values::diagnostic::shortened;
use crate::values::shown::shown;

/// Longest value, in bytes, but for file contents: as long as a path may be (PATH_MAX of Linux).
const LONGEST: usize = 4096;

/// Longest name of a recipe or image, in bytes: it becomes a part of tags and of file names, which are limited.
const LONGEST_NAME: usize = 100;

/// Longest user or group name (useradd(8)).
const LONGEST_ACCOUNT: usize = 32;

/// Longest repository name: many clients allow 255 characters for host and name together (OCI distribution specification, "Pulling
/// manifests").
const LONGEST_REPOSITORY: usize = 255;

/// Longest tag (OCI distribution specification, "Pulling manifests").
const LONGEST_TAG: usize = 128;

/// Longest identifier of a vulnerability; those of all known lists are shorter than half of it.
const LONGEST_VULNERABILITY: usize = 64;

/// A kind of single value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScalarKind {
    /// Any text.
    Text,
    /// Text that is not blank, such as a reason or a title.
    Reason,
    /// Name of a recipe, image, archive or pocket.
    Name,
    /// Name of a parameter.
    Parameter,
    /// Value of a parameter.
    Value,
    /// A number from 1 to 100.
    Percent,
    /// Absolute path of a URL, of characters that need no escape in URLs and XML.
    UrlPath,
    /// Absolute path without `.` and `..`.
    Path,
    /// Target of a symbolic link.
    Target,
    /// Path pattern.
    Glob,
    /// Relative path of a file below the recipe's folder.
    File,
    /// Suite of an archive: a path below `dists/`, or that of a flat repository with a slash at its end.
    Suite,
    /// Octal permission bits.
    Mode,
    /// Numeric `uid:gid`.
    Owner,
    /// Numeric `uid:gid` whose uid is not root's.
    User,
    /// User or group id that is not root's.
    Id,
    /// User or group name (useradd(8)).
    Account,
    /// Duration such as `3d`, `12h`, `30m` or `45s`.
    Duration,
    /// `true` or `false`.
    Boolean,
    /// A number from 1 to 64.
    Count,
    /// Port such as `8080/tcp`.
    Port,
    /// Address of an archive.
    Url,
    /// Address template of a snapshot service.
    Snapshot,
    /// OpenPGP fingerprint.
    Fingerprint,
    /// Platform such as `linux/amd64`.
    Platform,
    /// Package relation (Debian policy 7.1) without alternatives.
    Relation,
    /// Package name (Debian policy 5.6.7).
    Package,
    /// Name of an environment variable.
    Variable,
    /// Time zone.
    Zone,
    /// Signal name or number.
    Signal,
    /// Repository name (OCI distribution specification).
    Repository,
    /// Tag template (OCI distribution specification).
    Tag,
    /// Hexadecimal SHA-256.
    Sha256,
    /// Where images are published: `https://host/project` or `oci:DIR`.
    Destination,
    /// Size such as `64MiB` or `50GiB`.
    Size,
    /// Date such as `2026-12-31`.
    Day,
    /// Identifier of a vulnerability, such as `CVE-2026-1234`.
    Vulnerability,
    /// One of these words, after a noun for them.
    Word(&'static str, &'static [&'static str]),
}

/// Why a value does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScalarMisfit {
    /// The problem in words.
    pub(crate) message: String,
    /// How to fix it; may be empty.
    pub(crate) help: String,
}

impl ScalarKind {
    /// Returns what is allowed, in words that can follow "must be".
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Reason => "text that is not empty",
            Self::Name => "a name of lower-case letters, digits, `.` and `-`",
            Self::Parameter => "a parameter name of lower-case letters, digits and `-`",
            Self::Value => "a value of letters, digits and `.`, `_`, `+`, `~`, `-`, `/`",
            Self::Percent => "a number from 1 to 100",
            Self::UrlPath => "a path such as `/health`, of letters, digits and `.`, `_`, `~`, `-`, `/`",
            Self::Path => "an absolute path without `.`, `..`, `//` and trailing `/`",
            Self::Target => "a path without line breaks",
            Self::Glob => "an absolute path pattern (`*`, `**`, `?`, `[a-z]`)",
            Self::File => "a path below the recipe's folder, without `..`",
            Self::Suite => {
                "a suite such as `trixie` or, for a flat repository, a path that ends with a slash, such as `./`"
            }
            Self::Mode => "octal permission bits such as \"0644\", without setuid and setgid",
            Self::Owner => "numeric `uid:gid` such as \"0:0\"",
            Self::User => "numeric `uid:gid` such as \"10001:10001\", never root",
            Self::Id => "a number from 1 to 4294967294",
            Self::Account => "an account name of lower-case letters, digits, `_` and `-`, at most 32 characters",
            Self::Duration => "a duration such as `3d`, `12h`, `30m`",
            Self::Boolean => "`true` or `false`",
            Self::Count => "a number from 1 to 64",
            Self::Port => "a port such as `8080/tcp` (or udp, sctp)",
            Self::Url => "an address that begins with http:// or https://",
            Self::Snapshot => "an http:// or https:// address with `{timestamp}`",
            Self::Fingerprint => "a full OpenPGP fingerprint of 40 or 64 hexadecimal digits",
            Self::Platform => {
                "a platform: linux/amd64, linux/arm64, linux/arm/v7, linux/386, linux/ppc64le, linux/riscv64 or linux/s390x"
            }
            Self::Relation => "a package such as `tomcat10` or `tomcat10 (>= 10.1)`",
            Self::Package => "a package name",
            Self::Variable => "an environment variable's name",
            Self::Zone => "a time zone such as Etc/UTC",
            Self::Signal => "a signal such as SIGTERM",
            Self::Repository => "a repository name of lower-case letters, digits, `.`, `_`, `-` and `/`",
            Self::Tag => "a tag of letters, digits, `.`, `_`, `-`, with `{fixed}`, `{version}` and `{date}`",
            Self::Sha256 => "64 lower-case hexadecimal digits",
            Self::Destination => "where images can go: `host`, `host/project` or `oci:DIR`",
            Self::Size => "a size such as `64MiB` or `50GiB`",
            Self::Day => "a date such as 2026-12-31",
            Self::Vulnerability => "an identifier such as CVE-2026-1234",
            Self::Word(..) => "one of the known words",
        }
    }

    /// Returns the pattern for editors, or `None` if any text will do. It is coarser than [`Self::check`], which decides, and
    /// lets `$` in where a reference to a parameter may be.
    pub(crate) fn pattern(self) -> Option<&'static str> {
        Some(match self {
            Self::Text | Self::Target | Self::Word(..) | Self::Boolean => return None,
            Self::Reason => r"\S",
            Self::Name => "^[a-z0-9][a-z0-9.-]*$",
            Self::Parameter => "^[a-z][a-z0-9-]*$",
            Self::Value => "^[A-Za-z0-9._+~/-]+$",
            Self::Percent => "^([1-9][0-9]?|100)$",
            Self::UrlPath => "^/",
            Self::Path | Self::Glob => "^/",
            Self::File => "^[^/]",
            Self::Suite => "^([^/]|/$)",
            Self::Mode => "^([01]?[0-7]{3}|\\$)",
            Self::Owner | Self::User => "^[0-9]+:[0-9]+$|\\$",
            Self::Id => "^[1-9][0-9]*$|\\$",
            Self::Account => "^[a-z_][a-z0-9_-]*$|\\$",
            Self::Duration => "^[0-9]+[smhd]$",
            Self::Count => "^[1-9][0-9]?$",
            Self::Port => "^[0-9]+/(tcp|udp|sctp)$|\\$",
            Self::Url | Self::Snapshot => "^https?://",
            Self::Fingerprint => "^[0-9A-Fa-f ]{40,}$",
            Self::Platform => "^linux/(amd64|arm64|arm/v7|386|ppc64le|riscv64|s390x)$",
            Self::Relation | Self::Package => "^[A-Za-z0-9$]",
            Self::Variable => "^[A-Za-z_$]",
            Self::Zone => "^[A-Za-z$]",
            Self::Signal => "^(SIG[A-Z0-9+-]+|[0-9]+)$",
            Self::Repository => "^[a-z0-9]",
            Self::Tag => "^[A-Za-z0-9_{]",
            Self::Sha256 => "^[0-9a-f]{64}$",
            Self::Destination => "^(https?://|oci:|[A-Za-z0-9[]).",
            Self::Size => "^[1-9][0-9]*[KMGT]iB$",
            Self::Day => "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
            Self::Vulnerability => "^[A-Z]{2,}-[A-Za-z0-9:-]+$",
        })
    }

    /// Checks that a value fits.
    pub(crate) fn check(self, text: &str) -> Result<(), ScalarMisfit> {
        if self.fits(text) {
            return Ok(());
        }

        Err(match self {
            Self::Word(noun, words) => ScalarMisfit {
                message: format!("unknown {noun} `{}`", quoted(text)),
                help: remedy(text, words.iter().copied()),
            },
            _ => ScalarMisfit { message: self.message(text), help: self.help(text).to_owned() },
        })
    }

    /// Tells whether an id, or the user of `uid:gid`, is that of root.
    fn is_root(self, text: &str) -> bool {
        let user = text.split(':').next().unwrap_or_default();
        matches!(self, Self::User | Self::Id) && user.parse() == Ok(0_u32)
    }

    /// Returns the message for a value that does not fit.
    fn message(self, text: &str) -> String {
        match self {
            Self::Reason => "this must not be empty".to_owned(),
            _ if self.is_root(text) => format!("`{}` is root", quoted(text)),
            Self::Path | Self::Target if has_whiteout(text) => {
                format!("`{}` is a whiteout, or below one", quoted(text))
            }
            Self::Url if has_login(text) => format!("`{}` has a login in it", quoted(text)),
            _ => format!("`{}` is not {}", quoted(text), self.description()),
        }
    }

    /// Returns the help for a value that does not fit; empty if the message says enough.
    fn help(self, text: &str) -> &'static str {
        match self {
            _ if self.is_root(text) => "images never run as root",
            Self::Mode if u32::from_str_radix(text, 8).is_ok_and(|mode| mode & 0o6000 != 0) => {
                "no setuid and setgid files in an image"
            }
            Self::Url if has_login(text) => {
                "recipes are read by everybody: put the login into apt's `auth.conf`, into `SOCKEL_ARCHIVE_LOGINS`, or into the file that `archive-logins` of the registry file names"
            }
            Self::Path | Self::Target if has_whiteout(text) => {
                "names that begin with `.wh.` delete files of lower layers: a recipe leaves files out with `exclude`"
            }
            // Kubernetes refuses an image with a user's name if the pod has `runAsNonRoot`.
            Self::User if !text.contains(':') => "numbers only: a cluster cannot check that a name is not root",
            _ => "",
        }
    }

    fn fits(self, text: &str) -> bool {
        // File contents are limited by the size of their file only.
        if self != Self::Text && text.len() > LONGEST {
            return false;
        }

        match self {
            // No argument or variable can hold a NUL (execve(2)).
            Self::Text => !text.contains('\0'),
            Self::Reason => !text.trim().is_empty() && !text.contains('\0'),
            Self::Name => is_name(text),
            Self::Parameter => text.starts_with(|c: char| c.is_ascii_lowercase()) && consists_of(text, "-"),
            Self::Value => !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._+~/-".contains(c)),
            Self::Percent => identifier(text).is_some_and(|share| (1..=100).contains(&share)),
            Self::UrlPath => is_url_path(text),
            Self::Path => is_absolute_path(text),
            Self::Target => !text.is_empty() && !text.chars().any(char::is_control) && !has_whiteout(text),
            Self::Glob => text.starts_with('/') && glob(text).is_some(),
            Self::File => is_clean(text),
            Self::Suite => {
                matches!(text, "/" | "./") || is_clean(text.strip_prefix("./").unwrap_or(text).trim_end_matches('/'))
            }
            Self::Mode => is_mode(text),
            Self::Owner => owner(text).is_some(),
            Self::User => owner(text).is_some_and(|(user, _)| user != 0),
            Self::Id => identifier(text).is_some_and(|id| id != 0),
            Self::Account => is_account(text),
            Self::Duration => duration(text).is_some(),
            Self::Boolean => matches!(text, "true" | "false"),
            Self::Count => text.parse().is_ok_and(|count: usize| (1..=64).contains(&count)),
            Self::Port => is_port(text),
            Self::Url => is_url(text),
            Self::Snapshot => text.contains("{timestamp}") && is_url(&text.replace("{timestamp}", "0")),
            Self::Fingerprint => is_fingerprint(text),
            Self::Platform => text.parse::<Platform>().is_ok(),
            Self::Relation => is_relation(text),
            Self::Package => is_package(text),
            Self::Variable => !text.is_empty() && !text.contains(['=', '\0']) && !text.contains(char::is_whitespace),
            Self::Zone => is_zone(text),
            Self::Signal => is_signal(text),
            Self::Repository => is_repository(text),
            Self::Tag => is_tag(text),
            Self::Sha256 => Digest::from_hex(text).is_ok(),
            Self::Destination => is_destination(text),
            Self::Size => size(text).is_some(),
            Self::Day => day(text).is_some(),
            Self::Vulnerability => is_vulnerability(text),
            Self::Word(_, words) => words.contains(&text),
        }
    }
}

/// Returns a text of the file as a message can quote it: short, and without characters that a terminal obeys.
fn quoted(text: &str) -> String {
    shown(&shortened(text))
}

/// Tells whether a letter is a lower-case ASCII letter or a digit.
fn is_plain(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit()
}

/// Tells whether a text has only lower-case ASCII letters, digits and the letters of `others`.
fn consists_of(text: &str, others: &str) -> bool {
    text.chars().all(|letter| is_plain(letter) || others.contains(letter))
}

fn is_name(text: &str) -> bool {
    text.starts_with(is_plain) && consists_of(text, ".-") && text.len() <= LONGEST_NAME
}

/// Tells whether a text is the name of an account as useradd(8) allows it.
fn is_account(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && consists_of(text, "_-")
        && text.len() <= LONGEST_ACCOUNT
}

fn is_absolute_path(text: &str) -> bool {
    // A whiteout would delete files of lower layers that this level does not own.
    text == "/" || text.strip_prefix('/').is_some_and(is_clean) && !has_whiteout(text)
}

/// Tells whether a text is an absolute path of unreserved characters (RFC 3986 §2.3) without empty, `.` and `..` parts.
fn is_url_path(text: &str) -> bool {
    let is_unreserved = |letter: char| letter.is_ascii_alphanumeric() || "._~-/".contains(letter);
    text.strip_prefix('/').is_some_and(is_clean) && text.chars().all(is_unreserved)
}

/// Tells whether a relative path has neither empty, `.` and `..` parts nor control characters.
fn is_clean(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.chars().any(char::is_control)
}

/// Tells whether a text is an octal mode without setuid and setgid. The sticky bit is allowed: `/tmp` needs it.
fn is_mode(text: &str) -> bool {
    text.len() <= 5 && u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o1777)
}

/// Tells whether a text is a full fingerprint, of a version 4 or a version 6 key (RFC 9580 §5.5.4).
fn is_fingerprint(text: &str) -> bool {
    // Key ids are short enough to be forged, so they pin nothing.
    let fingerprint = fingerprint(text);
    matches!(fingerprint.len(), 40 | 64) && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Tells whether a text can be a time zone: a path below `/usr/share/zoneinfo`.
fn is_zone(text: &str) -> bool {
    is_clean(text) && text.chars().all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c))
}

/// Tells whether a text is a signal's name (`SIGRTMIN+3` too) or number.
fn is_signal(text: &str) -> bool {
    // Linux has signals 1 to 64 (signal(7)).
    if text.parse().is_ok_and(|number: u8| (1..=64).contains(&number)) {
        return true;
    }

    // Only the form: which names exist depends on the architecture of the machine that runs the image.
    text.strip_prefix("SIG").is_some_and(|name| !name.is_empty())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '+' | '-'))
}

fn is_repository(text: &str) -> bool {
    // The grammar of the specification, but for the number of separators in a row, which the registry checks.
    text.len() <= LONGEST_REPOSITORY
        && text
            .split('/')
            .all(|part| part.starts_with(is_plain) && part.ends_with(is_plain) && consists_of(part, "._-"))
}

/// Tells whether a tag template gives a tag.
fn is_tag(text: &str) -> bool {
    // The shortest value stands for each placeholder; a tag that becomes too long is found when it is filled in.
    let filled = text.replace("{fixed}", "1").replace("{version}", "1").replace("{date}", "1");

    filled.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && filled.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        && filled.len() <= LONGEST_TAG
}

fn is_destination(text: &str) -> bool {
    match text.strip_prefix("oci:") {
        Some(folder) => !folder.is_empty() && !folder.contains('\0'),
        None if text.contains("://") => is_url(text),
        // what `oci::registry::address` takes without a scheme, it decides; a name alone is no host
        None => text.split('/').next().is_some_and(|host| host.contains(['.', ':']) || host == "localhost"),
    }
}

/// Compiles a path pattern: `*` and `?` match no slash, `**` does.
pub(crate) fn glob(text: &str) -> Option<globset::Glob> {
    // A backslash escapes a special letter on every system, also where it separates folders.
    globset::GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build().ok()
}

/// Reads a user or group id; 4294967295 means "unchanged" to chown(2) and is no id.
pub(crate) fn identifier(text: &str) -> Option<u32> {
    // `parse` alone would take a leading `+`.
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());

    text.parse().ok().filter(|id| is_digits && *id != u32::MAX)
}

/// Reads numeric `uid:gid`.
pub(crate) fn owner(text: &str) -> Option<(u32, u32)> {
    // Numbers only: names would depend on the accounts of the image that a file ends up in.
    let (user, group) = text.split_once(':')?;
    Some((identifier(user)?, identifier(group)?))
}

/// Reads a duration into seconds.
pub(crate) fn duration(text: &str) -> Option<u64> {
    let unit = match text.bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3_600,
        b'd' => 86_400,
        _ => return None,
    };

    let digits = &text[..text.len() - 1];
    let number: u64 = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?;

    // No duration of zero: a limit of nothing is a mistake, and would read as no limit.
    number.checked_mul(unit).filter(|seconds| *seconds > 0)
}

/// Reads a size into bytes; units are powers of 1024 (IEC 80000-13).
pub(crate) fn size(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let shift = match unit {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };

    // At most 1 EiB: registries keep quotas in signed 64-bit numbers.
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(1 << shift).filter(|bytes| (1..=1 << 60).contains(bytes))
}

/// Returns the first moment of a day in UTC.
pub(crate) fn day(text: &str) -> Option<Epoch> {
    // A text that is no date must not become a time through what is appended to it.
    let is_day = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    format!("{text}T00:00:00Z").parse().ok().filter(|_| is_day)
}

/// Tells whether a text looks like `CVE-2026-1234`, `GHSA-abcd-efgh-ijkl`, `DSA-5000-1`, …
fn is_vulnerability(text: &str) -> bool {
    let Some((list, rest)) = text.split_once('-') else { return false };

    // The list's name in capitals, then words between hyphens; Red Hat's have a colon (`RHSA-2026:1234`).
    text.len() <= LONGEST_VULNERABILITY
        && list.len() > 1
        && list.bytes().all(|byte| byte.is_ascii_uppercase())
        && rest
            .split('-')
            .all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b':'))
}

/// Returns a fingerprint in upper case without spaces, whichever way it was copied.
pub(crate) fn fingerprint(text: &str) -> String {
    text.chars().filter(|letter| *letter != ' ').map(|letter| letter.to_ascii_uppercase()).collect()
}

fn is_port(text: &str) -> bool {
    let Some((number, protocol)) = text.split_once('/') else { return false };

    identifier(number).is_some_and(|number| (1..=65_535).contains(&number))
        && matches!(protocol, "tcp" | "udp" | "sctp")
}

fn is_url(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };

    // Recipes are committed for everybody to read, so no address may carry a login. The parser drops line breaks and
    // tabs silently, hence the last check.
    matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some()
        && url.username().is_empty()
        && url.password().is_none()
        && !text.contains(char::is_whitespace)
}

/// Tells whether a text is a web address with a user or password.
fn has_login(text: &str) -> bool {
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.is_some_and(|url| !url.username().is_empty() || url.password().is_some())
}

/// Tells whether a text is a package name, as dpkg takes it: archives of others do not keep to Debian's policy.
fn is_package(text: &str) -> bool {
    text.len() >= 2 && relation::is_package_name(text)
}

/// Tells whether a text is a package name, alone or with a version in parentheses (Debian policy 7.1).
fn is_relation(text: &str) -> bool {
    let Some((name, rest)) = text.split_once(' ') else { return is_package(text) };
    if !is_package(name) {
        return false;
    }

    let Some(inner) = rest.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else { return false };
    let version = inner.trim_start_matches(['<', '>', '=']);
    let operator = &inner[..inner.len() - version.len()];
    let version = version.trim();

    // `<` and `>` alone are refused: they are deprecated and mean `<=` and `>=` to dpkg.
    matches!(operator, "<<" | "<=" | "=" | ">=" | ">>")
        && !version.is_empty()
        && version.chars().all(|c| c.is_ascii_alphanumeric() || ".+-~:".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_good_from_bad() {
        use ScalarKind as S;
        let cases: &[(ScalarKind, &[&str], &[&str])] = &[
            (S::Path, &["/", "/usr/bin/java", "/a b"], &["", "usr", "//", "/a/", "/a/../b", "/./a", "/a\nb"]),
            (S::Glob, &["/usr/**", "/a/[a-z]?*"], &["usr/*", "/a[", "/{a"]),
            (S::File, &["a", "tomcat/x.conf"], &["", "/a", "../a", "a/../b", "a//b"]),
            (S::Mode, &["644", "0644", "1777"], &["", "0888", "4755", "02755", "rw", "+644+", "10000"]),
            (S::Owner, &["0:0", "10001:10001"], &["0", "a:b", "1:", ":", "1:4294967295", "+1:1"]),
            (S::User, &["1:0", "10001:10001"], &["0:0", "00:1", "root", "10001", "app:app"]),
            (S::Id, &["1", "4294967294"], &["0", "-1", "4294967295", ""]),
            (
                S::Duration,
                &["3d", "12h", "30m", "1s"],
                &["", "3", "d", "3w", "+3d", "0d", "99999999999999999999d", "ä"],
            ),
            (S::Port, &["8080/tcp", "53/udp"], &["8080", "0/tcp", "65536/tcp", "80/http"]),
            (
                S::Url,
                &["http://archive.ubuntu.com/ubuntu"],
                &["archive", "file:///a", "http://u:p@host/", "http://a b"],
            ),
            (S::Snapshot, &["https://snapshot.ubuntu.com/ubuntu/{timestamp}/"], &["https://snapshot.ubuntu.com/"]),
            (S::Fingerprint, &["F6ECB3762474EDA9D21B7022871920D1991BC93C"], &["871920D1991BC93C", ""]),
            (
                S::Relation,
                &["libc6", "tomcat10 (>= 10.1)", "g++"],
                &["", "A", "a | b", "libc6 (> 1)", "libc6 ()", "x (>=1"],
            ),
            (S::Signal, &["SIGTERM", "SIGRTMIN+3", "15"], &["TERM", "SIG", "0", "sigterm"]),
            (S::Repository, &["tomcat", "base/tomcat"], &["", "/a", "A", "a//b"]),
            (S::Tag, &["11", "{version}-{date}", "{fixed}-debian"], &["", "-a", "{x}", "a b"]),
            (S::Zone, &["Etc/UTC"], &["../etc", "/Etc/UTC", ""]),
            (S::Account, &["app", "_apt"], &["App", "1a", ""]),
        ];
        for (scalar, good, bad) in cases {
            for text in *good {
                assert_eq!(scalar.check(text), Ok(()), "{scalar:?} {text:?}");
            }
            for text in *bad {
                assert!(scalar.check(text).is_err(), "{scalar:?} {text:?}");
            }
        }
    }
}
