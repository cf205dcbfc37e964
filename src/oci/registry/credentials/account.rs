//! The user account of this process: its number, and its home folder where no variable names it.

use crate::sys::fs;
use crate::sys::own;
use std::path::Path;
use std::path::PathBuf;

/// Largest list of accounts that is read.
const LIMIT: u64 = 4 << 20;

/// A user account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HostAccount {
    /// Its number.
    pub(super) id: Option<u32>,
    /// Its home folder.
    pub(super) home: Option<PathBuf>,
}

impl HostAccount {
    /// Returns the account that this process runs as.
    pub(super) fn of_process() -> Self {
        // the folder belongs to the process's effective user (proc(5))
        let Ok(Some(status)) = own::look(Path::new("/proc/self/fd")) else { return Self::default() };
        let accounts = fs::read(Path::new("/etc/passwd"), LIMIT).unwrap_or_default();
        Self { id: Some(status.owner), home: home_of(status.owner, &String::from_utf8_lossy(&accounts)) }
    }
}

/// Returns the home folder of an account in the text of `/etc/passwd` (passwd(5)).
fn home_of(id: u32, accounts: &str) -> Option<PathBuf> {
    let fields = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut homes = fields.filter(|fields| fields.get(2) == Some(&id.to_string().as_str())).filter_map(|fields| {
        // a relative one would depend on where sockel runs, which may be a checkout
        fields.get(5).map(PathBuf::from).filter(|home| home.is_absolute())
    });
    homes.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_homes() {
        let accounts =
            "# x\nroot:x:0:0:root:/root:/bin/sh\nci:x:1000:1000::/srv/ci:/bin/sh\nbad:x:7\nrel:x:8:8::home:\n";
        for (id, expected) in [(0, Some("/root")), (1000, Some("/srv/ci")), (7, None), (8, None), (9, None)] {
            assert_eq!(home_of(id, accounts), expected.map(PathBuf::from), "{id}");
        }
        assert!(HostAccount::of_process().id.is_some());
    }
}
