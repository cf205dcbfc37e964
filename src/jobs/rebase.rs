//! The job `rebase`: move an application image onto a patched base image, without building it again.

use crate::jobs::Error;
use crate::jobs::Session;
use crate::jobs::connections::Connections;
use crate::jobs::diff::split;
use crate::jobs::workspace::Workspace;
use crate::oci::registry::address::ImageLocation;
use crate::oci::registry::address::check_reference;
use crate::oci::registry::address::check_repository;
use crate::oci::registry::address::check_tag;
use crate::publish;
use crate::rebase;
use crate::rebase::BaseHints;
use crate::rebase::DocumentReader;
use crate::rebase::LoadedImage;
use crate::rebase::OpenRepository;
use crate::rebase::RebaseOrder;
use crate::rebase::RebaseResult;
use crate::rebase::files;
use crate::rebase::picture;
use crate::settings::RegistryFile;
use crate::sys::http;
use crate::values::Digest;
use std::path::PathBuf;
use url::Url;

/// What to move.
#[derive(Debug, Clone)]
pub struct RebaseRequest {
    /// The application image: `HOST/REPOSITORY:TAG` (or `@DIGEST`), or `oci:DIR:NAME`.
    pub image: String,
    /// The new base image, instead of the newest compatible one.
    pub onto: Option<String>,
    /// Where its base images are: `HOST/REPOSITORY` or `oci:DIR`.
    pub base: Option<String>,
    /// Tags for the result, instead of the image's own.
    pub tags: Vec<String>,
    /// Allow the named base image to be older than the present one.
    pub older: bool,
    /// Whether layers are read to find files that the application and the patches both change.
    pub check_files: files::FileCheckMode,
    /// Only find out what would be done.
    pub dry_run: bool,
}

impl RebaseRequest {
    /// Asks to move an image, under its own tag, onto the newest compatible base image.
    #[must_use]
    pub fn of(image: &str) -> Self {
        Self {
            image: image.to_owned(),
            onto: None,
            base: None,
            tags: Vec::new(),
            older: false,
            check_files: files::FileCheckMode::Auto,
            dry_run: false,
        }
    }
}

/// A repository or folder, before it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ImageRepository {
    Registry { url: Url, repository: String },
    Layout(PathBuf),
}

/// Moves an application image.
///
/// # Errors
/// When its base image is not known, or anything speaks against the move; then all of it.
pub fn run(request: &RebaseRequest, session: &Session) -> Result<RebaseResult, Error> {
    let file = session.registry_file();
    let (application_at, reference) = image(&request.image, file)?;
    let tags = tags(request, &application_at, &reference)?;
    let reader = DocumentReader { store: session.store()?, reporter: session.reporter() };

    let connections = open(&application_at, true, session)?;
    let place = place(&application_at, connections.as_ref());
    let application: LoadedImage = session
        .http()
        .block_on(picture::read(&place, &reference, &reader))??
        .ok_or_else(|| rebase::Error::Missing { image: place.name_of(&reference) })?;

    let (base_at, onto) = base(request, &application_at, &rebase::trace(&application), session)?;
    // one conversation with one registry: logins and connections are shared
    let own = if is_same_registry(&base_at, &application_at) { None } else { open(&base_at, false, session)? };
    let base = self::place(&base_at, own.as_ref().or(connections.as_ref()));

    let order = RebaseOrder {
        application: &application,
        place: &place,
        reference: &reference,
        base: &base,
        onto: onto.as_deref(),
        older: request.older,
        tags: &tags,
        check: request.check_files,
        dry_run: request.dry_run,
    };
    Ok(session.http().block_on(rebase::rebase(&order, &reader))??)
}

/// Reads an image's name: where it is, and its tag, digest or name there.
fn image(text: &str, file: &RegistryFile) -> Result<(ImageRepository, String), Error> {
    if let Some(rest) = text.strip_prefix("oci:") {
        return match rest.split_once(':') {
            Some((folder, name)) if !folder.is_empty() && !name.is_empty() => {
                Ok((ImageRepository::Layout(folder.into()), name.to_owned()))
            }
            _ => Err(no_reference(text)),
        };
    }

    let (address, reference) = split(text).ok_or_else(|| no_reference(text))?;
    match repository(address, file)? {
        ImageRepository::Registry { repository, .. } if repository.is_empty() => Err(no_reference(text)),
        repository => {
            check_reference(reference)?;
            Ok((repository, reference.to_owned()))
        }
    }
}

