//! An application image onto a patched base, without rebuilding it.
