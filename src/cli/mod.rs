//! The edge: flags, terminal, exit codes.
