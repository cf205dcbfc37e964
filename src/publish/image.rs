//! The steps of one image: push, judge, release.

use crate::build::BuiltPlatform;
use crate::gate;
use crate::gate::ScanFacts;
use crate::harbor::Harbor;
use crate::harbor::Repository;
use crate::harbor::promote::Promotion;
use crate::harbor::scan::Scanned;
use crate::oci::registry;
use crate::oci::registry::PushOutcome;
use crate::oci::registry::PushRequest;
use crate::oci::registry::address::public_name;
use crate::publish::Error;
use crate::publish::GateResult;
use crate::publish::JudgedPlatform;
use crate::publish::PublishOrder;
use crate::publish::PublishPlace;
use crate::publish::PublishState;
use crate::publish::Published;
use crate::publish::ReleaseProject;
use crate::publish::index;
use crate::publish::parents::CANDIDATE;
use crate::publish::preflight::Preflight;
use crate::publish::tags;
use crate::publish::tags::KindsOfTags;
use crate::publish::tags::TagPlan;
use crate::report::ProgressEvent;
use crate::shared;
use crate::shared::SharedCache;
use crate::store::Store;
use crate::sys::clock;
use crate::sys::fs;
use crate::values::Digest;
use crate::values::shown::shown;
use futures_util::future::try_join_all;
use std::collections::BTreeSet;

/// Returns the record of an image before its first step.
pub(super) fn start(order: &PublishOrder<'_>, place: &PublishPlace<'_>) -> Published {
    let host = public_name(place.final_registry().url());
    Published {
        image: order.built.image.clone(),
        repository: format!("{host}/{}", place.final_repository(order.definition)),
        digest: order.built.index.0,
        pushed: None,
        gate: GateResult::NotNeeded,
        tags: order.built.tags.clone(),
        moved: Vec::new(),
        withheld: BTreeSet::new(),
        state: PublishState::UpToDate,
        failure: None,
    }
}

/// Finds out whether an image has to be published: not if all its tags name it already, or one of them a newer state.
pub(super) async fn look(
    order: &PublishOrder<'_>,
    place: &PublishPlace<'_>,
    published: &mut Published,
) -> Result<(), Error> {
    let TagPlan { to_move, newer } = tags::look(order, place).await?;
    if to_move.is_empty() {
        return Ok(());
    }

    if let Some((tag, digest)) = newer {
        let (image, repository) = (&order.built.image, place.final_repository(order.definition));
        let text =
            format!("a newer state of {image} is published: `{repository}:{tag}` is {digest}; nothing is changed");
        place.reporter.event(ProgressEvent::Info(text));
        published.state = PublishState::NewerPublished;
        return Ok(());
    }
    published.moved = to_move;

    if let (Some(release), None) = (&place.release, place.harbor) {
        let (image, project) = (order.built.image.clone(), release.project.to_owned());
        return Err(Error::NoGate { image, project });
    }
    published.state = PublishState::WouldPublish;
    Ok(())
}

/// Pushes an image. Behind a gate it gets no release tag yet.
pub(super) async fn push(
    order: &PublishOrder<'_>,
    place: &PublishPlace<'_>,
    published: &mut Published,
) -> Result<(), Error> {
    published.pushed = Some(upload(order, place).await?);
    Ok(())
}

/// Sends the blobs and documents of an image, and remembers that they are in the repository.
async fn upload(order: &PublishOrder<'_>, place: &PublishPlace<'_>) -> Result<PushOutcome, Error> {
    let candidate = [candidate(order)];
    let repository = place.repository(order.definition);
    let elsewhere = order.built.elsewhere(place.store);

    // keyed by registry and repository too: the same image is new wherever it was not pushed yet
    let reference = format!("{} {repository} {}", place.registry.url(), order.built.index.0);
    let memory = Digest::of(reference.as_bytes());

    let push = PushRequest {
        elsewhere: &elsewhere,
        layout: place.store.folder(),
        target: &index(order.built),
        repository: &repository,
        // a registry without a scanner judges nothing, so the image gets its own tags at once
        tags: if place.harbor.is_some() { &candidate } else { &order.built.tags },
        mount_from: &place.sources(order),
        chunk: place.chunk,
        is_new: place.store.result::<String>("pushed", &memory).is_none(),
    };
    let pushed = match (place.registry.push(&push, place.reporter).await, place.cache) {
        (Err(registry::Error::Absent { .. }), Some(cache)) => {
            // a layer could not be mounted from another repository, so its bytes are needed here after all
            bring(cache, order).await?;
            place.registry.push(&PushRequest { elsewhere: &[], ..push }, place.reporter).await?
        }
        // the registry refuses a digest for many reasons: only the store's own bytes tell whether the image is lost
        (Err(registry::Error::Damaged { .. }), _) if is_damaged(order, &elsewhere, place.store) => {
            return Err(lost(order));
        }
        (result, _) => result?,
    };

    // the cache entry names the repository, so it is only left once the blobs are there
    if let Some(cache) = place.cache {
        give(cache, order, &repository, place).await;
    }
    place.store.keep("pushed", &memory, &reference)?;
    Ok(pushed)
}

