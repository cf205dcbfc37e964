//! Everything that a build needs as one OCI artifact: locks, signed indexes, keys, packages.