fn no_reference(text: &str) -> Error {
    Error::usage(format!("cannot read image `{}`: it names no tag or digest", http::mask(text)))
        .hint("write it as `HOST/REPOSITORY:TAG`, `HOST/REPOSITORY@sha256:…` or `oci:DIR:NAME`")
}

/// Reads `HOST/REPOSITORY`, with or without a scheme, or `oci:DIR`.
fn repository(text: &str, file: &RegistryFile) -> Result<ImageRepository, Error> {
    Ok(match file.location(text)? {
        ImageLocation::Registry { url, prefix } => ImageRepository::Registry { url, repository: prefix },
        ImageLocation::Layout(folder) => ImageRepository::Layout(folder),
    })
}

/// Returns the tags that the result gets.
fn tags(request: &RebaseRequest, at: &ImageRepository, reference: &str) -> Result<Vec<String>, Error> {
    if let ImageRepository::Registry { .. } = at {
        request.tags.iter().try_for_each(|tag| check_tag(tag))?;
    }
    if !request.tags.is_empty() {
        return Ok(request.tags.clone());
    }
    if reference.parse::<Digest>().is_ok() {
        return Err(Error::usage("cannot rebase an image that is named by digest without `--tag`")
            .hint("name the tag that is to stand for the result"));
    }
    Ok(vec![reference.to_owned()])
}

/// Returns where the base images are, and which of them was asked for.
fn base(
    request: &RebaseRequest,
    application: &ImageRepository,
    trace: &BaseHints,
    session: &Session,
) -> Result<(ImageRepository, Option<String>), Error> {
    let file = session.registry_file();
    if let Some(onto) = &request.onto {
        let (base, reference) = image(onto, file)?;
        return Ok((base, Some(reference)));
    }
    if let Some(base) = &request.base {
        return Ok((repository(base, file)?, None));
    }

    // what the image says about itself, as far as it names a registry that we were told of
    let target = file.target.as_ref().and_then(|target| file.location(target).ok());
    let mut known: Vec<&Url> = Vec::new();
    if let ImageRepository::Registry { url, .. } = application {
        known.push(url);
    }
    if let Some(ImageLocation::Registry { url, .. }) = &target {
        known.push(url);
    }
    if let Some(base) = trace.names.iter().find_map(|name| annotated(name, &known)) {
        return Ok((base, None));
    }

    // then the project, where it publishes the base image under that name
    if let Some(base) = of_project(trace, target.as_ref(), session) {
        return Ok((base, None));
    }
    if let ImageRepository::Layout(_) = application {
        return Ok((application.clone(), None));
    }
    Err(Error::input("cannot rebase the image: neither its annotations nor its labels say where its base is")
        .hint("name the base's repository with `--base HOST/REPOSITORY`"))
}

/// Reads what a builder wrote as the base's name: `host/repository:tag`. A host is believed only where it is one that we
/// were told of anyway: an annotation must not choose whom we trust.
fn annotated(name: &str, known: &[&Url]) -> Option<ImageRepository> {
    let name = name.split('@').next().unwrap_or_default();
    let (host, rest) = name.split_once('/')?;
    let url = known.iter().find(|url| is_host(url, host))?;

    let last = rest.rfind('/').map_or(0, |slash| slash + 1);
    let end = rest[last..].find(':').map_or(rest.len(), |colon| last + colon);
    let repository = rest[..end].to_owned();
    check_repository(&repository).ok()?;
    Some(ImageRepository::Registry { url: (*url).clone(), repository })
}

/// Tells whether an address is that of a `host` or `host:port`.
fn is_host(url: &Url, host: &str) -> bool {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    url.host_str().is_some_and(|own| format!("{own}{port}") == host)
}

