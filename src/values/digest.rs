//! A SHA-256 content digest: parse it, print it, compute it while streaming.

use crate::values::hex;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use sha2::Digest as _;
use std::fmt;
use std::io;
use std::str::FromStr;

/// A SHA-256 digest, written `sha256:<64 lower-case hex digits>` as in the OCI image specification
/// (descriptor.md, "Digests").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// The text is not `sha256:` with 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a SHA-256 digest")]
pub struct InvalidDigest(pub String);

impl Digest {
    /// Returns the digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Reads 64 hexadecimal digits without a prefix, as in Release and Packages files.
    ///
    /// # Errors
    /// [`InvalidDigest`] for any other text.
    pub fn from_hex(digits: &str) -> Result<Self, InvalidDigest> {
        hex::bytes(digits).map(Self).ok_or_else(|| InvalidDigest(digits.to_owned()))
    }

    /// Returns the 64 hexadecimal digits alone.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::digits(&self.0)
    }

    /// Returns the first 12 hexadecimal digits, enough for people to tell images apart.
    #[must_use]
    pub fn short(&self) -> String {
        hex::digits(&self.0[..6])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        match text.strip_prefix("sha256:") {
            // the error names the whole text, as the reader finds it in the file
            Some(hex) => Self::from_hex(hex).map_err(|_| InvalidDigest(text.to_owned())),
            None => Err(InvalidDigest(text.to_owned())),
        }
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Computes a [`Digest`] while bytes stream by; also counts them.
#[derive(Debug, Clone, Default)]
pub struct DigestHasher {
    state: sha2::Sha256,
    length: u64,
}

impl DigestHasher {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// Returns the number of bytes so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the digest of all bytes.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(self.state.finalize().into())
    }
}

impl io::Write for DigestHasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        let digest = Digest::of(b"");
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
    }

    #[test]
    fn refuses_everything_else() {
        let short = "sha256:e3b0";
        let upper = format!("sha256:{}", "A".repeat(64));
        let other = format!("sha512:{}", "a".repeat(64));
        for text in ["", "sha256:", short, &upper, &other, &"ä".repeat(32)] {
            assert_eq!(text.parse::<Digest>(), Err(InvalidDigest(text.to_owned())));
        }
    }
}
