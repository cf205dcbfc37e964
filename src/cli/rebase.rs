//! `sockel rebase`

use crate::cli::Context;
use crate::cli::connect::Connections;
use crate::cli::failure::Failure;
use crate::cli::failure::Kind;
use crate::cli::publish::registry_file;
use crate::cli::table::Column;
use crate::cli::table::Table;
use crate::cli::table::size;
use crate::cli::workspace::Hands;
use crate::cli::workspace::Workspace;
use crate::oci::registry::address::Address;
use crate::oci::registry::address::check_reference;
use crate::oci::registry::address::check_tag;
use crate::rebase;
use crate::rebase::Order;
use crate::rebase::Picture;
use crate::rebase::Place;
use crate::rebase::Reader;
use crate::rebase::Rebased;
use crate::rebase::State;
use crate::rebase::Trace;
use crate::rebase::files;
use crate::rebase::picture;
use crate::recipe::RegistryFile;
use crate::sys::http;
use crate::values::Digest;
use crate::values::shown::shown;
use std::path::PathBuf;
use url::Url;

/// Move an application image onto a patched base image without rebuilding it
///
/// IMAGE is an image that was built `FROM` one of ours, by whatever builder: `https://HOST/REPOSITORY:TAG` (or `@DIGEST`),
/// or `oci:DIR:NAME`. Its layers must begin with exactly the layers of an image in the base's repository; it then gets the
/// newest image there that has the same name and the same parameters as base. Its own layers stay the same digests, and
/// settings that it inherited unchanged follow the new base. Where both live in one registry, no layer is sent.
///
/// The base's repository comes from the image's annotations, when it is in the same registry or that of the registry
/// file, else from the inherited label with the name of our image, else from `--base` or `--onto`. Everything that speaks
/// against the move is told at once (exit code 4).
///
/// Example: sockel rebase oci:shop:web:1.4 --dry-run
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The application image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The new base, instead of the newest compatible one
    #[arg(long, value_name = "BASE-IMAGE")]
    onto: Option<String>,
    /// Where its bases are: https://HOST/REPOSITORY or oci:DIR
    #[arg(long, value_name = "REPOSITORY", conflicts_with = "onto")]
    base: Option<String>,
    /// Tag for the result, instead of the image's own; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Allow the named base to be older than the one that the image stands on
    #[arg(long, requires = "onto")]
    older: bool,
    /// Read layers to find out whether the image replaces files that the base's patches change: `auto` does when at most
    /// 200 MB must be fetched, and says when it does not
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    check_files: When,
    /// File that says where images are published [default: base-images/registry.yaml]
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// When layers are read.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

/// A repository or folder that somebody named, before it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    Registry { url: Url, repository: String },
    Layout(PathBuf),
}

/// Runs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let file = registry_file(args.registry.as_deref(), context)?;
    let (named, reference) = image(&args.image, &file)?;
    let tags = tags(args, &named, &reference)?;
    let hands = Hands::new(context)?;
    let reader = Reader { store: &hands.store, reporter: &hands.progress };
    let connections = open((&named, true), &file, context)?;
    let place = place(&named, connections.as_ref());
    let read = hands.http.block_on(picture::read(&place, &reference, &reader));
    let missing = || rebase::Error::Missing { image: place.name_of(&reference) };
    let application: Picture = read??.ok_or_else(missing)?;
    let (base, onto) = base(args, (&named, &rebase::trace(&application)), &file, context)?;
    // one conversation with one registry: logins and connections are shared
    let own = if same_registry(&base, &named) { None } else { open((&base, false), &file, context)? };
    let base = self::place(&base, own.as_ref().or(connections.as_ref()));
    let order = Order {
        application: &application,
        place: &place,
        reference: &reference,
        base: &base,
        onto: onto.as_deref(),
        older: args.older,
        tags: &tags,
        check: match args.check_files {
            When::Auto => files::Check::Auto,
            When::Always => files::Check::Always,
            When::Never => files::Check::Never,
        },
        dry_run: args.dry_run,
    };
    let rebased = hands.http.block_on(rebase::rebase(&order, &reader));
    hands.progress.close();
    print(&rebased??, context)
}

