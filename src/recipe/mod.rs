//! YAML to Definition.
mod definition;
mod diagnostic;
mod parse;
mod source;
mod suggest;
pub use definition::*;
pub use diagnostic::Diagnostic;
pub use diagnostic::Severity;