/// Finds where the project publishes the base image whose name the application has inherited.
fn of_project(trace: &BaseHints, target: Option<&ImageLocation>, session: &Session) -> Option<ImageRepository> {
    if !session.options().directory.join("base-images").is_dir() {
        return None;
    }
    let definitions = Workspace::open(session).ok()?.definitions(&[]).ok()?;
    let definition = definitions.iter().find(|definition| trace.titles.contains(&definition.image))?;

    match target? {
        ImageLocation::Layout(folder) => Some(ImageRepository::Layout(folder.clone())),
        ImageLocation::Registry { url, prefix } => {
            let prefix = session.registry_file().released_below(prefix);
            let repository = publish::within(prefix, &definition.publish.repository);
            Some(ImageRepository::Registry { url: url.clone(), repository })
        }
    }
}

fn is_same_registry(one: &ImageRepository, other: &ImageRepository) -> bool {
    match (one, other) {
        (ImageRepository::Registry { url, .. }, ImageRepository::Registry { url: other, .. }) => url == other,
        _ => false,
    }
}

/// Opens a registry, as the place where the result goes or where only base images are.
fn open<'a>(at: &ImageRepository, is_output: bool, session: &'a Session) -> Result<Option<Connections<'a>>, Error> {
    let ImageRepository::Registry { url, repository } = at else { return Ok(None) };
    Ok(Some(Connections::open(url, repository, is_output, session.registry_file(), session)?))
}

fn place<'a>(at: &ImageRepository, connections: Option<&'a Connections<'_>>) -> OpenRepository<'a> {
    match at {
        ImageRepository::Registry { repository, .. } => OpenRepository::Registry {
            registry: connections.expect("every registry is opened first").release(),
            repository: repository.clone(),
        },
        ImageRepository::Layout(folder) => OpenRepository::Layout(folder.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_images() {
        let file = RegistryFile::default();
        let digest = Digest::of(b"");
        let table = [
            ("https://r.example/shop/web:1.4", "https://r.example/ shop/web 1.4"),
            ("http://127.0.0.1:5000/web:1", "http://127.0.0.1:5000/ web 1"),
            (&format!("https://r.example/web@{digest}"), &format!("https://r.example/ web {digest}")),
            ("oci:out:tomcat-11:11", "out tomcat-11:11"),
            ("oci:out", "names no tag"),
            ("https://r.example/web", "names no tag"),
            ("https://r.example:5000", "names no tag"),
            ("r.example/web:1", "https://r.example/ web 1"),
            ("r.example:5000/shop/web:1.4", "https://r.example:5000/ shop/web 1.4"),
            ("shop/web:1.4", "begins with a host"),
            ("web:1", "begins with a host"),
            ("https://r.example/web:ä", "as tag"),
        ];
        for (text, expected) in table {
            let found = match image(text, &file) {
                Ok((ImageRepository::Registry { url, repository }, reference)) => {
                    format!("{url} {repository} {reference}")
                }
                Ok((ImageRepository::Layout(folder), name)) => format!("{} {name}", folder.display()),
                Err(failure) => failure.to_string(),
            };
            assert!(found.contains(expected), "{text}: {found}");
        }
    }

    #[test]
    fn annotations_choose_no_strangers() {
        let own: Url = "http://127.0.0.1:5000/".parse().unwrap();
        let table = [
            ("127.0.0.1:5000/base/tomcat:11", Some("base/tomcat")),
            ("127.0.0.1:5000/tomcat@sha256:00", Some("tomcat")),
            ("127.0.0.1:5000/tomcat", Some("tomcat")),
            ("127.0.0.1/base/tomcat:11", None),
            ("evil.example/base/tomcat:11", None),
            ("java-25:25", None),
            ("127.0.0.1:5000/../x:1", None),
            ("", None),
        ];
        for (name, expected) in table {
            let found = annotated(name, &[&own]).map(|named| match named {
                ImageRepository::Registry { repository, .. } => repository,
                ImageRepository::Layout(_) => "layout".to_owned(),
            });
            assert_eq!(found.as_deref(), expected, "{name}");
        }
    }
}
