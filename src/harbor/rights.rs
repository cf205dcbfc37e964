//! The rights that publishing needs, each with the call that fails without it: one table for the robots that the setup
//! makes, for the question that is asked before anything is sent, and for the test that takes each right away.
//!
//! Words for rights are those of Harbor's `src/common/rbac/const.go`; which call needs which right says
//! `src/server/v2.0/handler`, and for the registry under `/v2` `src/server/middleware/v2auth/access.go`.

use std::fmt;

/// A right, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RightUse {
    /// What is accessed, in Harbor's word.
    pub resource: &'static str,
    /// How it is accessed, in Harbor's word.
    pub action: &'static str,
    /// Method and path of a call that Harbor refuses without it; `*` stands for anything.
    pub call: &'static str,
    /// What cannot be done without it: completes "to …".
    pub purpose: &'static str,
    /// Without it nothing is published. Otherwise publishing takes longer, or explains less.
    pub is_vital: bool,
}

impl fmt::Display for RightUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}: {}` to {}", self.resource, self.action, self.purpose)
    }
}

/// The rights of one robot, by place.
#[derive(Debug, Clone, Copy)]
pub struct RobotRights {
    /// In the project that images are pushed to and judged in.
    pub staging: &'static [RightUse],
    /// In the project that people pull from.
    pub release: &'static [RightUse],
    /// In the project of the shared cache.
    pub cache: &'static [RightUse],
    /// In no project.
    pub system: &'static [RightUse],
}

/// A right without which nothing is published.
const fn vital(access: [&'static str; 2], call: &'static str, purpose: &'static str) -> RightUse {
    RightUse { resource: access[0], action: access[1], call, purpose, is_vital: true }
}

/// A right that only helps.
const fn helpful(access: [&'static str; 2], call: &'static str, purpose: &'static str) -> RightUse {
    RightUse { resource: access[0], action: access[1], call, purpose, is_vital: false }
}

/// The rights of the robot that pushes to staging and has images scanned there.
pub const PIPELINE: RobotRights = RobotRights {
    staging: &[
        vital(["project", "read"], "GET /api/v2.0/projects/*", "find the project"),
        vital(["quota", "read"], "GET /api/v2.0/projects/*/summary", "see whether images have room"),
        vital(["repository", "pull"], "HEAD /v2/*", "see what is there already"),
        vital(["repository", "push"], "POST /v2/*/blobs/uploads/*", "push images"),
        vital(["artifact", "read"], "GET */artifacts/*", "follow a scan"),
        vital(["scanner", "read"], "GET /api/v2.0/projects/*/scanner", "find the scanner"),
        vital(["scan", "create"], "POST */scan", "start scans"),
        vital(["artifact-addition", "read"], "GET */additions/vulnerabilities", "read reports"),
        helpful(["scan", "read"], "GET */scan/*/log", "show the log of a scan that failed"),
    ],
    release: &[
        // retention deletes in staging what the release project still has
        helpful(["repository", "pull"], "GET /v2/*/tags/list*", "mount layers instead of sending them"),
    ],
    cache: &[
        // without the cache images are published all the same
        helpful(["repository", "pull"], "GET /v2/*/manifests/*", "read entries"),
        helpful(["repository", "push"], "POST /v2/*/blobs/uploads/*", "leave entries"),
        helpful(["repository", "delete"], "DELETE /v2/*/manifests/*", "delete old entries"),
    ],
    // only on system level does Harbor tell the age of the scanner's database
    system: &[vital(["scanner", "read"], "GET /api/v2.0/scanners/*/metadata", "learn how old the scanner's data are")],
};

/// The rights of the robot that alone writes to the release project.
pub const RELEASE: RobotRights = RobotRights {
    staging: &[
        vital(["artifact", "read"], "GET */artifacts/*", "copy images from there"),
        // the copy would bring this tag along
        vital(["tag", "delete"], "DELETE */tags/*", "remove the throw-away tag"),
    ],
    release: &[
        vital(["project", "read"], "GET /api/v2.0/projects/*", "find the project"),
        vital(["quota", "read"], "GET /api/v2.0/projects/*/summary", "see whether images have room"),
        vital(["artifact", "read"], "GET */artifacts/*", "see what tags name"),
        vital(["artifact", "create"], "POST */artifacts?from=*", "copy images to there"),
        vital(["tag", "create"], "POST */tags", "set new tags"),
        vital(["repository", "pull"], "GET /v2/*/manifests/*", "see whether a tag names a newer state"),
        vital(["repository", "push"], "PUT /v2/*/manifests/*", "move tags"),
        vital(["label", "list"], "GET /api/v2.0/labels*", "find labels"),
        vital(["artifact-label", "create"], "POST */labels", "set labels"),
    ],
    cache: &[],
    system: &[],
};

/// The further right of a login that publishes in one project alone: nothing is copied, so it removes the throw-away tag
/// itself.
pub const ONE_PROJECT: &[RightUse] = &[vital(["tag", "delete"], "DELETE */tags/*", "remove the throw-away tag")];
