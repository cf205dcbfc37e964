//! A proxy that makes loopback a distant network: every byte arrives later, a connection takes a round trip to open, and
//! a connection has a window, so that its rate is at most window / round trip.
//!
//! `cargo bench --bench delay -- <listen> <target> <round trip in ms> [window in KiB]`; runs until it is ended.

use std::collections::VecDeque;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// Bytes that are read at once.
const PART: usize = 64 << 10;

/// The usual window, that of Linux' default `tcp_wmem`, in KiB.
const WINDOW: usize = 4096;

/// Bytes on their way in one direction.
#[derive(Default)]
struct Wire {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// When each part arrives.
    parts: VecDeque<(Instant, Vec<u8>)>,
    /// Bytes that were sent and not acknowledged: acknowledgements travel back as long as the bytes travelled.
    open: VecDeque<(Instant, usize)>,
    ended: bool,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [listen, target, milliseconds, rest @ ..] = &arguments[..] else {
        println!("nothing to do: give an address to listen on, one to forward to, and a round trip in milliseconds");
        return;
    };
    let round_trip = Duration::from_millis(milliseconds.parse().expect("the round trip is a number"));
    let window = rest.first().map_or(WINDOW, |text| text.parse().expect("the window is a number")) << 10;
    let listener = TcpListener::bind(listen).expect("the address is free");
    for near in listener.incoming().flatten() {
        let target = target.clone();
        thread::spawn(move || {
            // SYN and SYN-ACK
            thread::sleep(round_trip);
            let Ok(far) = TcpStream::connect(target) else { return };
            for socket in [&near, &far] {
                socket.set_nodelay(true).expect("an open socket");
            }
            let pairs = [(near.try_clone(), far.try_clone()), (far.try_clone(), near.try_clone())];
            for (from, to) in pairs {
                let (from, to) = (from.expect("an open socket"), to.expect("an open socket"));
                let wire: Arc<Wire> = Arc::default();
                let other = Arc::clone(&wire);
                thread::spawn(move || send(from, &wire, round_trip, window));
                thread::spawn(move || receive(to, &other));
            }
        });
    }
}

fn send(mut from: TcpStream, wire: &Wire, round_trip: Duration, window: usize) {
    loop {
        let mut part = vec![0; PART];
        let length = from.read(&mut part).unwrap_or(0);
        let mut state = wire.state.lock().expect("no thread panics while it holds this");
        if length == 0 {
            state.ended = true;
            wire.changed.notify_all();
            return;
        }
        part.truncate(length);
        let now = Instant::now();
        state.parts.push_back((now + round_trip / 2, part));
        state.open.push_back((now + round_trip, length));
        wire.changed.notify_all();
        loop {
            let now = Instant::now();
            while state.open.front().is_some_and(|(acknowledged, _)| *acknowledged <= now) {
                state.open.pop_front();
            }
            let bytes: usize = state.open.iter().map(|(_, length)| length).sum();
            let Some((next, _)) = state.open.front().filter(|_| bytes >= window) else { break };
            let pause = next.saturating_duration_since(now);
            drop(state);
            thread::sleep(pause);
            state = wire.state.lock().expect("no thread panics while it holds this");
        }
    }
}

fn receive(mut to: TcpStream, wire: &Wire) {
    let mut state = wire.state.lock().expect("no thread panics while it holds this");
    loop {
        let Some((arrival, part)) = state.parts.pop_front() else {
            if state.ended {
                let _gone = to.shutdown(Shutdown::Write);
                return;
            }
            state = wire.changed.wait(state).expect("no thread panics while it holds this");
            continue;
        };
        drop(state);
        thread::sleep(arrival.saturating_duration_since(Instant::now()));
        if to.write_all(&part).is_err() {
            let _gone = to.shutdown(Shutdown::Both);
            return;
        }
        state = wire.state.lock().expect("no thread panics while it holds this");
    }
}
