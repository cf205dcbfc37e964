//! Small values that all stages share. Nothing here does input or output.

pub mod date;
pub mod diagnostic;
pub mod hex;
pub mod pem;
pub mod shown;

mod digest;
mod epoch;
mod platform;
mod secret;
mod waiver;

pub use digest::Digest;
pub use digest::DigestHasher;
pub use digest::InvalidDigest;
pub use epoch::CONTENT_MTIME;
pub use epoch::Epoch;
pub use epoch::InvalidEpoch;
pub use platform::Architecture;
pub use platform::DEBIAN_ARCHITECTURES;
pub use platform::ElfClass;
pub use platform::Platform;
pub use platform::UnknownPlatform;
pub use secret::Login;
pub use secret::Secret;
pub use secret::cover;
pub use waiver::WaiverTerms;
