//! Which gzip library writes layers: zlib-rs as one stream, or libdeflate in members of 1 MiB.
//!
//! `cargo bench --bench compress -- <package.deb> …` compresses the data.tar of each package on one thread, fastest of some
//! runs, and prints a table.

use flate2::write::GzEncoder;
use sockel::apt::deb::DebPackage;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::time::Instant;

/// Most bytes that a package may unpack to.
const LIMIT: u64 = 1 << 30;

/// How often each is done; the fastest counts.
const REPEATS: usize = 3;

fn main() {
    let packages: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if packages.is_empty() {
        println!("nothing to measure: give .deb files");
        return;
    }
    println!("| package | library | level | members | MB/s | ratio | bytes |");
    println!("|---|---|---|---|---|---|---|");
    for package in &packages {
        let file = std::fs::File::open(package).expect("the package can be opened");
        let deb = DebPackage::open(BufReader::new(file)).expect("the file is a package");
        let mut bytes = Vec::new();
        deb.data(1, LIMIT).expect("the data member can be read").read_to_end(&mut bytes).expect("it can be read");
        let name = package.rsplit('/').next().unwrap_or(package);
        for level in [1, 6, 9] {
            measure(&format!("{name} | zlib-rs | {level}"), usize::MAX, &bytes, |bytes| zlib_rs(bytes, level));
            measure(&format!("{name} | zlib-rs | {level}"), 1 << 20, &bytes, |bytes| zlib_rs(bytes, level));
            let mut compressor = libdeflate(level);
            measure(&format!("{name} | libdeflate | {level}"), 1 << 20, &bytes, |bytes| member(&mut compressor, bytes));
        }
        for size in [256 << 10, 4 << 20] {
            let mut compressor = libdeflate(6);
            measure(&format!("{name} | libdeflate | 6"), size, &bytes, |bytes| member(&mut compressor, bytes));
        }
    }
}

/// Prints a row: `what` is package, library and level.
fn measure(what: &str, size: usize, bytes: &[u8], mut compress: impl FnMut(&[u8]) -> usize) {
    let mut fastest = f64::INFINITY;
    let mut total = 0;
    for _ in 0..REPEATS {
        let started = Instant::now();
        total = bytes.chunks(size.min(bytes.len().max(1))).map(&mut compress).sum();
        fastest = fastest.min(started.elapsed().as_secs_f64());
    }
    let members = if size == usize::MAX { "one".to_owned() } else { format!("{} KiB", size >> 10) };
    let speed = bytes.len() as f64 / fastest / 1e6;
    let ratio = bytes.len() as f64 / total as f64;
    println!("| {what} | {members} | {speed:.0} | {ratio:.3} | {total} |");
}

fn zlib_rs(bytes: &[u8], level: u8) -> usize {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(u32::from(level)));
    encoder.write_all(bytes).expect("memory takes all bytes");
    encoder.finish().expect("memory takes all bytes").len()
}

fn libdeflate(level: u8) -> libdeflater::Compressor {
    let level = libdeflater::CompressionLvl::new(i32::from(level)).expect("0 to 12 are valid");
    libdeflater::Compressor::new(level)
}

fn member(compressor: &mut libdeflater::Compressor, bytes: &[u8]) -> usize {
    let mut output = vec![0; compressor.gzip_compress_bound(bytes.len())];
    compressor.gzip_compress(bytes, &mut output).expect("the buffer has the library's bound")
}
