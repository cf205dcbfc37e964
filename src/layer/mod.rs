//! Packages to Tree to layers.
