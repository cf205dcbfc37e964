//! HTTP/1.1 on loopback: connections, bodies, faults on the wire, and a log of what was asked.

use crate::support::registry::faults::Fault;
use crate::support::registry::faults::Faults;
use crate::support::registry::faults::Trouble;
use crate::support::registry::log::Entry;
use crate::support::registry::log::Log;
use crate::support::registry::message::Body;
use crate::support::registry::message::Request;
use crate::support::registry::message::Response;
use crate::support::registry::record::record;
use std::io;
use std::io::BufReader;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// What a server serves.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers a request whose body arrived whole.
    fn answer(&self, request: &Request) -> Response;
    /// Hears of a request whose body broke off; `request.body` is what arrived.
    fn broken(&self, _request: &Request) {}
}

struct Shared {
    service: Arc<dyn Service>,
    faults: Mutex<Faults>,
    log: Mutex<Log>,
    started: Instant,
    stopped: AtomicBool,
}

/// A running server; it stops when the last copy of this handle is gone.
#[derive(Clone)]
pub(crate) struct Server {
    shared: Arc<Shared>,
    stop: Arc<Stop>,
}

/// Wakes the listening thread and lets it end.
struct Stop {
    shared: Arc<Shared>,
    address: std::net::SocketAddr,
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _wakes = TcpStream::connect(self.address);
    }
}

impl Server {
    /// Serves on a free port of 127.0.0.1.
    pub(crate) fn start(service: Arc<dyn Service>) -> Self {
        Self::start_on("127.0.0.1", service)
    }

    /// Serves on a free port of a loopback address; another address is another host to a client.
    pub(crate) fn start_on(host: &str, service: Arc<dyn Service>) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            service,
            faults: Mutex::default(),
            log: Mutex::default(),
            started: Instant::now(),
            stopped: AtomicBool::new(false),
        });
        let listening = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if listening.stopped.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&listening);
                std::thread::spawn(move || converse(connection, &shared));
            }
        });
        Self { stop: Arc::new(Stop { shared: Arc::clone(&shared), address }), shared }
    }

    /// Returns `http://127.0.0.1:PORT`, no slash at the end.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.stop.address)
    }

    /// Returns `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        self.stop.address.to_string()
    }

    /// Lets something go wrong from now on.
    pub(crate) fn fault(&self, fault: Fault) {
        self.shared.faults.lock().unwrap().add(fault);
    }

    /// Returns how many faults have not struck as often as they were to.
    pub(crate) fn pending_faults(&self) -> usize {
        self.shared.faults.lock().unwrap().pending()
    }

    /// Returns what was asked so far.
    pub(crate) fn log(&self) -> Log {
        self.shared.log.lock().unwrap().clone()
    }

    /// Forgets what was asked so far.
    pub(crate) fn clear_log(&self) {
        self.shared.log.lock().unwrap().clear();
    }
}

/// Answers the requests of one connection until it ends or is cut.
fn converse(connection: TcpStream, shared: &Shared) {
    // small heads follow each other: waiting for more to send would cost 40 ms each
    let _not_vital = connection.set_nodelay(true);
    let Ok(mut writer) = connection.try_clone() else { return };
    let mut reader = BufReader::new(connection);
    while let Ok(Some(mut request)) = Request::read(&mut reader) {
        request.trouble = shared.faults.lock().unwrap().strike(&request);
        let place = shared.log.lock().unwrap().begin(Entry::of(&request, shared.started.elapsed()));
        let response = if let Some(Trouble::Early(early)) = &request.trouble {
            early.clone().closing()
        } else {
            if request.header("expect").is_some() {
                let _noticed_when_reading = writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            let body = Body::read(&mut reader, &request);
            let (is_whole, received) = (body.is_whole, body.bytes.len() as u64);
            request.body = body.bytes;
            shared.log.lock().unwrap().body(place, received);
            if !is_whole {
                shared.service.broken(&request);
                shared.log.lock().unwrap().end(place, 0);
                return;
            }
            match &request.trouble {
                Some(Trouble::Answer(instead)) => instead.clone(),
                Some(Trouble::Redirect(base)) => {
                    Response::new(307).with("location", &format!("{base}{}", request.target()))
                }
                Some(Trouble::Instead(instead)) => {
                    shared.service.answer(&request);
                    instead.clone()
                }
                _ => shared.service.answer(&request),
            }
        };
        if let Some(Trouble::Late(pause)) = &request.trouble {
            std::thread::sleep(*pause);
        }
        // before the answer: a client that has it finds it in the log
        shared.log.lock().unwrap().end(place, response.status);
        record(&request, &response);
        let goes_on = send(&mut writer, &request, &response).unwrap_or(false);
        if !goes_on || request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            return;
        }
    }
}

/// Sends an answer as the trouble of its request demands; tells whether the connection goes on.
fn send(writer: &mut TcpStream, request: &Request, response: &Response) -> io::Result<bool> {
    match &request.trouble {
        Some(Trouble::Silence) => return Ok(false),
        Some(Trouble::Raw(bytes)) => return writer.write_all(bytes).map(|()| false),
        _ => {}
    }
    if response.status == 0 {
        return Ok(false);
    }
    writer.write_all(response.head().as_bytes())?;
    let body: &[u8] = if request.method == "HEAD" { &[] } else { &response.body };
    match &request.trouble {
        Some(Trouble::CutAnswer(count)) => {
            let count = usize::try_from(*count).unwrap_or(usize::MAX).min(body.len());
            return writer.write_all(&body[..count]).map(|()| false);
        }
        Some(Trouble::SlowAnswer { piece, pause }) => {
            for part in body.chunks((*piece).max(1)) {
                std::thread::sleep(*pause);
                writer.write_all(part)?;
            }
        }
        _ => writer.write_all(body)?,
    }
    Ok(!response.closes())
}
