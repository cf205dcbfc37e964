//! The terms of an exception: why something is accepted, who agreed, and until when. Every exception of a project has
//! them: the gate's exemptions and the accepted findings of a check.

use crate::values::Epoch;
use serde::Deserialize;
use serde::Serialize;

/// Why something is accepted, by whom, and for how long. What and where stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct WaiverTerms {
    /// Why, for the next person.
    pub reason: String,
    /// Who agreed to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreed_by: Option<String>,
    /// The moment from which it no longer holds.
    pub expires: Epoch,
}

impl WaiverTerms {
    /// Tells whether they no longer hold.
    #[must_use]
    pub fn is_expired(&self, now: Epoch) -> bool {
        now >= self.expires
    }
}
