//! What upgrades fix: logs against feeds.

use super::*;
use crate::apt::changelog;
use crate::apt::changelog::ChangelogEntry;
use std::io::Write;

const RECORD: &str = r#"{ "id": "UBUNTU-CVE-2026-1111", "upstream": [ "CVE-2026-1111" ],
  "severity": [ { "type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H" }, { "type": "Ubuntu", "score": "medium" } ],
  "affected": [
    { "package": { "ecosystem": "Ubuntu:26.04:LTS", "name": "zlib" },
      "ranges": [ { "type": "ECOSYSTEM", "events": [ { "introduced": "0" }, { "fixed": "1.3-2ubuntu1.1" } ] } ] },
    { "package": { "ecosystem": "Ubuntu:Pro:26.04:LTS", "name": "zlib" },
      "ranges": [ { "type": "ECOSYSTEM", "events": [ { "introduced": "0" }, { "fixed": "1.3-9" } ] } ] } ] }"#;

const CRITICAL: &str = r#"{ "id": "CVE-2026-2222",
  "severity": [ { "type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H" } ],
  "affected": [ { "package": { "ecosystem": "Ubuntu:26.04", "name": "zlib" },
    "ranges": [ { "type": "ECOSYSTEM", "events": [ { "introduced": "1.3-2" }, { "fixed": "1.3-2ubuntu1.2" } ] } ] } ] }"#;

fn upgrade(old: &str, new: &str, pocket: &str) -> PackageUpgrade {
    PackageUpgrade {
        source: "zlib".to_owned(),
        package: "zlib1g".to_owned(),
        old: old.to_owned(),
        new: new.to_owned(),
        sources: (None, None),
        from: format!("ubuntu/{pocket}"),
        deb: Digest::of(b"deb"),
        distribution: DistributionRelease { origin: "Ubuntu".to_owned(), release: "26.04".to_owned() },
    }
}

fn entries() -> Vec<ChangelogEntry> {
    changelog::parse(
        "zlib (1.3-2ubuntu1.2) resolute-security; urgency=medium\n\n  * CVE-2026-3333\n\n\
         zlib (1.3-2ubuntu1.1) resolute-security; urgency=medium\n\n  * CVE-2026-1111\n\n\
         zlib (1.3-2) unstable; urgency=medium\n\n  * New.\n",
    )
}

fn advisories(records: &[&str]) -> Vec<osv::OsvAdvisory> {
    let asked = BTreeSet::from(["zlib"]);
    records.iter().flat_map(|record| osv::read(record.as_bytes(), &asked).unwrap()).collect()
}

/// Versions, pocket, with log, records; then urgency, fixes, notes.
type Case<'a> = (&'a str, &'a str, &'a str, bool, Option<&'a [&'a str]>, (UpgradeUrgency, &'a str, &'a str));

#[test]
fn logs_and_feeds_are_compared() {
    let cases: [Case<'_>; 7] = [
        ("1.3-2", "1.3-2ubuntu1.1", "updates", true, None, (UpgradeUrgency::Security, "CVE-2026-1111", "")),
        (
            "1.3-2",
            "1.3-2ubuntu1.1",
            "updates",
            true,
            Some(&[RECORD]),
            (UpgradeUrgency::Security, "CVE-2026-1111 medium", ""),
        ),
        (
            "1.3-2",
            "1.3-2ubuntu1.2",
            "security",
            true,
            Some(&[RECORD, CRITICAL]),
            (
                UpgradeUrgency::Urgent,
                "CVE-2026-1111 medium, CVE-2026-2222 critical, CVE-2026-3333",
                "only the change log names CVE-2026-3333; only the advisories name CVE-2026-2222",
            ),
        ),
        (
            "1.3-2ubuntu1.1",
            "1.3-2ubuntu1.2",
            "updates",
            false,
            Some(&[RECORD]),
            (UpgradeUrgency::Routine, "", "its packages have no change log"),
        ),
        (
            "1.3-2",
            "1.3-2ubuntu1.1",
            "updates",
            false,
            Some(&[RECORD]),
            (UpgradeUrgency::Security, "CVE-2026-1111 medium", "its packages have no change log"),
        ),
        (
            "1.3-1",
            "1.3-2",
            "security",
            true,
            None,
            (UpgradeUrgency::Security, "", "the change log does not go back to 1.3-1: older entries are not known"),
        ),
        ("1.3-2ubuntu1.2", "1.3-2ubuntu1.2", "release", true, None, (UpgradeUrgency::Routine, "", "")),
    ];
    for (old, new, pocket, has_log, records, expected) in cases {
        let upgrade = upgrade(old, new, pocket);
        let entries = entries();
        let advisories = records.map(advisories);
        let source = SourceUpgrade { source: "zlib", old, new, upgrades: vec![&upgrade] };
        let found = source.explain(has_log.then_some(entries.as_slice()), advisories.as_deref());
        let fix = |fix: &FixedVulnerability| match &fix.severity {
            Some(severity) => format!("{} {severity}", fix.cve),
            None => fix.cve.clone(),
        };
        let fixes: Vec<String> = found.fixes.iter().map(fix).collect();
        assert_eq!(
            (found.urgency, fixes.join(", ").as_str(), found.notes.join("; ").as_str()),
            expected,
            "{old} {new}"
        );
    }
}

#[test]
fn feeds_have_many_forms() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write_atomic(&path, bytes).unwrap();
        AdvisoryFeed { name: name.to_owned(), path }
    };
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in [("a.json", RECORD), ("b.json", CRITICAL), ("readme", "no record")] {
        archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    let bytes = archive.finish().unwrap().into_inner();
    let list = format!("[{RECORD},{CRITICAL}]");
    write("folder/a.json", RECORD.as_bytes());
    write("folder/deep/b.json", CRITICAL.as_bytes());
    let feeds = [
        write("all.zip", &bytes),
        write("list.json", list.as_bytes()),
        AdvisoryFeed { name: "folder".to_owned(), path: folder.path().join("folder") },
    ];
    for feed in feeds {
        let found = feed::read_all(std::slice::from_ref(&feed), &BTreeSet::from(["zlib"])).unwrap();
        assert_eq!(found.len(), 3, "{}", feed.name);
        assert!(feed::read_all(std::slice::from_ref(&feed), &BTreeSet::from(["other"])).unwrap().is_empty());
    }
    for (name, bytes) in [("bad.json", &b"[{\"id\": 1, \"x\": \"zlib\"}]"[..]), ("bad.zip", b"PK\x03\x04zlib")] {
        let error = feed::read_all(&[write(name, bytes)], &BTreeSet::from(["zlib"])).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot read advisories `{name}`: ")), "{error}");
    }
}
