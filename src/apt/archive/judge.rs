//! Whether an InRelease file is what the recipe asks for: signature, identity, age, memory.

use crate::apt::archive::Error;
use crate::apt::archive::Pocket;
use crate::apt::archive::PocketState;
use crate::apt::archive::memory::PocketMemory;
use crate::apt::archive::place;
use crate::apt::release::ReleaseFile;
use crate::apt::release::signature;
use crate::values::Digest;
use crate::values::Epoch;

/// Seconds that a date may lie in the future; clocks differ (apt's `Acquire::Max-FutureTime`).
const CLOCK_DIFFERENCE: i64 = 10;

/// A Release file that may be used.
pub(super) struct AcceptedRelease {
    pub(super) facts: PocketState,
    pub(super) release: ReleaseFile,
    pub(super) warnings: Vec<String>,
}

/// Judges a served file. The order is: signature, syntax, identity, dates, memory.
///
/// # Errors
/// The first reason not to use it.
pub(super) fn judge(
    pocket: &Pocket,
    bytes: &[u8],
    memory: Option<&PocketMemory>,
    now: Epoch,
) -> Result<AcceptedRelease, Error> {
    let judged = judge_at(pocket, bytes, now, now)?;
    check_history(pocket, &judged.release, judged.facts.inrelease, memory)?;
    Ok(judged)
}

/// Judges a file that a lock names: its signature as of now, its dates as of the lock's time, or as of its own `Date`
/// where that is later. The memory is not asked, because the file is not meant to be the newest.
///
/// # Errors
/// As [`judge`].
pub(super) fn judge_at(pocket: &Pocket, bytes: &[u8], now: Epoch, at: Epoch) -> Result<AcceptedRelease, Error> {
    let title = pocket.title();

    // nothing of the file is parsed before a pinned key vouches for it
    if !signature::looks_signed(bytes) {
        return Err(Error::NotRelease { pocket: title, url: String::new(), beginning: beginning(bytes) });
    }
    let verified = signature::verify(bytes, &pocket.keys, &pocket.fingerprints, now)
        .map_err(|cause| Error::Signature { pocket: title.clone(), url: String::new(), cause })?;
    let release = ReleaseFile::parse(&verified.text).map_err(|cause| Error::Release {
        pocket: title.clone(),
        url: String::new(),
        cause,
    })?;
    check_identity(pocket, &release)?;

    // never later than now, so that the time of a lock cannot excuse a date in the future
    let at = at.max(release.date).min(now);
    let mut warnings: Vec<String> =
        verified.warnings.iter().map(|warning| format!("pocket `{title}`: {warning}")).collect();
    warnings.extend(check_age(pocket, &release, at)?);

    let facts = PocketState {
        archive: pocket.archive.clone(),
        pocket: pocket.name.clone(),
        suite: pocket.suite.clone(),
        codename: release.codename.clone(),
        date: release.date,
        valid_until: release.valid_until,
        inrelease: Digest::of(bytes),
        signed_by: verified.signed_by,
    };
    Ok(AcceptedRelease { facts, release, warnings })
}

/// Checks that the file describes the suite that the recipe names.
///
/// One key signs many suites. A mirror could serve the file of another one, such as a suite that never expires, in the
/// place of this one.
fn check_identity(pocket: &Pocket, release: &ReleaseFile) -> Result<(), Error> {
    let suite = pocket.expected_suite.as_ref().unwrap_or(&pocket.suite);
    let table = [
        ("Origin", pocket.origin.as_ref(), &release.origin),
        ("Label", pocket.label.as_ref(), &release.label),
        ("Suite", Some(suite), &release.suite),
        ("Codename", pocket.codename.as_ref(), &release.codename),
    ];
    for (field, expected, found) in table {
        // the suite's path is what the recipe names, not a promise of the archive: many leave the field out
        let is_path = field == "Suite" && pocket.expected_suite.is_none();
        if expected == found.as_ref() || (is_path && found.is_none()) {
            continue;
        }
        let pocket = pocket.title();
        return Err(match (expected, found) {
            (None, Some(found)) => Error::Unpinned { pocket, field, found: found.clone() },
            _ if is_path && place::is_flat(suite) => {
                Error::Unpinned { pocket, field, found: found.clone().unwrap_or_default() }
            }
            _ => {
                let expected = expected.cloned().unwrap_or_default();
                Error::Identity { pocket, field, expected, found: found.clone().unwrap_or_default() }
            }
        });
    }
    Ok(())
}

/// Checks the dates. Returns a warning for a pocket that gets old.
fn check_age(pocket: &Pocket, release: &ReleaseFile, now: Epoch) -> Result<Option<String>, Error> {
    let date = release.date;
    if date.0 > now.0.saturating_add(CLOCK_DIFFERENCE) {
        return Err(Error::FromTheFuture { pocket: pocket.title(), date, now });
    }
    if let Some(valid_until) = release.valid_until.filter(|end| *end <= now) {
        return Err(Error::Expired { pocket: pocket.title(), valid_until });
    }

    // a frozen pocket is old by nature: release pockets of Ubuntu never change again
    if pocket.frozen {
        return Ok(None);
    }

    // Ubuntu signs no `Valid-Until`, so the recipe limits the age; otherwise a mirror could hold updates back for years
    let age = u64::try_from(now.0.saturating_sub(date.0)).unwrap_or(0);
    if let Some(limit) = pocket.max_age.filter(|limit| age > *limit) {
        return Err(Error::Stale { pocket: pocket.title(), date, limit: limit / 3600 });
    }
    let is_old = pocket.warn_after.is_some_and(|limit| age > limit);
    Ok(is_old.then(|| format!("pocket `{}` is {} hours old (date {date})", pocket.title(), age / 3600)))
}

/// Checks the file against the newest states known: from the lock, and from the memory of this machine.
fn check_history(
    pocket: &Pocket,
    release: &ReleaseFile,
    found: Digest,
    memory: Option<&PocketMemory>,
) -> Result<(), Error> {
    let remembered = memory.map(|memory| (memory.date, memory.inrelease));
    for (date, known) in pocket.locked.into_iter().chain(remembered) {
        if pocket.frozen && known != found {
            return Err(Error::FrozenChanged { pocket: pocket.title(), pinned: known, found });
        }

        if release.date < date {
            // a person asked for it
            if pocket.accept_older {
                continue;
            }
            return Err(Error::Rollback { pocket: pocket.title(), remembered: date, found: release.date });
        }

        // a mirror could show different packages to different machines
        if release.date == date && found != known {
            return Err(Error::TwoFaces { pocket: pocket.title(), date, remembered: known, found });
        }
    }
    Ok(())
}

/// Returns the beginning of an answer that is no Release file, for a message.
fn beginning(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().filter(|sign| !sign.is_control()).take(60).collect()
}
