//! Messages to receivers that prefer to be told (webhooks): one signed CloudEvent for each image whose tags moved.
//!
//! What was not delivered is kept in the store and sent again, with the same identifier, when the image is published the
//! next time. A run that was killed between publishing and telling is noticed by a machine that remembers what it told
//! last. So a receiver hears of each image at least once, and drops what it has heard before by `webhook-id`.

mod event;
mod key;

pub use event::Reason;
pub use key::Key;

use crate::announce::webhook::event::Event;
use crate::announce::webhook::event::MEDIA_TYPE;
use crate::fault::Explain;
use crate::fault::Turn;
use crate::publish::Published;
use crate::publish::State;
use crate::store;
use crate::store::Store;
use crate::sys::clock;
use crate::sys::http;
use crate::sys::http::Body;
use crate::sys::http::Host;
use crate::sys::http::Method;
use crate::sys::http::Request;
use crate::sys::http::header::CONTENT_TYPE;
use crate::sys::http::header::HeaderName;
use crate::sys::http::header::HeaderValue;
use crate::values::Digest;
use serde::Deserialize;
use serde::Serialize;
use url::Url;

/// Records of what a receiver was told last about a repository's image.
const TOLD: &str = "told";

/// Why somebody was not told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to sign with.
    #[error("cannot read key `{path}` of a webhook: {cause}")]
    Key {
        /// The file.
        path: String,
        /// Why.
        cause: String,
    },
    /// The receiver cannot be talked to.
    #[error("cannot tell `{receiver}`: {cause}")]
    Http {
        /// Where it is.
        receiver: String,
        /// Why.
        cause: http::Error,
    },
    /// It does not want the message.
    #[error("cannot tell `{receiver}`: it answers with status {status}")]
    Refused {
        /// Where it is.
        receiver: String,
        /// What it says.
        status: u16,
    },
    /// The store cannot remember.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::Key { .. } => Turn::Input,
            Self::Http { .. } | Self::Refused { .. } => Turn::Outside,
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

/// A receiver.
#[derive(Debug)]
pub struct Receiver {
    /// Where messages go.
    pub url: Url,
    /// What signs them.
    pub key: Key,
    /// The conversation with it.
    pub host: Host,
}

/// What is remembered about a receiver and an image.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    digest: Digest,
    /// The message, as long as it was not delivered.
    pending: Option<Event>,
}

impl Receiver {
    /// Tells about an image, if there is something to tell; returns whether there was.
    ///
    /// # Errors
    /// When the receiver cannot be reached or does not want it; the message is kept for the next time.
    pub async fn tell(&self, published: &Published, reason: Reason, store: &Store) -> Result<bool, Error> {
        let key = self.record(published);
        let told: Option<Told> = store.remembered(TOLD, &key);
        let is_news = match published.state {
            State::Published => !published.moved.is_empty(),
            // it was published by a run that did not come to tell
            State::UpToDate => told.as_ref().is_some_and(|told| told.digest != published.digest),
            State::WouldPublish | State::Failed | State::NewerPublished => return Ok(false),
        };
        let event = match told.and_then(|told| told.pending) {
            _ if is_news => Event::of(published, reason, clock::now()),
            pending => pending,
        };
        let Some(event) = event else { return Ok(false) };
        let told = Told { digest: published.digest, pending: Some(event) };
        store.keep(TOLD, &key, &told)?;
        self.send(told.pending.as_ref().expect("it was just put there")).await?;
        store.keep(TOLD, &key, &Told { pending: None, ..told })?;
        Ok(true)
    }

    fn record(&self, published: &Published) -> Digest {
        Digest::of(format!("{}\n{}\n{}", self.url, published.repository, published.image).as_bytes())
    }

    async fn send(&self, event: &Event) -> Result<(), Error> {
        let (body, now) = (event.bytes(), clock::now().0);
        let text = |text: &str| HeaderValue::from_str(text).expect("hexadecimal digits, numbers and Base64");
        let headers = [
            ("webhook-id", text(&event.id)),
            ("webhook-timestamp", text(&now.to_string())),
            ("webhook-signature", text(&self.key.sign(&event.id, now, &body))),
        ];
        let mut request = Request::new(Method::POST, self.url.clone(), Body::Bytes(body.into()));
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        request.headers.extend(headers.map(|(name, value)| (HeaderName::from_static(name), value)));
        let receiver = http::mask(self.url.as_str());
        let answer = match self.host.send(&request).await {
            Ok(answer) => answer,
            Err(cause) => return Err(Error::Http { receiver, cause }),
        };
        let status = answer.status();
        answer.drain().await;
        if (200..300).contains(&status) { Ok(()) } else { Err(Error::Refused { receiver, status }) }
    }
}
