//! The receivers of the registry file: webhooks that are told of published images.

use crate::announce::webhook::BlockedUpdate;
use crate::announce::webhook::PublishReason;
use crate::announce::webhook::WebhookKey;
use crate::announce::webhook::WebhookReceiver;
use crate::jobs::Error;
use crate::jobs::Session;
use crate::jobs::connections::host_options;
use crate::jobs::publish::AnnouncedReceiver;
use crate::publish::Published;
use crate::settings::ReceiverEntry;
use crate::settings::RegistryFile;
use crate::sys::http;
use crate::sys::http::HostOptions;
use crate::sys::http::HttpHost;
use std::time::Duration;

/// Attempts for one message: a receiver that does not answer must not hold up a pipeline for long.
const ATTEMPTS: u32 = 4;

/// The receivers of a registry file, with their keys.
pub(crate) struct Receivers(Vec<WebhookReceiver>);

impl Receivers {
    /// Reads their keys.
    pub(crate) fn open(file: &RegistryFile, session: &Session) -> Result<Self, Error> {
        let options = HostOptions { attempts: ATTEMPTS, outage: Duration::ZERO, ..host_options(session, file) };
        let mut receivers = Vec::new();
        for ReceiverEntry { url, secret } in &file.announce {
            let parsed = url
                .parse()
                .map_err(|cause| Error::input(format!("cannot use receiver `{}`: {cause}", http::mask(url))))?;
            receivers.push(WebhookReceiver {
                url: parsed,
                key: WebhookKey::read(secret)?,
                host: HttpHost::new(options.clone()),
            });
        }
        Ok(Self(receivers))
    }

    /// Tells each of them about each image. One that fails is not asked again in this run, and does not keep the others
    /// from hearing; what it missed is sent when the image is published the next time.
    pub(crate) fn tell(
        &self,
        images: &[Published],
        reason: &dyn Fn(&str) -> PublishReason,
        blocked: &[BlockedUpdate],
        session: &Session,
    ) -> Result<Vec<AnnouncedReceiver>, Error> {
        let store = session.store()?;
        let mut all = Vec::new();
        for receiver in &self.0 {
            let address = http::mask(receiver.url.as_str());
            let (mut told, mut told_blocked) = (Vec::new(), Vec::new());
            let telling = async {
                for published in images {
                    if receiver.tell(published, reason(&published.image), store).await? {
                        told.push(published.image.clone());
                    }
                }
                for update in blocked {
                    if receiver.tell_blocked(update, store).await? {
                        told_blocked.push(update.image.clone());
                    }
                }
                Ok(())
            };
            let error = session.http().block_on(telling)?.err();
            all.push(AnnouncedReceiver { receiver: address, images: told, blocked: told_blocked, error });
        }
        Ok(all)
    }
}
