//! Owns `/etc/localtime` (localtime(5)) and `/etc/timezone`, which tzdata's postinst writes.

use crate::layer::generate::Error;
use crate::layer::generate::MergedView;
use crate::layer::generate::file;
use crate::layer::generate::link;
use crate::tree::TreeEntry;
use crate::tree::check_path;

const NAME: &str = "localtime";

pub(super) fn run(scene: &MergedView<'_>) -> Result<Vec<TreeEntry>, Error> {
    let Some(zone) = scene.level().and_then(|level| level.localtime.as_deref()) else { return Ok(Vec::new()) };

    // the name becomes part of a path and a link target
    let has_good_bytes = zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte));
    if check_path(zone).is_err() || !has_good_bytes {
        return Err(Error::BadZone(zone.to_owned()));
    }

    // glibc takes a link to nothing for UTC and says nothing
    let path = format!("usr/share/zoneinfo/{zone}");
    if !scene.is_file(&path) {
        return Err(Error::Missing { generator: NAME, path, consequence: "every time would be shown as UTC" });
    }

    // libc reads the link, other programs the name in the file
    Ok(vec![link(NAME, "etc/localtime", &format!("/{path}")), file(NAME, "etc/timezone", format!("{zone}\n"), 0o644)])
}
