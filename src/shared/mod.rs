//! Results of builds, kept in the registry: an empty machine finds what another one has built.
