//! The kinds of single values in our YAML files: what each allows, in words, as a check and as a JSON Schema pattern.

use crate::recipe::suggest::remedy;
use crate::tree::has_whiteout;
use crate::values::Digest;
use crate::values::Epoch;
use crate::values::Platform;
use crate::values::diagnostic::shortened;
use crate::values::shown::shown;

/// Longest value that is looked at, in bytes; file contents may be longer.
const LONGEST: usize = 4096;

/// A kind of single value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar {
    /// Any text.
    Text,
    /// Text that is not blank: reasons, titles.
    Reason,
    /// Name of a recipe, image, archive or pocket.
    Name,
    /// Name of a parameter.
    Parameter,
    /// Value of a parameter.
    Value,
    /// Absolute path without `.` and `..`.
    Path,
    /// Target of a symbolic link.
    Target,
    /// Path pattern.
    Glob,
    /// Path below the recipe's folder.
    File,
    /// Octal permission bits.
    Mode,
    /// Numeric `uid:gid`.
    Owner,
    /// Numeric `uid:gid` with a uid that is not root's.
    User,
    /// User or group id that is not root's.
    Id,
    /// User or group name (useradd(8)).
    Account,
    /// `3d`, `12h`, `30m`, `45s`.
    Duration,
    /// `true` or `false`.
    Boolean,
    /// A small number.
    Count,
    /// `8080/tcp`.
    Port,
    /// Address of an archive.
    Url,
    /// Address pattern of a snapshot service.
    Snapshot,
    /// OpenPGP fingerprint.
    Fingerprint,
    /// `linux/amd64`.
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
    /// Tag pattern (OCI distribution specification).
    Tag,
    /// Hexadecimal SHA-256.
    Sha256,
    /// `https://host/project` or `oci:DIR`.
    Destination,
    /// `64MiB`, `50GiB`.
    Size,
    /// `2026-12-31`.
    Day,
    /// `CVE-2026-1234` and identifiers of other lists.
    Vulnerability,
    /// One of these words; first what they are.
    Word(&'static str, &'static [&'static str]),
}

/// Why a value does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// What is wrong.
    pub(crate) message: String,
    /// What would be right; may be empty.
    pub(crate) help: String,
}

