//! Upload sessions that are opened while blobs are still looked up. A session belongs to no blob before its last request
//! (distribution-spec, "POST then PUT"), and a new image nearly always has something to send: its configuration and one
//! layer. So these two do not wait for one more round trip.

use crate::oci::registry::session::Trouble;
use std::sync::Mutex;
use std::sync::PoisonError;
use tokio::sync::oneshot;
use url::Url;

/// How many: registries do not like sessions that nobody uses.
const SESSIONS: usize = 2;

/// Where an upload goes on.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) url: Url,
    /// Least bytes of one chunk.
    pub(super) least: u64,
}

/// What became of opening a session.
type Opened = Result<Session, Trouble>;

/// Sessions that are being opened, or open and unused.
#[derive(Debug, Default)]
pub(super) struct Ahead(Mutex<Vec<oneshot::Receiver<Opened>>>);

impl Ahead {
    /// Announces sessions; who opens one hands it over here, or drops the sender.
    pub(super) fn announce(&self) -> Vec<oneshot::Sender<Opened>> {
        let (senders, receivers) = (0..SESSIONS).map(|_| oneshot::channel()).unzip();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = receivers;
        senders
    }

    /// Returns a session that is nobody else's, once it is open, or why it could not be opened: a registry that refused
    /// is not asked once more. None when there is none left.
    pub(super) async fn take(&self) -> Option<Opened> {
        let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        next.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sessions_have_one_user_each() {
        let ahead = Ahead::default();
        assert!(ahead.take().await.is_none());
        let mut senders = ahead.announce().into_iter();
        let session = |path: &str| Session { url: format!("http://host/{path}").parse().unwrap(), least: 0 };
        senders.next().unwrap().send(Ok(session("a"))).unwrap();
        // one that cannot be opened
        drop(senders);
        let mut found = Vec::new();
        for _ in 0..=SESSIONS {
            found.extend(ahead.take().await.map(|session| session.unwrap().url.path().to_owned()));
        }
        assert_eq!(found, ["/a"]);
    }
}
