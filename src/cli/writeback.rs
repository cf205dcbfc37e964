//! The flags `--write-back…` of commands that publish.

use crate::announce::writeback;
use crate::announce::writeback::Image;
use crate::announce::writeback::WrittenBack;
use crate::cli::failure::Failure;
use crate::cli::failure::Kind;
use crate::oci::registry::address::Address;
use crate::publish::Published;
use std::path::PathBuf;

/// What is to be told to a Git checkout.
#[derive(Debug, clap::Args)]
pub(crate) struct WriteBack {
    /// Put the digests of the published images into the Kustomize files, Helm values and manifests of this folder of a
    /// Git checkout, and commit them; references under other tags are left alone
    #[arg(long, value_name = "DIR")]
    write_back: Option<PathBuf>,
    /// Author of that commit, `NAME <MAIL>` [default: Git's own configuration]
    #[arg(long, value_name = "AUTHOR", requires = "write_back")]
    write_back_author: Option<String>,
    /// Push that commit with the checkout's own remote and branch
    #[arg(long, requires = "write_back")]
    write_back_push: bool,
}

impl WriteBack {
    /// Says before anything is published what would stop the write-back in any case; without an address nothing is
    /// published at all.
    pub(crate) fn check(&self, address: Option<&Address>) -> Result<(), Failure> {
        let Some(folder) = &self.write_back else { return Ok(()) };
        let message = "cannot write back digests";
        match address {
            None => Err(Failure::new(Kind::Usage, format!("{message}: nothing is published")).hint("add `--publish`")),
            Some(Address::Layout(_)) => {
                let message = format!("{message} of images in a layout folder: nothing pulls from it");
                Err(Failure::new(Kind::Usage, message).hint("name a registry with `--to https://HOST/PROJECT`"))
            }
            Some(Address::Registry { .. }) => Ok(writeback::check(folder, self.write_back_author.as_deref())?),
        }
    }

    /// Tells the checkout, where there is one; images that failed stay as they are there.
    pub(crate) fn run<'a>(
        &self,
        published: impl Iterator<Item = &'a Published>,
        dry_run: bool,
    ) -> Option<Result<WrittenBack, Failure>> {
        let folder = self.write_back.as_ref()?;
        let images: Vec<Image> = published.filter_map(Image::of).collect();
        let author = self.write_back_author.as_deref();
        let options = writeback::Options { author, push: self.write_back_push, dry_run };
        Some(writeback::write_back(folder, &images, &options).map_err(Failure::from))
    }
}
