//! Who is told of published images.

use crate::announce::webhook::Key;
use crate::announce::webhook::Reason;
use crate::announce::webhook::Receiver;
use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::failure::Kind;
use crate::cli::publish::Answer;
use crate::cli::publish::answer::Announced;
use crate::cli::workspace::Hands;
use crate::recipe::ReceiverEntry;
use crate::recipe::RegistryFile;
use crate::sys::http;
use crate::sys::http::Host;
use crate::sys::http::HostOptions;

/// A receiver that does not answer does not hold up a pipeline for long.
const ATTEMPTS: u32 = 4;

/// The receivers of the registry file.
pub(crate) struct Receivers(Vec<Receiver>);

impl Receivers {
    /// Reads their keys, before anything is published.
    pub(crate) fn open(file: &RegistryFile, context: &Context) -> Result<Self, Failure> {
        let mut options = HostOptions::usual(context.settings.offline);
        options.extra_ca = context.settings.ca_file.clone().or_else(|| file.ca_file.clone());
        options.attempts = ATTEMPTS;
        let open = |ReceiverEntry { url, secret }: &ReceiverEntry| {
            let unsound =
                |cause| Failure::new(Kind::Input, format!("cannot use receiver `{}`: {cause}", http::mask(url)));
            let url = url.parse().map_err(unsound)?;
            Ok(Receiver { url, key: Key::read(secret)?, host: Host::new(options.clone()) })
        };
        file.announce.iter().map(open).collect::<Result<_, Failure>>().map(Self)
    }

    /// Tells each of them about each image. One that fails is not asked again in this run, and does not keep the others
    /// from hearing; what it missed is sent when the image is published the next time.
    pub(crate) fn tell(
        &self,
        answer: Answer,
        reason: &dyn Fn(&str) -> Reason,
        (hands, dry_run): (&Hands, bool),
    ) -> Result<Answer, Failure> {
        let mut announced = Vec::new();
        for receiver in self.0.iter().filter(|_| !dry_run) {
            let mut told = Announced { receiver: http::mask(receiver.url.as_str()), images: Vec::new(), error: None };
            for published in answer.published() {
                match hands.http.block_on(receiver.tell(published, reason(&published.image), &hands.store))? {
                    Ok(true) => told.images.push(published.image.clone()),
                    Ok(false) => {}
                    Err(error) => {
                        told.error = Some(error.into());
                        break;
                    }
                }
            }
            announced.push(told);
        }
        Ok(answer.with_announced(announced))
    }
}
