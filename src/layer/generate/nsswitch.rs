//! Owns `/etc/nsswitch.conf` (nsswitch.conf(5)), which libc-bin's postinst copies into place.

use crate::layer::generate::Error;
use crate::layer::generate::MergedView;
use crate::layer::generate::file;
use crate::tree::TreeEntry;

const NAME: &str = "nsswitch";

/// Where distributions keep their default: libc-bin since glibc 2.36, base-files before.
const DEFAULTS: [&str; 2] = ["usr/share/libc-bin/nsswitch.conf", "usr/share/base-files/nsswitch.conf"];

/// Used when no package brings a default: local files first, then DNS, no service that would need a daemon.
const FALLBACK: &str = "\
passwd: files
group: files
shadow: files
gshadow: files
hosts: files dns
networks: files
protocols: files
services: files
ethers: files
rpc: files
";

/// Does nothing where a package or recipe brings the file.
pub(super) fn run(scene: &MergedView<'_>) -> Result<Vec<TreeEntry>, Error> {
    let path = "etc/nsswitch.conf";
    if scene.get(path).is_some() {
        return Ok(Vec::new());
    }

    for default in DEFAULTS {
        if let Some(bytes) = scene.read(default)? {
            return Ok(vec![file(NAME, path, bytes, 0o644)]);
        }
    }

    Ok(vec![file(NAME, path, FALLBACK, 0o644)])
}
