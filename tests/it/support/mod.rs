//! What tests stand on: signed archives, loopback servers, a registry, a Harbor.

pub(crate) mod archive;
pub(crate) mod deb;
pub(crate) mod edits;
pub(crate) mod elf;
pub(crate) mod fresh;
pub(crate) mod http;
pub(crate) mod image;
pub(crate) mod openpgp;
pub(crate) mod plant;
pub(crate) mod project;
pub(crate) mod registry;
pub(crate) mod repository;
pub(crate) mod shipped;
