//! A registry, a token server and a Harbor on loopback that fail on request and remember what was asked.
//!
//! ```ignore
//! let registry = Registry::start().with_tokens(Tokens::new().user("robot$ci", "secret", &["staging"]));
//! registry.fault(Fault::new("PUT", "/v2/*/blobs/uploads/*", Trouble::CutRequest(70_000)).times(2));
//! // … push to registry.url() …
//! assert_eq!(registry.tags("staging/base"), ["1"]);
//! assert_eq!(registry.log().count("PUT", "/v2/*/manifests/*"), 1);
//! ```

pub(crate) mod client;
pub(crate) mod contents;
pub(crate) mod distribution;
pub(crate) mod faults;
mod handle;
pub(crate) mod harbor;
mod immutable;
pub(crate) mod log;
pub(crate) mod message;
mod record;
pub(crate) mod server;
pub(crate) mod token;
pub(crate) mod uploads;

pub(crate) use crate::support::registry::faults::Fault;
pub(crate) use crate::support::registry::faults::Trouble;
pub(crate) use crate::support::registry::handle::Registry;
pub(crate) use crate::support::registry::harbor::Course;
pub(crate) use crate::support::registry::harbor::Harbor;
pub(crate) use crate::support::registry::harbor::Report;
pub(crate) use crate::support::registry::message::Response;
pub(crate) use crate::support::registry::token::Manner;
pub(crate) use crate::support::registry::token::Tokens;
pub(crate) use crate::support::registry::uploads::Location;
