//! OCI formats.
