//! The meaning of Harbor's refusals: a table from status, code and words to the cause, who has to act, and a hint.
//!
//! The registry under `/v2` and Harbor's own API give the same answers, so both use this table. Its rows come from real
//! answers of Harbor 2.16 and from its source. A refusal that may pass with the same input is [`Turn::Outside`]; one that
//! needs other input or settings is [`Turn::Input`]; one by a policy is [`Turn::Policy`].

use crate::fault::Turn;
use std::fmt;

/// Why Harbor refuses a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HarborRefusal {
    /// Harbor is in read-only mode.
    ReadOnly,
    /// The project's storage quota is used up.
    Quota,
    /// The project does not exist.
    NoProject,
    /// Somebody or a retention rule deleted the image.
    Gone,
    /// The account may read and write, but not delete.
    NoDeleteRight,
    /// Content trust: the image has no signature.
    Unsigned,
    /// The project's policy forbids to pull images with such vulnerabilities, or images that were not scanned.
    Withheld,
    /// The scanner does not answer.
    UnhealthyScanner,
}

/// What a cause means: whose turn it is, in words, and the remedy.
struct RefusalMeaning {
    turn: Turn,
    text: &'static str,
    hint: &'static str,
}

/// One kind of answer. An empty code or an empty list of words matches any.
struct RefusalPattern {
    status: &'static [u16],
    code: &'static str,
    words: &'static [&'static str],
    cause: HarborRefusal,
}

/// The first row that matches decides. All words of a row, in lower case, must occur in the message.
const TABLE: &[RefusalPattern] = &[
    // src/server/middleware/readonly
    RefusalPattern {
        status: &[403],
        code: "",
        words: &["system is in read only mode"],
        cause: HarborRefusal::ReadOnly,
    },
    // src/server/middleware/quota: the code alone is not enough, other denials have it as well
    RefusalPattern { status: &[403, 413], code: "", words: &["configured upper limit"], cause: HarborRefusal::Quota },
    RefusalPattern { status: &[403, 413], code: "", words: &["quota"], cause: HarborRefusal::Quota },
    // src/server/middleware/v2auth answers 401, the API 404; the words exclude a missing artifact
    RefusalPattern {
        status: &[401, 404],
        code: "",
        words: &["project ", " not found"],
        cause: HarborRefusal::NoProject,
    },
    RefusalPattern { status: &[401, 403], code: "", words: &["action: delete"], cause: HarborRefusal::NoDeleteRight },
    // src/server/middleware/quota/copy_artifact.go
    RefusalPattern {
        status: &[400],
        code: "BAD_REQUEST",
        words: &["artifact ", " not found"],
        cause: HarborRefusal::Gone,
    },
    // src/server/middleware/contenttrust, src/server/middleware/vulnerable
    RefusalPattern {
        status: &[412],
        code: "PROJECTPOLICYVIOLATION",
        words: &["not signed"],
        cause: HarborRefusal::Unsigned,
    },
    RefusalPattern { status: &[412], code: "PROJECTPOLICYVIOLATION", words: &[], cause: HarborRefusal::Withheld },
];

impl RefusalPattern {
    /// Tells whether an answer is of this kind. `message` is in lower case.
    fn matches(&self, status: u16, code: &str, message: &str) -> bool {
        self.status.contains(&status)
            && (self.code.is_empty() || self.code == code)
            && self.words.iter().all(|word| message.contains(word))
    }
}

impl HarborRefusal {
    /// Returns the cause of a refusal, if the table has it.
    #[must_use]
    pub fn of(status: u16, code: &str, message: &str) -> Option<Self> {
        let message = message.to_ascii_lowercase();
        TABLE.iter().find(|row| row.matches(status, code, &message)).map(|row| row.cause)
    }

    /// Tells who has to act.
    #[must_use]
    pub fn turn(self) -> Turn {
        self.meaning().turn
    }

