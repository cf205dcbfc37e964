//! Packages indexes (Debian repository format): from a byte stream to candidates.
