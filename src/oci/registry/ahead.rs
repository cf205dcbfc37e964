//! Upload sessions that are opened while blobs are still looked up, which saves a round trip. A session belongs to no blob
//! before its last request (distribution-spec, "POST then PUT"), and a new image always has a blob to send: its
//! configuration.

use crate::oci::registry::session::AttemptError;
use std::sync::Mutex;
use std::sync::PoisonError;
use tokio::sync::oneshot;
use url::Url;

/// Sessions that are opened: not more than are needed, because registries keep unused ones for days, and Harbor lets nobody
/// end one who may not delete images.
const SESSIONS: usize = 1;

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

/// Sessions that are being opened, or are open and unused.
#[derive(Debug, Default)]
pub(super) struct PreopenedSessions(Mutex<Vec<oneshot::Receiver<OpenedSession>>>);

impl PreopenedSessions {
    /// Announces sessions. The caller opens them and sends the results, or drops the senders.
    pub(super) fn announce(&self) -> Vec<oneshot::Sender<OpenedSession>> {
        let (senders, receivers) = (0..SESSIONS).map(|_| oneshot::channel()).unzip();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = receivers;
        senders
    }

    /// Waits for an announced session and removes it; `None` when there is none left. The error is returned as well, because
    /// a registry that refused to open a session need not be asked again.
    pub(super) async fn take(&self) -> Option<OpenedSession> {
        // a statement of its own: the list must not stay locked while the session is opened
        let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        next.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sessions_have_one_user_each() {
        let ahead = PreopenedSessions::default();
        assert!(ahead.take().await.is_none());
        let mut senders = ahead.announce().into_iter();
        let session = |path: &str| UploadSession { url: format!("http://host/{path}").parse().unwrap(), least: 0 };
        senders.next().unwrap().send(Ok(session("a"))).unwrap();
        // one that cannot be opened
        drop(senders);
        let mut found = Vec::new();
        for _ in 0..3 {
            found.extend(ahead.take().await.map(|session| session.unwrap().url.path().to_owned()));
        }
        assert_eq!(found, ["/a"]);
    }
}