    /// Returns what a person can do about it.
    #[must_use]
    pub fn hint(self) -> &'static str {
        self.meaning().hint
    }

    /// Returns what a cause means.
    fn meaning(self) -> RefusalMeaning {
        // an administrator, a retention rule or a restart changes what is `Outside` without any change here
        let (turn, text, hint) = match self {
            Self::ReadOnly => (
                Turn::Outside,
                "Harbor is in read-only mode",
                "wait until Harbor's administrator ends the read-only mode",
            ),
            Self::Quota => (
                Turn::Outside,
                "the project's storage quota is used up",
                "enlarge the project's quota, or delete artifacts and run Harbor's garbage collection",
            ),
            Self::NoProject => (
                Turn::Input,
                "there is no such project",
                "check the project's name; `sockel publish --setup` creates projects",
            ),
            Self::Gone => (
                Turn::Outside,
                "the image no longer exists",
                "somebody or a retention rule deleted it: publish again, and have staging keep more (`keep` in `setup`)",
            ),
            Self::NoDeleteRight => (
                Turn::Input,
                "the account may not delete anything in this project",
                "give the account the right `repository: delete` in this project; `sockel publish --setup` gives it for the shared cache",
            ),
            Self::Unsigned => (
                Turn::Policy,
                "Harbor hands out signed images only, and this one is not signed",
                "sign the image, or take `signed` out of `setup`: the project hands out signed images only",
            ),
            Self::Withheld => (
                Turn::Policy,
                "Harbor withholds the image because of its vulnerabilities",
                "the project's allow-list lacks what the gate exempts: `sockel publish --setup` brings it up to date",
            ),
            Self::UnhealthyScanner => (
                Turn::Outside,
                "Harbor's scanner does not answer",
                "restart Harbor's scanner: its state is shown at \"Interrogation Services\"",
            ),
        };
        RefusalMeaning { turn, text, hint }
    }
}

impl fmt::Display for HarborRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.meaning().text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status, code and message as a Harbor 2.16 gave them.
    #[test]
    fn real_answers_have_causes() {
        let quota = "adding 3.0 MiB of storage resource, which when updated to current usage of 0 B will exceed the configured upper limit of 1.0 MiB.";
        let withheld = "current image with 2 vulnerabilities cannot be pulled due to configured policy in 'Prevent images with vulnerability severity of \"Critical\" or higher from running.'";
        let (input, outside, policy) = (Turn::Input, Turn::Outside, Turn::Policy);
        let table = [
            (403, "DENIED", "The system is in read only mode. Any modification is prohibited.", "read-only", outside),
            (403, "DENIED", quota, "quota", outside),
            (413, "DENIED", "quota exceeded", "quota", outside),
            (401, "UNAUTHORIZED", "project absent not found: project absent not found", "no such project", input),
            (404, "NOT_FOUND", "project nope not found", "no such project", input),
            (401, "UNAUTHORIZED", "unauthorized to access repository: a/b, action: delete", "delete", input),
            (400, "BAD_REQUEST", "artifact t1/a/b:nope not found", "no longer exists", outside),
            (412, "PROJECTPOLICYVIOLATION", "The image is not signed by cosign.", "not signed", policy),
            (412, "PROJECTPOLICYVIOLATION", withheld, "withholds", policy),
        ];
        for (status, code, message, words, turn) in table {
            let cause = HarborRefusal::of(status, code, message).unwrap();
            assert!(cause.to_string().contains(words) && cause.turn() == turn && !cause.hint().is_empty(), "{message}");
        }
        let others = [
            (403, "FORBIDDEN", "forbidden"),
            (404, "NOT_FOUND", "artifact t1/a/b:nope not found"),
            (412, "PRECONDITION", "the tag 1 configured as immutable, cannot be updated"),
            (400, "BAD_REQUEST", "unsupported label scope"),
            (401, "UNAUTHORIZED", "unauthorized"),
            (500, "UNKNOWN", "the system is in read only mode"),
            (412, "", ""),
        ];
        for (status, code, message) in others {
            assert_eq!(HarborRefusal::of(status, code, message), None, "{message}");
        }
    }
}
