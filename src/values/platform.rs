//! The platforms that images are built for, in OCI's and in Debian's spelling.

use serde::Deserialize;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// A processor architecture that images are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    /// x86-64, Debian `amd64`.
    Amd64,
    /// 64-bit Arm, Debian `arm64`.
    Arm64,
    /// 32-bit Arm with floating point, Debian `armhf`.
    Armhf,
    /// 32-bit x86, Debian `i386`.
    I386,
    /// 64-bit POWER, little endian, Debian `ppc64el`.
    Ppc64el,
    /// 64-bit RISC-V, Debian `riscv64`.
    Riscv64,
    /// 64-bit IBM Z, Debian `s390x`.
    S390x,
}

/// What names and formats an architecture has.
struct ArchitectureFacts {
    architecture: Architecture,
    debian: &'static str,
    /// OCI's name (`GOARCH`), and the variant where one is written.
    oci: (&'static str, Option<&'static str>),
    triplet: &'static str,
    elf: ElfClass,
}

/// How programs of an architecture are written (System V ABI, chapter 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElfClass {
    /// `e_machine`
    pub machine: u16,
    /// Words have 64 bits, not 32.
    pub is_64: bool,
    /// The most important byte comes first.
    pub is_big_endian: bool,
    /// Flags of its libraries in ld.so.cache (glibc, `ldconfig.h`).
    pub cache_flags: u32,
}

/// Returns one line of the table.
const fn row(
    architecture: Architecture,
    debian: &'static str,
    oci: (&'static str, Option<&'static str>),
    triplet: &'static str,
    elf: ElfClass,
) -> ArchitectureFacts {
    ArchitectureFacts { architecture, debian, oci, triplet, elf }
}

/// Returns the ELF class of an architecture with 64 bits, the least important byte first.
const fn elf64(machine: u16, cache_flags: u32) -> ElfClass {
    ElfClass { machine, is_64: true, is_big_endian: false, cache_flags }
}

/// Returns the ELF class of an architecture with 32 bits, the least important byte first.
const fn elf32(machine: u16, cache_flags: u32) -> ElfClass {
    ElfClass { is_64: false, ..elf64(machine, cache_flags) }
}

/// Everything that is known about architectures, in the order of [`Architecture`]: a new one is a line here and there.
//
// arm64 is `v8` by convention (image-spec image-index.md, "Platform Variants"); Debian's armhf needs `v7`.
const TABLE: [ArchitectureFacts; 7] = [
    row(Architecture::Amd64, "amd64", ("amd64", None), "x86_64-linux-gnu", elf64(62, 0x0303)),
    row(Architecture::Arm64, "arm64", ("arm64", Some("v8")), "aarch64-linux-gnu", elf64(183, 0x0a03)),
    row(Architecture::Armhf, "armhf", ("arm", Some("v7")), "arm-linux-gnueabihf", elf32(40, 0x0903)),
    row(Architecture::I386, "i386", ("386", None), "i386-linux-gnu", elf32(3, 0x0003)),
    row(Architecture::Ppc64el, "ppc64el", ("ppc64le", None), "powerpc64le-linux-gnu", elf64(21, 0x0503)),
    row(Architecture::Riscv64, "riscv64", ("riscv64", None), "riscv64-linux-gnu", elf64(243, 0x1003)),
    row(
        Architecture::S390x,
        "s390x",
        ("s390x", None),
        "s390x-linux-gnu",
        ElfClass { is_big_endian: true, ..elf64(22, 0x0403) },
    ),
];

/// Debian's names of all architectures.
pub const DEBIAN_ARCHITECTURES: [&str; TABLE.len()] = {
    let mut names = [""; TABLE.len()];
    let mut number = 0;
    while number < TABLE.len() {
        names[number] = TABLE[number].debian;
        number += 1;
    }
    names
};

impl Architecture {
    fn facts(self) -> &'static ArchitectureFacts {
        // the table is in the order of the variants, which a test holds
        &TABLE[self as usize]
    }

    /// Returns Debian's name.
    #[must_use]
    pub fn debian(self) -> &'static str {
        self.facts().debian
    }

    /// Returns OCI's name (`GOARCH`).
    #[must_use]
    pub fn oci(self) -> &'static str {
        self.facts().oci.0
    }

    /// Returns the multiarch tuple that names library folders (Debian policy, multiarch).
    #[must_use]
    pub fn triplet(self) -> &'static str {
        self.facts().triplet
    }

    /// Returns the OCI variant, where one is written: arm64 is `v8` by convention, amd64 has none.
    #[must_use]
    pub fn variant(self) -> Option<&'static str> {
        self.facts().oci.1
    }

    /// Returns how its programs are written.
    #[must_use]
    pub fn elf(self) -> ElfClass {
        self.facts().elf
    }
}

/// An operating system and architecture, written `linux/amd64` (OCI image-index, `platform`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Platform(pub Architecture);

/// The text does not name a supported platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a supported platform ({names})", names = Platform::names().join(", "))]
pub struct UnknownPlatform(pub String);

impl Platform {
    /// Returns the architecture.
    #[must_use]
    pub fn architecture(self) -> Architecture {
        self.0
    }

    /// Returns the names of all platforms.
    #[must_use]
    pub fn names() -> Vec<String> {
        TABLE.iter().map(|facts| Self(facts.architecture).to_string()).collect()
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, variant) = self.0.facts().oci;
        match variant {
            // without a variant, arm64 is v8 and arm could be anything
            Some(variant) if self.0 != Architecture::Arm64 => write!(f, "linux/{name}/{variant}"),
            _ => write!(f, "linux/{name}"),
        }
    }
}

impl FromStr for Platform {
    type Err = UnknownPlatform;

    fn from_str(text: &str) -> Result<Self, UnknownPlatform> {
        // image indexes of others spell the variant of arm64 out, sockel's own text leaves it out
        let name = if text == "linux/arm64/v8" { "linux/arm64" } else { text };
        let mut all = TABLE.iter().map(|facts| Self(facts.architecture));
        all.find(|platform| platform.to_string() == name).ok_or_else(|| UnknownPlatform(text.to_owned()))
    }
}

impl TryFrom<String> for Platform {
    type Error = UnknownPlatform;

    fn try_from(text: String) -> Result<Self, UnknownPlatform> {
        text.parse()
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> Self {
        platform.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_found() {
        for (number, facts) in TABLE.iter().enumerate() {
            assert_eq!(facts.architecture as usize, number);
            let platform = Platform(facts.architecture);
            assert_eq!(platform.to_string().parse(), Ok(platform));
            assert_eq!(platform.architecture().debian(), DEBIAN_ARCHITECTURES[number]);
        }
        let names = [
            "linux/amd64",
            "linux/arm64",
            "linux/arm/v7",
            "linux/386",
            "linux/ppc64le",
            "linux/riscv64",
            "linux/s390x",
        ];
        assert_eq!(Platform::names(), names);
        assert_eq!("linux/arm64/v8".parse(), Ok(Platform(Architecture::Arm64)));
        for unknown in ["linux/arm", "linux/arm/v6", "linux/mips", "linux/ppc64el", "windows/amd64", "amd64", ""] {
            assert!(unknown.parse::<Platform>().is_err(), "{unknown}");
        }
    }
}