/// Reads an image's name: its place, and its tag, digest or name there.
fn image(text: &str, file: &RegistryFile) -> Result<(Named, String), Failure> {
    let unsound = || {
        Failure::new(Kind::Usage, format!("cannot read image `{}`: it names no tag or digest", http::mask(text)))
            .hint("write it as `https://HOST/REPOSITORY:TAG`, `https://HOST/REPOSITORY@sha256:…` or `oci:DIR:NAME`")
    };
    if let Some(rest) = text.strip_prefix("oci:") {
        let (folder, name) =
            rest.split_once(':').filter(|(folder, name)| !folder.is_empty() && !name.is_empty()).ok_or_else(unsound)?;
        return Ok((Named::Layout(folder.into()), name.to_owned()));
    }
    let name = text.rfind('/').map_or(0, |slash| slash + 1);
    let end = text[name..].find(['@', ':']).map(|end| name + end).ok_or_else(unsound)?;
    let (address, reference) = (&text[..end], &text[end + 1..]);
    match repository(address, file)? {
        Named::Registry { repository, .. } if repository.is_empty() => Err(unsound()),
        named => {
            check_reference(reference)?;
            Ok((named, reference.to_owned()))
        }
    }
}

/// Reads `https://HOST/REPOSITORY` or `oci:DIR`.
fn repository(text: &str, file: &RegistryFile) -> Result<Named, Failure> {
    Ok(match Address::parse(text, &file.insecure)? {
        Address::Registry { url, prefix } => Named::Registry { url, repository: prefix },
        Address::Layout(folder) => Named::Layout(folder),
    })
}

/// Returns the tags that are to stand for the result.
fn tags(args: &Args, named: &Named, reference: &str) -> Result<Vec<String>, Failure> {
    if let Named::Registry { .. } = named {
        args.tags.iter().try_for_each(|tag| check_tag(tag))?;
    }
    match (args.tags.is_empty(), reference.parse::<Digest>()) {
        (false, _) => Ok(args.tags.clone()),
        (true, Err(_)) => Ok(vec![reference.to_owned()]),
        (true, Ok(_)) => {
            Err(Failure::new(Kind::Usage, "cannot rebase an image that is named by digest without `--tag`")
                .hint("name the tag that is to stand for the result"))
        }
    }
}

/// Returns where the bases are, and which of them was asked for.
fn base(
    args: &Args,
    (application, trace): (&Named, &Trace),
    file: &RegistryFile,
    context: &Context,
) -> Result<(Named, Option<String>), Failure> {
    if let Some(onto) = &args.onto {
        let (named, reference) = image(onto, file)?;
        return Ok((named, Some(reference)));
    }
    if let Some(base) = &args.base {
        return Ok((repository(base, file)?, None));
    }
    let target = file.target.as_ref().and_then(|target| Address::parse(target, &file.insecure).ok());
    let known: Vec<&Url> = [application]
        .into_iter()
        .filter_map(|named| match named {
            Named::Registry { url, .. } => Some(url),
            Named::Layout(_) => None,
        })
        .chain(target.iter().filter_map(|target| match target {
            Address::Registry { url, .. } => Some(url),
            Address::Layout(_) => None,
        }))
        .collect();
    if let Some(named) = trace.names.iter().find_map(|name| written(name, &known)) {
        return Ok((named, None));
    }
    if let Some(named) = of_project(trace, target.as_ref(), file, context) {
        return Ok((named, None));
    }
    if let Named::Layout(_) = application {
        return Ok((application.clone(), None));
    }
    let message = "cannot rebase the image: neither its annotations nor its labels say where its base is";
    Err(Failure::new(Kind::Input, message).hint("name the base's repository with `--base https://HOST/REPOSITORY`"))
}

/// Reads what a builder wrote as the base's name: `host/repository:tag`. A host is believed only where it is one that we
/// were told of anyway: an annotation must not choose whom we trust.
fn written(name: &str, known: &[&Url]) -> Option<Named> {
    let name = name.split('@').next().unwrap_or_default();
    let (host, rest) = name.split_once('/')?;
    let end = rest.rfind('/').map_or(0, |slash| slash + 1);
    let end = rest[end..].find(':').map_or(rest.len(), |colon| end + colon);
    let is_it = |url: &&&Url| {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        url.host_str().is_some_and(|own| format!("{own}{port}") == host)
    };
    let url = known.iter().find(is_it)?;
    let repository = rest[..end].to_owned();
    crate::oci::registry::address::check_repository(&repository).ok()?;
    Some(Named::Registry { url: (*url).clone(), repository })
}

