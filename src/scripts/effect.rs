//! Effects of scripts: what an installation may change, in one line each.

use crate::scripts::value::NAME;
use crate::scripts::value::UNKNOWN;
use crate::values::Digest;
use crate::values::shown::shown;
use std::fmt;

/// Longest effect that is written out. Longer ones end with the digest of the whole, so that they stay different.
const LONGEST: usize = 240;

/// How an effect is written where a part of it is unknown. No pattern covers this but itself.
pub const UNKNOWN_PART: &str = "<?>";

/// Something that the installation of a package may change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScriptEffect {
    /// What kind of change.
    pub kind: EffectKind,
    /// What is changed, and how: `/etc/localtime -> /usr/share/zoneinfo/Etc/UTC`. [`UNKNOWN_PART`] stands for anything,
    /// `*` for a name of a file.
    pub what: String,
}

/// Kinds of effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EffectKind {
    /// A user account, with its home.
    Account,
    /// A group, or a member of it.
    Group,
    /// A folder.
    Folder,
    /// A file that is written or changed.
    File,
    /// A symbolic or hard link, `path -> target`.
    Link,
    /// Owner or group of a path.
    Owner,
    /// Mode of a path.
    Mode,
    /// A file that is copied or moved to a path, `path <- source`.
    Copy,
    /// Files that a known generator writes from what is installed.
    Generated,
    /// An entry of the alternatives system.
    Alternative,
    /// A diversion of dpkg.
    Diversion,
    /// Owner and mode that dpkg keeps for a path.
    Statoverride,
    /// A service that is enabled, started or stopped.
    Service,
    /// A cache or index that programs can make again.
    Cache,
    /// File capabilities.
    Capability,
    /// A path that is removed.
    Removal,
    /// A trigger of dpkg.
    Trigger,
    /// A question or an answer of debconf.
    Debconf,
    /// A connection to another machine.
    Network,
    /// Something that is not understood, with its arguments.
    Runs,
}

impl EffectKind {
    /// Returns the word for the kind.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Group => "group",
            Self::Folder => "folder",
            Self::File => "file",
            Self::Link => "link",
            Self::Owner => "owner",
            Self::Mode => "mode",
            Self::Copy => "copy",
            Self::Generated => "generated",
            Self::Alternative => "alternative",
            Self::Diversion => "diversion",
            Self::Statoverride => "statoverride",
            Self::Service => "service",
            Self::Cache => "cache",
            Self::Capability => "capability",
            Self::Removal => "removal",
            Self::Trigger => "trigger",
            Self::Debconf => "debconf",
            Self::Network => "network",
            Self::Runs => "runs",
        }
    }
}

impl ScriptEffect {
    /// Makes an effect from words of a script.
    pub(crate) fn new(kind: EffectKind, what: &str) -> Self {
        let mut text = String::with_capacity(what.len());
        let mut last = ' ';
        for character in what.chars() {
            match character {
                // several unknown parts side by side say no more than one
                UNKNOWN if last == UNKNOWN => (),
                UNKNOWN => text.push_str(UNKNOWN_PART),
                NAME => text.push('*'),
                other => text.push(other),
            }
            last = character;
        }

        // a line break or another sign within an effect must not make it look like two, or like another one
        let mut what = shown(&text);
        if what.chars().count() > LONGEST {
            let digest = Digest::of(what.as_bytes()).hex();
            let start: String = what.chars().take(LONGEST / 2).collect();
            // what is unknown in the part that is left out stays visible
            let hidden = what.contains(UNKNOWN_PART) && !start.contains(UNKNOWN_PART);
            let unknown = if hidden { UNKNOWN_PART } else { "" };
            what = format!("{start} … {unknown}sha256:{}", &digest[..16]);
        }
        Self { kind, what }
    }
}

impl fmt::Display for ScriptEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.word(), self.what)
    }
}
