//! Webhooks: each receiver gets one signed CloudEvent for each image whose tags moved.
//!
//! Delivery is at least once. A message that could not be delivered is kept in the store and sent again, with the same
//! identifier, when the image is published the next time. The store also remembers the digest that was announced last: if a
//! run was killed between publishing and announcing, the next run notices and announces the image. Receivers drop
//! repetitions by `webhook-id`.

mod event;
mod key;

pub use event::BlockedPackageNews;
pub use event::BlockedUpdate;
pub use event::PublishReason;
pub use key::WebhookKey;

use crate::announce::webhook::event::CloudEvent;
use crate::announce::webhook::event::MEDIA_TYPE;
use crate::fault::Explain;
use crate::fault::Turn;
use crate::publish::PublishState;
use crate::publish::Published;
use crate::store;
use crate::store::Store;
use crate::sys::clock;
use crate::sys::http;
use crate::sys::http::HttpHost;
use crate::sys::http::HttpRequest;
use crate::sys::http::Method;
use crate::sys::http::RequestBody;
use crate::sys::http::header::CONTENT_TYPE;
use crate::sys::http::header::HeaderName;
use crate::sys::http::header::HeaderValue;
use crate::values::Digest;
use serde::Deserialize;
use serde::Serialize;
use url::Url;

/// Kind of the store's records of the blocked updates that a receiver was told of last, one for each image.
const BLOCKED_RECORDS: &str = "told-blocked";

/// Kind of the store's records of what was announced last to a receiver, one for each image of a repository.
const RECORDS: &str = "told";

/// Why a receiver did not get a message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key that signs messages cannot be read.
    #[error("cannot read key `{path}` of a webhook: {cause}")]
    Key {
        /// The key file.
        path: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The receiver cannot be reached.
    #[error("cannot notify `{receiver}`: {cause}")]
    Http {
        /// Address of the receiver, without secrets.
        receiver: String,
        /// The failure of the request.
        cause: http::Error,
    },
    /// The receiver refuses the message.
    #[error("cannot notify `{receiver}`: it answers with status {status}")]
    Refused {
        /// Address of the receiver, without secrets.
        receiver: String,
        /// The HTTP status of the answer.
        status: u16,
    },
    /// The record cannot be written.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::Key { .. } => Turn::Input,
            Self::Http { cause, .. } => cause.turn(),
            Self::Refused { .. } => Turn::Outside,
            Self::Store(error) => error.turn(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Key { .. } => vec![
                "`openssl genpkey -algorithm ed25519` makes a key; `whsec_` before Base64 of 32 random bytes is a shared secret"
                    .to_owned(),
            ],
            Self::Http { cause, .. } => cause.hints().into_iter().chain([SENT_LATER.to_owned()]).collect(),
            // 410 Gone means for good (Standard Webhooks)
            Self::Refused { status: 410, .. } => {
                vec!["the receiver is gone for good: take it out of `announce`".to_owned()]
            }
            Self::Refused { .. } => vec![SENT_LATER.to_owned()],
            Self::Store(error) => error.hints(),
        }
    }
}

/// What becomes of a message that was not delivered.
const SENT_LATER: &str = "what was published stays; it is told when the image is published the next time";

/// A receiver of messages.
#[derive(Debug)]
pub struct WebhookReceiver {
    /// Where messages go.
    pub url: Url,
    /// The key that signs them.
    pub key: WebhookKey,
    /// The connection to it.
    pub host: HttpHost,
}

/// What was announced last to a receiver about an image.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DeliveryRecord {
    digest: Digest,
    /// The message, as long as it was not delivered.
    pending: Option<CloudEvent>,
}

