//! Owns `/etc/default/locale` and the check that the UTF-8 locale is really there.

use crate::layer::generate::Error;
use crate::layer::generate::MergedView;
use crate::layer::generate::file;
use crate::tree::TreeEntry;

const NAME: &str = "locale";

/// The part of the locale that decides the character set; content of libc-bin.
const LOCALE: &str = "usr/lib/locale/C.utf8/LC_CTYPE";

pub(super) fn run(scene: &MergedView<'_>) -> Result<Vec<TreeEntry>, Error> {
    if !scene.is_file(LOCALE) {
        let consequence = "`LANG=C.UTF-8` would silently mean ASCII";
        return Err(Error::Missing { generator: NAME, path: LOCALE.to_owned(), consequence });
    }

    // pam_env reads it at login, where the image's own environment is not inherited
    Ok(vec![file(NAME, "etc/default/locale", "LANG=C.UTF-8\n", 0o644)])
}