/// Fetches the layers that this machine never had from the cache repository. If they are not there either, the store
/// forgets the image, so that the next run builds it.
async fn bring(cache: &SharedCache<'_>, order: &PublishOrder<'_>) -> Result<(), Error> {
    match cache.bring(order.built).await {
        Err(shared::Error::Registry(registry::Error::Missing { .. })) => {
            cache.forget(order.built)?;
            Err(lost(order))
        }
        other => Ok(other?),
    }
}

/// Returns the error for an image whose bytes cannot be had any more.
fn lost(order: &PublishOrder<'_>) -> Error {
    Error::Lost { image: order.built.image.clone() }
}

/// Verifies every blob of an image in the store, and removes those that are damaged.
fn is_damaged(order: &PublishOrder<'_>, elsewhere: &[Digest], store: &Store) -> bool {
    let mut blobs = order.built.blobs();
    // what was never in this store cannot be damaged in it
    blobs.retain(|digest, _| !elsewhere.contains(digest));
    blobs.keys().for_each(|digest| store.doubt(digest));
    blobs.iter().any(|(digest, size)| !store.has_blob(digest, *size))
}

/// Leaves a cache entry for machines with an empty store. The image is published all the same if that fails.
async fn give(cache: &SharedCache<'_>, order: &PublishOrder<'_>, repository: &str, place: &PublishPlace<'_>) {
    if let Err(error) = cache.give(order.built, repository).await {
        let text = format!("no cache entry was left for {}: {error}", order.built.image);
        place.reporter.event(ProgressEvent::Warning(text));
    }
}

/// Returns the tag that keeps an image from Harbor's garbage collection while it is judged. It names the image, because
/// images may share a repository.
fn candidate(order: &PublishOrder<'_>) -> String {
    format!("{CANDIDATE}{}", order.built.image)
}

/// Has every platform scanned, and passes the reports to the gate.
pub(super) async fn judge(
    order: &PublishOrder<'_>,
    place: &PublishPlace<'_>,
    preflight: Option<&Preflight<'_>>,
    published: &mut Published,
) -> Result<(), Error> {
    let Some(harbor) = place.harbor else {
        published.gate = GateResult::NotAvailable { reason: place.without };
        return Ok(());
    };

    // Harbor scans the images of an index one by one: the index has no report of its own
    let repository = Repository::parse(&place.repository(order.definition))?;
    let scans =
        order.built.platforms.iter().map(|platform| harbor.scan(&repository, &platform.manifest.0, place.patience));
    place.reporter.event(ProgressEvent::Info(format!("waiting for the scan of {}", order.built.image)));
    let scanned = try_join_all(scans).await?;

    // one time for all platforms, so that an exemption cannot expire between two of them
    let now = clock::now();
    let mut judged = Vec::new();
    for (platform, scanned) in order.built.platforms.iter().zip(&scanned) {
        let verdict = gate::judge(&scanned.report, &facts(order, platform, scanned), place.policy, now);
        let (outcome, scanner) = (verdict.outcome(), scanner(scanned));
        judged.push(JudgedPlatform { platform: platform.platform, outcome, scanner, verdict });
        published.withheld.extend(preflight.iter().flat_map(|found| found.withheld(&scanned.report.findings, now)));
    }

    // the verdicts are reported even where the gate refuses the image
    let refused = refusal(&order.built.image, &judged);
    published.gate = GateResult::Judged(judged);
    if let Some(error) = refused {
        return Err(error);
    }
    warn_of_withholding(order, place, published);
    Ok(())
}

/// Says that people will not get an image that is about to be released. No robot may change the project's allow-list, so
/// an administrator has to.
fn warn_of_withholding(order: &PublishOrder<'_>, place: &PublishPlace<'_>, published: &Published) {
    if published.withheld.is_empty() {
        return;
    }
    let (image, repository) = (&order.built.image, place.final_repository(order.definition));
    let names: Vec<&str> = published.withheld.iter().map(String::as_str).collect();
    let text = format!(
        "Harbor will not serve {image} from `{repository}` because of {}: exempt them in `gate`, if they are not, and run `sockel publish --setup`, which brings exemptions to the project's allow-list",
        names.join(", ")
    );
    place.reporter.event(ProgressEvent::Warning(shown(&text)));
}

