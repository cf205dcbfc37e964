//! An upload session that is opened while blobs are still looked up, which saves a round trip. A session belongs to no blob
//! before its last request (distribution-spec, "POST then PUT"), and a new image always has a blob to send: its
//! configuration.

use crate::oci::registry::session::AttemptError;
use std::sync::Mutex;
use std::sync::PoisonError;
use tokio::sync::oneshot;
use url::Url;

/// An open upload session.
#[derive(Debug)]
pub(super) struct UploadSession {
    /// Address of its next request.
    pub(super) url: Url,
    /// Fewest bytes of a chunk, except the last one.
    pub(super) least: u64,
}

/// The result of opening a session.
type OpenedSession = Result<UploadSession, AttemptError>;

/// A session that is being opened, or is open and unused. One alone: registries keep unused ones for days, and Harbor lets
/// nobody end one who may not delete images.
#[derive(Debug, Default)]
pub(super) struct PreopenedSession(Mutex<Option<oneshot::Receiver<OpenedSession>>>);

impl PreopenedSession {
    /// Announces the session. The caller opens it and sends the result, or drops the sender.
    pub(super) fn announce(&self) -> oneshot::Sender<OpenedSession> {
        let (sender, receiver) = oneshot::channel();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(receiver);
        sender
    }

    /// Waits for the announced session and removes it; `None` when there is none. The error is returned as well, because a
    /// registry that refused to open a session need not be asked again.
    pub(super) async fn take(&self) -> Option<OpenedSession> {
        // a statement of its own: the place must not stay locked while the session is opened
        let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        next.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_session_has_one_user() {
        let ahead = PreopenedSession::default();
        assert!(ahead.take().await.is_none());
        let session = |path: &str| UploadSession { url: format!("http://host/{path}").parse().unwrap(), least: 0 };
        ahead.announce().send(Ok(session("a"))).unwrap();
        let mut found = Vec::new();
        for _ in 0..3 {
            found.extend(ahead.take().await.map(|session| session.unwrap().url.path().to_owned()));
        }
        assert_eq!(found, ["/a"]);

        // one that nobody opens
        drop(ahead.announce());
        assert!(ahead.take().await.is_none());
    }
}
