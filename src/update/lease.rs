//! One scheduled run at a time: a lock on a file in the store, which the system takes back when the process ends.

use crate::fault::Explain;
use crate::fault::Turn;
use crate::store::Store;
use crate::sys::clock;
use crate::sys::fs;
use crate::values::Digest;
use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

/// Most bytes that are read of who holds a lease.
const MOST_BYTES: u64 = 256;

/// Why no lease was given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another run has it.
    #[error("cannot begin the update of `{}`: another one is running{}", project.display(), shown(.holder))]
    Held {
        /// Project folder.
        project: PathBuf,
        /// What that run wrote about itself.
        holder: String,
    },
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] fs::Error),
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::Held { .. } => Turn::Outside,
            Self::File(error) => error.turn(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Held { .. } => vec!["wait for it; a run that was killed holds nothing".to_owned()],
            Self::File(error) => error.hints(),
        }
    }
}

fn shown(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

/// The right to update a project; given back when dropped.
#[derive(Debug)]
pub struct Lease {
    _file: File,
}

impl Lease {
    /// Takes the lease of a project, or says who has it. Runs with stores of their own do not see each other here: they
    /// may do the same work twice, and end in the same state.
    ///
    /// # Errors
    /// [`Error::Held`] when another run has it.
    pub fn take(store: &Store, project: &Path) -> Result<Self, Error> {
        let name = Digest::of(project.as_os_str().as_encoded_bytes());
        let path = store.folder().join("leases").join(name.hex());
        fs::create_dir(&store.folder().join("leases"))?;
        let Some(mut file) = fs::try_lock(&path)? else {
            let mut text = String::new();
            // whoever holds it may be about to write: what cannot be read is not shown
            let _ = fs::open(&path).map(|file| file.take(MOST_BYTES).read_to_string(&mut text));
            let holder = text.chars().filter(|c| !c.is_control()).collect();
            return Err(Error::Held { project: project.to_owned(), holder });
        };
        let tie = |cause| fs::Error::new("write", &path, cause);
        let text = format!("process {}, since {}", std::process::id(), clock::now());
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes())).map_err(tie)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_given_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let first = Lease::take(&store, Path::new("/a")).unwrap();
        let other = Lease::take(&store, Path::new("/b"));
        assert!(other.is_ok());
        let message = Lease::take(&store, Path::new("/a")).unwrap_err().to_string();
        assert!(message.contains("another one is running (process "), "{message}");
        drop(first);
        assert!(Lease::take(&store, Path::new("/a")).is_ok());
    }
}
