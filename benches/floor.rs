//! The floor under a cold build: the work that no builder can avoid, done by the same libraries on all processors.
//!
//! `cargo bench --bench floor -- <package.deb> …` decompresses the data member of every package, hashes the bytes, compresses
//! them in gzip members as layers are, and hashes the result. It parses nothing, writes nothing, and keeps no order. The
//! bytes are those of data.tar: what the recipes exclude is in it, the tar headers of images differ from these.

use sockel::apt::deb::Deb;
use sockel::tree::compress::Compression;
use sockel::values::Digest;
use std::io::BufReader;
use std::io::Read;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// Most bytes that a package may unpack to.
const LIMIT: u64 = 4 << 30;

/// How often the whole work is done; the fastest counts.
const REPEATS: usize = 7;

fn main() {
    let packages: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if packages.is_empty() {
        println!("nothing to measure: give .deb files");
        return;
    }
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut times: Vec<Duration> = Vec::new();
    let mut sizes = (0, 0);
    for _ in 0..REPEATS {
        let started = Instant::now();
        sizes = process(&packages, threads);
        times.push(started.elapsed());
    }
    times.sort();
    println!("packages     {}", packages.len());
    println!("threads      {threads}");
    println!("uncompressed {} bytes", sizes.0);
    println!("compressed   {} bytes", sizes.1);
    println!("fastest      {:.3} s", times[0].as_secs_f64());
    println!("median       {:.3} s", times[times.len() / 2].as_secs_f64());
}

/// Does the work once; returns how many bytes went into and came out of the compressor.
fn process(packages: &[String], threads: usize) -> (u64, u64) {
    let (members, todo) = mpsc::sync_channel::<Vec<u8>>(threads * 2);
    let (todo, sizes) = (Mutex::new(todo), Mutex::new((0, 0)));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut compressor = Compression::Gzip.compressor();
                loop {
                    let next = todo.lock().expect("no worker panics while it waits").recv();
                    let Ok(bytes) = next else { return };
                    let member = compressor.member(&bytes);
                    // both hashes are made here, where they run on all processors: a builder must make each in order
                    std::hint::black_box((Digest::of(&bytes), Digest::of(&member)));
                    let mut sizes = sizes.lock().expect("no worker panics while it counts");
                    *sizes = (sizes.0 + bytes.len() as u64, sizes.1 + member.len() as u64);
                }
            });
        }
        for package in packages {
            let file = std::fs::File::open(package).expect("the package can be opened");
            let deb = Deb::open(BufReader::with_capacity(1 << 18, file)).expect("the file is a package");
            let mut data = deb.data(u32::try_from(threads).unwrap_or(1), LIMIT).expect("the data member can be read");
            loop {
                let limit = Compression::Gzip.member_size();
                let mut bytes = Vec::with_capacity(limit);
                (&mut data).take(limit as u64).read_to_end(&mut bytes).expect("the data member can be decompressed");
                if bytes.is_empty() {
                    break;
                }
                members.send(bytes).expect("workers end after this");
            }
        }
        drop(members);
    });
    sizes.into_inner().expect("no worker panicked while it counted")
}
