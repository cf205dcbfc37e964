//! The floor under a cold build: the work that no builder can avoid, done by the same libraries on all processors.
//!
//! `cargo bench --bench floor -- <package.deb>… --layers <blob>…` hashes every package (what is not verified must not be
//! used) and decompresses its data member, and compresses the bytes of the image's layers in gzip members, hashing them before and after. It parses nothing, writes
//! nothing, and keeps no order; reading the layers' bytes into memory is not timed.

use sockel::apt::deb::DebPackage;
use sockel::tree::compress::Compression;
use sockel::values::Digest;
use sockel::values::DigestHasher;
use std::fs::File;
use std::io::BufReader;
use std::io::Read;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// Most bytes that a package may unpack to.
const LIMIT: u64 = 4 << 30;

/// How often the whole work is done unless `--repeats` says otherwise; the fastest counts.
const REPEATS: usize = 7;

/// A piece of work.
enum Job<'a> {
    Decompress(&'a str),
    Compress(&'a [u8]),
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let mut repeats = REPEATS;
    if let Some(given) = arguments.iter().position(|argument| argument == "--repeats") {
        repeats = arguments[given + 1].parse().expect("`--repeats` is followed by a number");
        arguments.drain(given..given + 2);
    }
    let mut parts = arguments.split(|argument| argument == "--layers");
    let (packages, layers) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if packages.is_empty() || layers.is_empty() {
        println!("nothing to measure: give .deb files, `--layers`, and gzip layer blobs");
        return;
    }
    let layers: Vec<Vec<u8>> = layers.iter().map(|layer| stream(layer)).collect();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut times: Vec<Duration> = Vec::new();
    let mut sizes = (0, 0, 0);
    for _ in 0..repeats {
        let started = Instant::now();
        sizes = process(packages, &layers, threads);
        times.push(started.elapsed());
    }
    times.sort();
    println!("packages     {}, {} bytes decompressed", packages.len(), sizes.0);
    println!("layers       {}, {} bytes to {} bytes", layers.len(), sizes.1, sizes.2);
    println!("threads      {threads}");
    println!("fastest      {:.3} s", times[0].as_secs_f64());
    println!("median       {:.3} s", times[times.len() / 2].as_secs_f64());
}

/// The tar stream of a layer.
fn stream(layer: &str) -> Vec<u8> {
    let file = std::fs::File::open(layer).expect("the layer can be opened");
    let mut bytes = Vec::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(BufReader::new(file));
    decoder.read_to_end(&mut bytes).expect("the layer can be decompressed");
    bytes
}

/// Does the work once; returns how many bytes were decompressed, went into the compressor, and came out of it.
fn process(packages: &[String], layers: &[Vec<u8>], threads: usize) -> (u64, u64, u64) {
    let members = layers.iter().flat_map(|layer| layer.chunks(Compression::Gzip.member_size()));
    let jobs = packages.iter().map(|package| Job::Decompress(package)).chain(members.map(Job::Compress));
    let (jobs, sizes) = (Mutex::new(jobs), Mutex::new((0, 0, 0)));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut compressor = Compression::Gzip.compressor();
                let mut done = (0, 0, 0);
                loop {
                    let job = jobs.lock().expect("no worker panics while it takes a job").next();
                    match job {
                        Some(Job::Decompress(package)) => done.0 += decompress(package),
                        Some(Job::Compress(bytes)) => {
                            let member = compressor.member(bytes);
                            std::hint::black_box((Digest::of(bytes), Digest::of(member)));
                            done = (done.0, done.1 + bytes.len() as u64, done.2 + member.len() as u64);
                        }
                        None => break,
                    }
                }
                let mut sizes = sizes.lock().expect("no worker panics while it counts");
                *sizes = (sizes.0 + done.0, sizes.1 + done.1, sizes.2 + done.2);
            });
        }
    });
    sizes.into_inner().expect("no worker panicked while it counted")
}

fn decompress(package: &str) -> u64 {
    let file = std::fs::File::open(package).expect("the package can be opened");
    let deb = DebPackage::open(Hashing(file, DigestHasher::default())).expect("the file is a package");
    let mut data = deb.data(1, LIMIT).expect("the data member can be read");
    let mut buffer = vec![0; 1 << 18];
    let mut total = 0;
    loop {
        match data.read(&mut buffer).expect("the data member can be decompressed") {
            0 => break,
            count => total += count as u64,
        }
    }
    std::hint::black_box(data.finish().expect("the package is whole").1.finish());
    total
}

/// Hashes what is read.
struct Hashing(File, DigestHasher);

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.0.read(buffer)?;
        self.1.update(&buffer[..length]);
        Ok(length)
    }
}