/// Finds where the project publishes the base image whose name the application has inherited.
fn of_project(trace: &Trace, target: Option<&Address>, file: &RegistryFile, context: &Context) -> Option<Named> {
    if !context.settings.directory.join("base-images").is_dir() {
        return None;
    }
    let definitions = Workspace::open(context).ok()?.definitions(&[]).ok()?;
    let definition = definitions.iter().find(|definition| trace.titles.contains(&definition.image))?;
    match target? {
        Address::Layout(folder) => Some(Named::Layout(folder.clone())),
        Address::Registry { url, prefix } => {
            let prefix = file.projects.as_ref().map_or(prefix, |projects| &projects.release);
            let name = &definition.publish.repository;
            let repository = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            Some(Named::Registry { url: url.clone(), repository })
        }
    }
}

fn same_registry(one: &Named, other: &Named) -> bool {
    match (one, other) {
        (Named::Registry { url, .. }, Named::Registry { url: other, .. }) => url == other,
        _ => false,
    }
}

/// Opens a registry, which is where the result goes or where only the base is.
fn open(
    (named, is_output): (&Named, bool),
    file: &RegistryFile,
    context: &Context,
) -> Result<Option<Connections>, Failure> {
    let Named::Registry { url, .. } = named else { return Ok(None) };
    Ok(Some(Connections::open(url, is_output, file, context)?))
}

fn place<'a>(named: &Named, connections: Option<&'a Connections>) -> Place<'a> {
    match named {
        Named::Registry { repository, .. } => Place::Registry {
            registry: connections.expect("every registry is opened first").release(),
            repository: repository.clone(),
        },
        Named::Layout(folder) => Place::Layout(folder.clone()),
    }
}

fn print(rebased: &Rebased, context: &Context) -> Result<(), Failure> {
    let printer = &context.printer;
    for note in &rebased.notes {
        printer.warn(&shown(note));
    }
    if printer.is_json() {
        return Ok(printer.json(rebased)?);
    }
    let mut table = Table::new(&[
        ("platform", Column::Text),
        ("kept", Column::Number),
        ("replaced", Column::Number),
        ("to pull", Column::Number),
        ("of", Column::Number),
        ("old", Column::Digest),
        ("new", Column::Digest),
    ]);
    for platform in &rebased.platforms {
        table.row([
            platform.platform.clone(),
            platform.kept.to_string(),
            platform.replaced.to_string(),
            size(platform.pull_bytes),
            size(platform.total_bytes),
            platform.old.to_string(),
            platform.new.to_string(),
        ]);
    }
    printer.data(&table.render(printer.width()))?;
    printer.note(&shown(&closing(rebased)));
    Ok(())
}

fn closing(rebased: &Rebased) -> String {
    let Rebased { image, base, new, .. } = rebased;
    let mut text = match rebased.state {
        State::UpToDate => format!("{image} stands on {base} already"),
        State::Rebased => format!("{image} stands on {base} now: {new}"),
        State::WouldRebase => format!("{image} would stand on {base}: {new}"),
    };
    if let Some(transfer) = &rebased.transfer {
        text += &format!(
            "; blobs: {} mounted, {} there, {} sent",
            transfer.mounted.count, transfer.skipped.count, transfer.uploaded.count
        );
    }
    if !rebased.tags.is_empty() {
        let verb = if rebased.state == State::WouldRebase { "tags to move" } else { "tags moved" };
        text += &format!("; {verb}: {}", rebased.tags.join(", "));
    }
    text
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
            ("r.example/web:1", "begins neither"),
            ("https://r.example/web:ä", "as tag"),
        ];
        for (text, expected) in table {
            let found = match image(text, &file) {
                Ok((Named::Registry { url, repository }, reference)) => format!("{url} {repository} {reference}"),
                Ok((Named::Layout(folder), name)) => format!("{} {name}", folder.display()),
                Err(failure) => failure.message.to_string(),
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
            let found = written(name, &[&own]).map(|named| match named {
                Named::Registry { repository, .. } => repository,
                Named::Layout(_) => "layout".to_owned(),
            });
            assert_eq!(found.as_deref(), expected, "{name}");
        }
    }
}