impl Scalar {
    /// Says what is allowed, to stand behind "must be".
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Reason => "text that is not empty",
            Self::Name => "a name of lower-case letters, digits, `.` and `-`",
            Self::Parameter => "a parameter name of lower-case letters, digits and `-`",
            Self::Value => "a value of letters, digits and `.`, `_`, `+`, `~`, `-`",
            Self::Path => "an absolute path without `.`, `..`, `//` and trailing `/`",
            Self::Target => "a path without line breaks",
            Self::Glob => "an absolute path pattern (`*`, `**`, `?`, `[a-z]`)",
            Self::File => "a path below the recipe's folder, without `..`",
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
            Self::Platform => "a platform: linux/amd64 or linux/arm64",
            Self::Relation => "a package such as `tomcat10` or `tomcat10 (>= 10.1)`",
            Self::Package => "a package name",
            Self::Variable => "an environment variable's name",
            Self::Zone => "a time zone such as Etc/UTC",
            Self::Signal => "a signal such as SIGTERM",
            Self::Repository => "a repository name of lower-case letters, digits, `.`, `_`, `-` and `/`",
            Self::Tag => "a tag of letters, digits, `.`, `_`, `-`, with `{fixed}`, `{version}` and `{date}`",
            Self::Sha256 => "64 lower-case hexadecimal digits",
            Self::Destination => "where images can go: `https://host`, `https://host/project` or `oci:DIR`",
            Self::Size => "a size such as `64MiB` or `50GiB`",
            Self::Day => "a date such as 2026-12-31",
            Self::Vulnerability => "an identifier such as CVE-2026-1234",
            Self::Word(..) => "one of the known words",
        }
    }

    /// Returns the pattern for editors; `None` where any text will do. Coarser than [`Self::check`] in places.
    pub(crate) fn pattern(self) -> Option<&'static str> {
        Some(match self {
            Self::Text | Self::Target | Self::Word(..) | Self::Boolean => return None,
            Self::Reason => r"\S",
            Self::Name => "^[a-z0-9][a-z0-9.-]*$",
            Self::Parameter => "^[a-z][a-z0-9-]*$",
            Self::Value => "^[A-Za-z0-9._+~-]+$",
            Self::Path | Self::Glob => "^/",
            Self::File => "^[^/]",
            Self::Mode => "^([01]?[0-7]{3}|\\$)",
            Self::Owner | Self::User => "^[0-9]+:[0-9]+$|\\$",
            Self::Id => "^[1-9][0-9]*$|\\$",
            Self::Account => "^[a-z_][a-z0-9_-]*$|\\$",
            Self::Duration => "^[0-9]+[smhd]$",
            Self::Count => "^[1-9][0-9]?$",
            Self::Port => "^[0-9]+/(tcp|udp|sctp)$|\\$",
            Self::Url | Self::Snapshot => "^https?://",
            Self::Fingerprint => "^[0-9A-Fa-f ]{40,}$",
            Self::Platform => "^linux/(amd64|arm64)$",
            Self::Relation | Self::Package => "^[a-z0-9$]",
            Self::Variable => "^[A-Za-z_$]",
            Self::Zone => "^[A-Za-z$]",
            Self::Signal => "^(SIG[A-Z0-9+-]+|[0-9]+)$",
            Self::Repository => "^[a-z0-9]",
            Self::Tag => "^[A-Za-z0-9_{]",
            Self::Sha256 => "^[0-9a-f]{64}$",
            Self::Destination => "^(https?://|oci:).",
            Self::Size => "^[1-9][0-9]*[KMGT]iB$",
            Self::Day => "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
            Self::Vulnerability => "^[A-Z]{2,}-[A-Za-z0-9:-]+$",
        })
    }

    /// Tells whether a value fits.
    pub(crate) fn check(self, text: &str) -> Result<(), Misfit> {
        if let Self::Word(what, words) = self {
            if words.contains(&text) {
                return Ok(());
            }
            let help = remedy(text, words.iter().copied());
            return Err(Misfit { message: format!("unknown {what} `{}`", quoted(text)), help });
        }
        if self.fits(text) {
            return Ok(());
        }
        let message = match self {
            Self::Reason => "this must not be empty".to_owned(),
            Self::User | Self::Id if text.split(':').next().is_some_and(|id| id.parse() == Ok(0_u32)) => {
                format!("`{}` is root", quoted(text))
            }
            Self::Path | Self::Target if has_whiteout(text) => {
                format!("`{}` is a whiteout, or below one", quoted(text))
            }
            _ => format!("`{}` is not {}", quoted(text), self.words()),
        };
        let help = match self {
            Self::Mode if u32::from_str_radix(text, 8).is_ok_and(|mode| mode & 0o6000 != 0) => {
                "no setuid and setgid files in an image".to_owned()
            }
            Self::Path | Self::Target if has_whiteout(text) => {
                "names that begin with `.wh.` delete files of lower layers: a recipe leaves files out with `exclude`"
                    .to_owned()
            }
            Self::User if text.parse() != Ok(0_u32) && !text.contains(':') => {
                "numbers only: a cluster cannot check that a name is not root".to_owned()
            }
            Self::User | Self::Id if message.ends_with("is root") => "images never run as root".to_owned(),
            _ => String::new(),
        };
        Err(Misfit { message, help })
    }

    fn fits(self, text: &str) -> bool {
        let only = |allowed: fn(char) -> bool| !text.is_empty() && text.chars().all(allowed);
        let begins = |allowed: fn(char) -> bool| text.chars().next().is_some_and(allowed);
        if self != Self::Text && text.len() > LONGEST {
            return false;
        }
        match self {
            Self::Text => !text.contains('\0'),
            Self::Reason => !text.trim().is_empty() && !text.contains('\0'),
            Self::Name => begins(plain) && only(|c| plain(c) || matches!(c, '.' | '-')) && text.len() <= 100,
            Self::Parameter => begins(|c| c.is_ascii_lowercase()) && only(|c| plain(c) || c == '-'),
            Self::Value => only(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '~' | '-')),
            Self::Path => text == "/" || text.strip_prefix('/').is_some_and(is_clean) && !has_whiteout(text),
            Self::Target => !text.is_empty() && !text.chars().any(char::is_control) && !has_whiteout(text),
            Self::Glob => text.starts_with('/') && glob(text).is_some(),
            Self::File => is_clean(text),
            Self::Mode => text.len() <= 5 && u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o1777),
            Self::Owner => owner(text).is_some(),
            Self::User => owner(text).is_some_and(|(user, _)| user != 0),
            Self::Id => identifier(text).is_some_and(|id| id != 0),
            Self::Account => {
                begins(|c| c.is_ascii_lowercase() || c == '_')
                    && only(|c| plain(c) || matches!(c, '_' | '-'))
                    && text.len() <= 32
            }
            Self::Duration => duration(text).is_some(),
            Self::Boolean => matches!(text, "true" | "false"),
            Self::Count => text.parse().is_ok_and(|count: usize| (1..=64).contains(&count)),
            Self::Port => is_port(text),
            Self::Url => is_url(text),
            Self::Snapshot => text.contains("{timestamp}") && is_url(&text.replace("{timestamp}", "0")),
            Self::Fingerprint => matches!(fingerprint(text).len(), 40 | 64) && hexadecimal(&fingerprint(text)),
            Self::Platform => text.parse::<Platform>().is_ok(),
            Self::Relation => is_relation(text),
            Self::Package => is_package(text),
            Self::Variable => !text.is_empty() && !text.contains(['=', '\0']) && !text.contains(char::is_whitespace),
            Self::Zone => is_clean(text) && only(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '+' | '-')),
            Self::Signal => {
                text.strip_prefix("SIG").is_some_and(|name| !name.is_empty())
                    && only(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '+' | '-'))
                    || text.parse().is_ok_and(|number: u8| (1..=64).contains(&number))
            }
            Self::Repository => {
                text.len() <= 255
                    && text.split('/').all(|part| {
                        part.starts_with(plain)
                            && part.ends_with(plain)
                            && part.chars().all(|c| plain(c) || matches!(c, '.' | '_' | '-'))
                    })
            }
            Self::Tag => {
                let filled = text.replace("{fixed}", "1").replace("{version}", "1").replace("{date}", "1");
                filled.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                    && filled.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
                    && filled.len() <= 128
            }
            Self::Sha256 => Digest::from_hex(text).is_ok(),
            Self::Destination => {
                text.strip_prefix("oci:").is_some_and(|folder| !folder.is_empty() && !folder.contains('\0'))
                    || is_url(text)
            }
            Self::Size => size(text).is_some(),
            Self::Day => day(text).is_some(),
            Self::Vulnerability => is_vulnerability(text),
            Self::Word(_, words) => words.contains(&text),
        }
    }
}

