//! The steps of one image: push, judge, release.

use crate::build::BuiltPlatform;
use crate::gate;
use crate::gate::ScanFacts;
use crate::harbor::Repository;
use crate::harbor::promote::Promotion;
use crate::harbor::scan::Scanned;
use crate::oci::registry;
use crate::oci::registry::PushRequest;
use crate::publish::Error;
use crate::publish::GateResult;
use crate::publish::JudgedPlatform;
use crate::publish::PublishOrder;
use crate::publish::PublishPlace;
use crate::publish::PublishState;
use crate::publish::Published;
use crate::publish::index;
use crate::publish::tags;
use crate::publish::tags::TagPlan;
use crate::report::ProgressEvent;
use crate::shared;
use crate::shared::SharedCache;
use crate::store::Store;
use crate::sys::clock;
use crate::sys::fs;
use crate::values::Digest;
use futures_util::future::try_join_all;

/// Returns the record of an image about which nothing was done yet.
pub(super) fn start(order: &PublishOrder<'_>, place: &PublishPlace<'_>) -> Published {
    let host = place.final_registry().url();
    let port = host.port().map(|port| format!(":{port}")).unwrap_or_default();
    let host = format!("{}{port}", host.host_str().unwrap_or_default());
    Published {
        image: order.built.image.clone(),
        repository: format!("{host}/{}", place.final_repository(order.definition)),
        digest: order.built.index.0,
        pushed: None,
        gate: GateResult::NotNeeded,
        tags: order.built.tags.clone(),
        moved: Vec::new(),
        state: PublishState::UpToDate,
        failure: None,
    }
}

/// Pushes an image unless all its tags stand for it. Behind a gate it gets no tag of its own yet.
pub(super) async fn push(
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
    if place.dry_run {
        published.state = PublishState::WouldPublish;
        return Ok(());
    }
    let candidate = [candidate(order)];
    let repository = place.repository(order.definition);
    let reference = format!("{} {repository} {}", place.registry.url(), order.built.index.0);
    let memory = Digest::of(reference.as_bytes());
    let elsewhere = order.built.elsewhere(place.store);
    let push = PushRequest {
        elsewhere: &elsewhere,
        layout: place.store.folder(),
        target: &index(order.built),
        repository: &repository,
        tags: if place.harbor.is_some() { &candidate } else { &order.built.tags },
        mount_from: &place.sources(order),
        chunk: place.chunk,
        is_new: place.store.result::<String>("pushed", &memory).is_none(),
    };
    let pushed = match (place.registry.push(&push, place.reporter).await, place.cache) {
        (Err(registry::Error::Absent { .. }), Some(cache)) => {
            // it was thought that everything could be mounted: now the bytes are needed after all
            bring(cache, order).await?;
            place.registry.push(&PushRequest { elsewhere: &[], ..push }, place.reporter).await?
        }
        (Err(registry::Error::Damaged { .. }), _) if is_damaged(order, &elsewhere, place.store) => {
            return Err(lost(order));
        }
        (result, _) => result?,
    };
    if let Some(cache) = place.cache {
        give(cache, order, &repository, place).await;
    }
    place.store.keep("pushed", &memory, &reference)?;
    published.pushed = Some(pushed);
    published.state = PublishState::Published;
    Ok(())
}

/// Brings layers that were thought to be in the cache repository. Those that are not are forgotten.
async fn bring(cache: &SharedCache<'_>, order: &PublishOrder<'_>) -> Result<(), Error> {
    match cache.bring(order.built).await {
        Err(shared::Error::Registry(registry::Error::Missing { .. })) => {
            cache.forget(order.built)?;
            Err(lost(order))
        }
        other => Ok(other?),
    }
}

fn lost(order: &PublishOrder<'_>) -> Error {
    Error::Lost { image: order.built.image.clone() }
}

/// Looks at every byte of an image in the store; what is damaged is removed.
fn is_damaged(order: &PublishOrder<'_>, elsewhere: &[Digest], store: &Store) -> bool {
    let mut blobs = order.built.blobs();
    blobs.retain(|digest, _| !elsewhere.contains(digest));
    blobs.keys().for_each(|digest| store.doubt(digest));
    blobs.iter().any(|(digest, size)| !store.has_blob(digest, *size))
}

/// Leaves an entry for machines that have nothing; that it cannot be left is no failure of the image.
async fn give(cache: &SharedCache<'_>, order: &PublishOrder<'_>, repository: &str, place: &PublishPlace<'_>) {
    if let Err(error) = cache.give(order.built, repository).await {
        let text = format!("no cache entry was left for {}: {error}", order.built.image);
        place.reporter.event(ProgressEvent::Warning(text));
    }
}

/// The tag that keeps an image alive while it is judged; images may share a repository.
fn candidate(order: &PublishOrder<'_>) -> String {
    format!("candidate-{}", order.built.image)
}