impl WebhookReceiver {
    /// Sends a message about an image if there is news, or one that could not be delivered before. Returns whether a message
    /// was sent.
    ///
    /// # Errors
    /// When the receiver cannot be reached or refuses the message, which is kept for the next time.
    pub async fn tell(&self, published: &Published, reason: PublishReason, store: &Store) -> Result<bool, Error> {
        let key = self.record_key(&published.repository, &published.image);
        let last: Option<DeliveryRecord> = store.remembered(RECORDS, &key);
        let is_news = match published.state {
            PublishState::Published => !published.moved.is_empty(),
            // another run published it and was killed before it could announce it
            PublishState::UpToDate => last.as_ref().is_some_and(|last| last.digest != published.digest),
            PublishState::WouldPublish | PublishState::Failed | PublishState::NewerPublished => return Ok(false),
        };
        let event = if is_news {
            // takes the place of an older message that is still pending: its image is outdated
            CloudEvent::of(published, reason, clock::now())
        } else {
            last.and_then(|last| last.pending)
        };
        let Some(event) = event else { return Ok(false) };

        // kept before it is sent: a run that is killed in between sends it again with the same identifier
        let (digest, pending) = (published.digest, Some(event.clone()));
        store.keep(RECORDS, &key, &DeliveryRecord { digest, pending })?;
        self.send(&event).await?;
        store.keep(RECORDS, &key, &DeliveryRecord { digest, pending: None })?;
        Ok(true)
    }

    /// Sends a message about updates that cannot be taken, if they are other ones than it was told of last, or if that
    /// message could not be delivered. Returns whether a message was sent.
    ///
    /// # Errors
    /// When the receiver cannot be reached or refuses the message, which is kept for the next time.
    pub async fn tell_blocked(&self, blocked: &BlockedUpdate, store: &Store) -> Result<bool, Error> {
        let key = self.record_key(&blocked.repository, &blocked.image);
        let text = serde_json::to_vec(blocked).expect("it has only texts as keys");
        let digest = Digest::of(&text);
        let last: Option<DeliveryRecord> = store.remembered(BLOCKED_RECORDS, &key);
        let is_known = last.as_ref().is_some_and(|last| last.digest == digest);
        if blocked.is_empty() {
            // nothing to tell, but the same block is news when it comes again
            if last.is_some() && !is_known {
                store.keep(BLOCKED_RECORDS, &key, &DeliveryRecord { digest, pending: None })?;
            }
            return Ok(false);
        }

        let pending = last.filter(|_| is_known);
        let event = match &pending {
            Some(last) => last.pending.clone(),
            None => CloudEvent::of_blocked(blocked, clock::now()),
        };
        let Some(event) = event else { return Ok(false) };
        store.keep(BLOCKED_RECORDS, &key, &DeliveryRecord { digest, pending: Some(event.clone()) })?;
        self.send(&event).await?;
        store.keep(BLOCKED_RECORDS, &key, &DeliveryRecord { digest, pending: None })?;
        Ok(true)
    }

    fn record_key(&self, repository: &str, image: &str) -> Digest {
        Digest::of(format!("{}\n{repository}\n{image}", self.url).as_bytes())
    }

    async fn send(&self, event: &CloudEvent) -> Result<(), Error> {
        let (body, now) = (event.bytes(), clock::now().0);
        let signature = self.key.sign(&event.id, now, &body);
        let mut request = HttpRequest::new(Method::POST, self.url.clone(), RequestBody::Bytes(body.into()));
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));

        // the time of each attempt: receivers refuse old messages, so that none can be replayed
        let headers = [
            ("webhook-id", event.id.clone()),
            ("webhook-timestamp", now.to_string()),
            ("webhook-signature", signature),
        ];
        for (name, value) in headers {
            let value = HeaderValue::from_str(&value).expect("hexadecimal digits, numbers and Base64");
            request.headers.insert(HeaderName::from_static(name), value);
        }

        // addresses of webhooks often have a token in them
        let receiver = http::mask(self.url.as_str());
        let answer = match self.host.send(&request).await {
            Ok(answer) => answer,
            Err(cause) => return Err(Error::Http { receiver, cause }),
        };
        let status = answer.status();
        // the connection can be used again once the body was read
        answer.drain().await;
        if (200..300).contains(&status) { Ok(()) } else { Err(Error::Refused { receiver, status }) }
    }
}