fn quoted(text: &str) -> String {
    shown(&shortened(text))
}

fn plain(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit()
}

fn hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Tells whether a relative path has neither empty, `.` and `..` parts nor control characters.
fn is_clean(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.chars().any(char::is_control)
}

/// Compiles a path pattern: `*` and `?` stop at slashes, `**` does not.
pub(crate) fn glob(text: &str) -> Option<globset::Glob> {
    globset::GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build().ok()
}

/// Reads a user or group id; 4294967295 means "unchanged" to chown(2) and is no id.
pub(crate) fn identifier(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
}

/// Reads numeric `uid:gid`.
pub(crate) fn owner(text: &str) -> Option<(u32, u32)> {
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
    number.checked_mul(unit).filter(|seconds| *seconds > 0)
}

/// Returns bytes; units are powers of 1024 (IEC 80000-13).
pub(crate) fn size(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let shift = match unit {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(1 << shift).filter(|bytes| (1..=1 << 60).contains(bytes))
}

/// Returns the first moment of a day in UTC.
pub(crate) fn day(text: &str) -> Option<Epoch> {
    let is_day = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    format!("{text}T00:00:00Z").parse().ok().filter(|_| is_day)
}

/// Tells whether a text looks like `CVE-2026-1234`, `GHSA-abcd-efgh-ijkl`, `DSA-5000-1`, …
fn is_vulnerability(text: &str) -> bool {
    let word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b':');
    let kind = text.split('-').next().unwrap_or_default();
    text.len() <= 64
        && text.split('-').count() > 1
        && text.split('-').all(word)
        && kind.len() > 1
        && kind.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Writes a fingerprint as archives give it: upper case, no spaces.
pub(crate) fn fingerprint(text: &str) -> String {
    text.chars().filter(|letter| *letter != ' ').map(|letter| letter.to_ascii_uppercase()).collect()
}

fn is_port(text: &str) -> bool {
    text.split_once('/').is_some_and(|(number, protocol)| {
        identifier(number).is_some_and(|number| (1..=65_535).contains(&number))
            && matches!(protocol, "tcp" | "udp" | "sctp")
    })
}

fn is_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && !text.contains(char::is_whitespace)
    })
}

fn is_package(text: &str) -> bool {
    text.len() >= 2 && text.starts_with(plain) && text.chars().all(|c| plain(c) || matches!(c, '+' | '-' | '.'))
}

fn is_relation(text: &str) -> bool {
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    if !is_package(name) || rest.is_empty() {
        return is_package(name) && name == text;
    }
    let Some(inner) = rest.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else { return false };
    let version = inner.trim_start_matches(['<', '>', '=']);
    let operator = &inner[..inner.len() - version.len()];
    let version = version.trim();
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '~' | ':');
    matches!(operator, "<<" | "<=" | "=" | ">=" | ">>") && !version.is_empty() && version.chars().all(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_good_from_bad() {
        use Scalar as S;
        let cases: &[(Scalar, &[&str], &[&str])] = &[
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
