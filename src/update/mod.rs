//! Conductor: patches in the archives to published images, by themselves.
