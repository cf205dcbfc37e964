//! How bad a vulnerability is, in the words of scanners.

use serde::Deserialize;
use serde::Serialize;
use std::fmt;

/// A severity, in ascending order as Harbor orders them (`src/pkg/scan/vuln/report.go`: unknown ones above all).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// No vulnerability.
    None,
    /// So minor that it will not be fixed.
    Negligible,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
    /// Not rated yet.
    Unknown,
    /// A word that no scanner should say; the report cannot be judged.
    #[serde(skip_deserializing)]
    Unrecognised(String),
}

impl Severity {
    /// Reads a scanner's word; capitals do not matter.
    #[must_use]
    pub fn of(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "none" => Self::None,
            "negligible" => Self::Negligible,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "critical" => Self::Critical,
            "unknown" => Self::Unknown,
            // cut, because it is shown in messages
            _ => Self::Unrecognised(word.chars().take(40).collect()),
        }
    }

    /// Tells whether it is a rating, and not a missing or unknown one.
    #[must_use]
    pub fn is_rated(&self) -> bool {
        !matches!(self, Self::Unknown | Self::Unrecognised(_))
    }

    /// Returns Harbor's word for project settings.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Negligible => "negligible",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
            Self::Unrecognised(word) => word,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ordered() {
        let words = ["None", "Negligible", "low", "MEDIUM", "High", "Critical", "Unknown", "", "Wow"];
        let severities: Vec<Severity> = words.iter().map(|word| Severity::of(word)).collect();
        assert!(severities.is_sorted());
        let rated = severities.iter().filter(|severity| severity.is_rated()).count();
        assert_eq!(rated, 6);
        assert_eq!(Severity::of("Moderate"), Severity::Unrecognised("Moderate".to_owned()));
    }
}
