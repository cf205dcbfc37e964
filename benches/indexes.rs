//! What a decoded index saves: an index read from its xz file, in its decoded form, and in that form compressed by zstd.
//!
//! `cargo bench --bench indexes -- <store>/archives/by-hash/*` reads each file that is an xz file, on one thread, fastest of
//! some runs, and prints a table.

use sockel::apt::index::PackageIndex;
use sockel::apt::index::PackageIndexLimits;
use sockel::sys::fs;
use sockel::values::Digest;
use std::path::Path;
use std::time::Instant;

/// How an xz file begins (xz file format 1.2.1, 2.1.1.1).
const XZ: &[u8] = b"\xfd7zXZ\0";

/// How often each is done; the fastest counts.
const REPEATS: usize = 5;

fn main() {
    println!("| index | packages | form | bytes | ms |");
    println!("|---|---|---|---|---|");
    for path in std::env::args().skip(1).filter(|argument| !argument.starts_with("--")) {
        let compressed = fs::read(Path::new(&path), 1 << 30).expect("the file can be read");
        if compressed.starts_with(XZ) {
            let name = path.rsplit('/').next().unwrap_or(&path);
            measure(&name[..name.len().min(12)], &compressed);
        }
    }
}

fn measure(name: &str, compressed: &[u8]) {
    let made_from = Digest::of(compressed);
    let read = || {
        // as the archive's file is read: verified, decompressed, scanned
        assert_eq!(Digest::of(compressed), made_from);
        PackageIndex::read(liblzma::read::XzDecoder::new(compressed), &PackageIndexLimits::ARCHIVE)
            .expect("the file is an index")
    };
    let index = read();
    let mut plain = Vec::new();
    index.encode(&made_from, &mut plain).expect("memory can be written");
    let zstd = zstd::bulk::compress(&plain, 1).expect("memory can be compressed");
    let decode = |bytes| PackageIndex::decode(bytes, &made_from).expect("the form is sound").len();
    let unzstd = || decode(zstd::bulk::decompress(&zstd, plain.len()).expect("memory can be decompressed"));
    let row = |form: &str, bytes: usize, work: &dyn Fn() -> usize| {
        println!("| {name} | {} | {form} | {bytes} | {:.1} |", index.len(), fastest(work));
    };
    row("xz", compressed.len(), &|| read().len());
    // the copy stands for reading the file
    row("decoded", plain.len(), &|| decode(plain.clone()));
    row("decoded, zstd -1", zstd.len(), &unzstd);
}

/// Returns milliseconds.
fn fastest(work: &dyn Fn() -> usize) -> f64 {
    let once = |_| {
        let started = Instant::now();
        assert!(work() > 0);
        started.elapsed().as_secs_f64() * 1e3
    };
    (0..REPEATS).map(once).fold(f64::INFINITY, f64::min)
}