/// Returns what the build knows about a platform, for the gate to hold the report against.
fn facts(order: &PublishOrder<'_>, platform: &BuiltPlatform, scanned: &Scanned) -> ScanFacts {
    // the archive's signed Origin (`Debian`, `Ubuntu`) is in small letters the ID of os-release
    let distribution =
        order.definition.archives.first().and_then(|archive| Some(archive.origin.as_ref()?.to_lowercase()));
    ScanFacts {
        digest: platform.manifest.0,
        pushed_at: scanned.pushed_at,
        distribution: distribution.unwrap_or_default(),
        packages: platform.packages,
        has_debian_version: has_file(platform, "etc/debian_version"),
        has_lsb_release: has_file(platform, "etc/lsb-release"),
        has_package_database: has_file(platform, "var/lib/dpkg/status") || has_file(platform, "var/lib/dpkg/status.d"),
    }
}

/// Tells whether a platform's image has a file that scanners look for.
fn has_file(platform: &BuiltPlatform, path: &str) -> bool {
    platform.scanner_files.iter().any(|found| found == path)
}

/// Returns the scanner and the age of its database, for people.
fn scanner(scanned: &Scanned) -> String {
    let name = scanned.report.scanner.as_ref().map(|scanner| format!("{} {}", scanner.name, scanner.version));
    let database = scanned.report.database_updated_at.map(|time| format!(", database of {time}"));
    format!("{}{}", name.unwrap_or_default(), database.unwrap_or_default())
}

/// Returns the error for an image that the gate refuses on at least one platform.
fn refusal(image: &str, judged: &[JudgedPlatform]) -> Option<Error> {
    let (mut reasons, mut hints) = (Vec::new(), Vec::new());
    for JudgedPlatform { platform, verdict, .. } in judged.iter().filter(|judged| !judged.verdict.is_pass()) {
        let doubts = verdict.doubts.iter().map(|doubt| format!("{platform}: the report is not trusted: {doubt}"));
        let findings = verdict.findings.iter().map(|finding| format!("{platform}: {finding}"));
        reasons.extend(doubts.chain(findings));

        // platforms mostly share their findings, and so their hints
        let new: Vec<String> = verdict.hints().into_iter().filter(|hint| !hints.contains(hint)).collect();
        hints.extend(new);
    }
    (!reasons.is_empty()).then(|| Error::Refused { image: image.to_owned(), reasons, hints })
}

/// Tags an image that passed the gate, in the release project if there is one.
pub(super) async fn release(
    order: &PublishOrder<'_>,
    place: &PublishPlace<'_>,
    published: &mut Published,
) -> Result<(), Error> {
    // elsewhere the push has set the tags
    let Some(pusher) = place.harbor else { return Ok(()) };

    let repository = place.final_repository(order.definition);
    let tags = match &place.release {
        Some(ReleaseProject { harbor: Some(harbor), labels, .. }) => promote(order, place, harbor, labels).await?,
        _ => order.built.tags.clone(),
    };

    // a tag must never name an index that rotted in the store
    let (digest, size) = order.built.index;
    let bytes = fs::read(&place.store.blob(&digest), size)?;
    if Digest::of(&bytes) != digest {
        place.store.doubt(&digest);
        return Err(lost(order));
    }

    // PUT replaces a tag without a moment in which it is missing
    let media_type = index(order.built).media_type().to_string();
    for tag in tags.iter().filter(|tag| published.moved.contains(tag)) {
        place.final_registry().put_manifest(&repository, tag, &media_type, bytes.clone()).await?;
    }

    // a promotion removes the candidate tag itself; without one it goes last, when the image has other tags
    if place.release.is_none() {
        pusher.remove_tag(&Repository::parse(&repository)?, &digest, &candidate(order)).await?;
    }
    Ok(())
}

/// Promotes an image to the release project; returns the tags that still have to be moved.
async fn promote(
    order: &PublishOrder<'_>,
    place: &PublishPlace<'_>,
    harbor: &Harbor<'_>,
    labels: &[String],
) -> Result<Vec<String>, Error> {
    let from = Repository::parse(&place.repository(order.definition))?;
    let to = Repository::parse(&place.final_repository(order.definition))?;
    let KindsOfTags { fixed, moving } = tags::kinds(order);
    let promotion = Promotion {
        from: &from,
        to: &to,
        digest: order.built.index.0,
        fixed: &fixed,
        moving: &moving,
        throwaway: Some(&candidate(order)),
        labels,
    };

    // a signature that was not copied along does not make the image wrong, so it is a warning
    let promoted = harbor.promote(&promotion).await?;
    for digest in promoted.missing {
        let text = format!("the release project has no copy of {digest}, which belongs to {}", order.built.image);
        place.reporter.event(ProgressEvent::Warning(text));
    }
    Ok(promoted.to_move)
}