/// Has every platform scanned, and judges the reports.
pub(super) async fn judge(
    order: &PublishOrder<'_>,
    place: &PublishPlace<'_>,
    published: &mut Published,
) -> Result<(), Error> {
    let Some(harbor) = place.harbor else {
        published.gate = GateResult::NotAvailable { reason: place.without };
        return Ok(());
    };
    let repository = Repository::parse(&place.repository(order.definition))?;
    let scans =
        order.built.platforms.iter().map(|platform| harbor.scan(&repository, &platform.manifest.0, place.patience));
    place.reporter.event(ProgressEvent::Info(format!("waiting for the scan of {}", order.built.image)));
    let scanned = try_join_all(scans).await?;
    let now = clock::now();
    let judged = order.built.platforms.iter().zip(&scanned).map(|(platform, scanned)| {
        let verdict = gate::judge(&scanned.report, &facts(order, platform, scanned), place.policy, now);
        JudgedPlatform { platform: platform.platform, outcome: verdict.outcome(), scanner: scanner(scanned), verdict }
    });
    let judged: Vec<JudgedPlatform> = judged.collect();
    let refused = refusal(&order.built.image, &judged);
    published.gate = GateResult::Judged(judged);
    refused.map_or(Ok(()), Err)
}

fn facts(order: &PublishOrder<'_>, platform: &BuiltPlatform, scanned: &Scanned) -> ScanFacts {
    let has = |path: &str| platform.scanner_files.iter().any(|found| found == path);
    ScanFacts {
        digest: platform.manifest.0,
        pushed_at: scanned.pushed_at,
        // the archive's signed Origin: Debian, Ubuntu
        distribution: order
            .definition
            .archives
            .first()
            .map(|archive| archive.origin.to_lowercase())
            .unwrap_or_default(),
        packages: platform.packages,
        has_debian_version: has("etc/debian_version"),
        has_lsb_release: has("etc/lsb-release"),
        has_package_database: has("var/lib/dpkg/status") || has("var/lib/dpkg/status.d"),
    }
}

fn scanner(scanned: &Scanned) -> String {
    let name = scanned.report.scanner.as_ref().map(|scanner| format!("{} {}", scanner.name, scanner.version));
    let database = scanned.report.database_updated_at.map(|time| format!(", database of {time}"));
    format!("{}{}", name.unwrap_or_default(), database.unwrap_or_default())
}

fn refusal(image: &str, judged: &[JudgedPlatform]) -> Option<Error> {
    let (mut reasons, mut hints) = (Vec::new(), Vec::new());
    for JudgedPlatform { platform, verdict, .. } in judged.iter().filter(|judged| !judged.verdict.is_pass()) {
        let doubts = verdict.doubts.iter().map(|doubt| format!("{platform}: the report is not trusted: {doubt}"));
        let findings = verdict.findings.iter().map(|finding| format!("{platform}: {finding}"));
        reasons.extend(doubts.chain(findings));
        let new: Vec<String> = verdict.hints().into_iter().filter(|hint| !hints.contains(hint)).collect();
        hints.extend(new);
    }
    (!reasons.is_empty()).then(|| Error::Refused { image: image.to_owned(), reasons, hints })
}

/// Gives an image that passed its tags, in the release project where there is one.
pub(super) async fn release(
    order: &PublishOrder<'_>,
    place: &PublishPlace<'_>,
    published: &mut Published,
) -> Result<(), Error> {
    let repository = place.final_repository(order.definition);
    let mut tags = order.built.tags.clone();
    // elsewhere the push has set them
    let Some(pusher) = place.harbor else { return Ok(()) };
    if let Some(release) = &place.release
        && let Some(harbor) = release.harbor
    {
        let (from, to) = (Repository::parse(&place.repository(order.definition))?, Repository::parse(&repository)?);
        let (fixed, moving) = tags::kinds(order);
        let promotion = Promotion {
            from: &from,
            to: &to,
            digest: order.built.index.0,
            fixed: &fixed,
            moving: &moving,
            throwaway: Some(&candidate(order)),
            labels: release.labels,
        };
        let promoted = harbor.promote(&promotion).await?;
        for digest in promoted.missing {
            let text = format!("the release project has no copy of {digest}, which belongs to {}", order.built.image);
            place.reporter.event(ProgressEvent::Warning(text));
        }
        tags = promoted.to_move;
    }
    let bytes = fs::read(&place.store.blob(&order.built.index.0), order.built.index.1)?;
    if Digest::of(&bytes) != order.built.index.0 {
        place.store.doubt(&order.built.index.0);
        return Err(lost(order));
    }
    let media_type = index(order.built).media_type().to_string();
    for tag in tags.iter().filter(|tag| published.moved.contains(tag)) {
        place.final_registry().put_manifest(&repository, tag, &media_type, bytes.clone()).await?;
    }
    if place.release.is_none() {
        // the promotion would have done it
        pusher.remove_tag(&Repository::parse(&repository)?, &order.built.index.0, &candidate(order)).await?;
    }
    Ok(())
}
