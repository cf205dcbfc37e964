//! What other machines get to see of us, and how long they may hold us.

use crate::support::project::Project;
use crate::support::project::answer;
use sockel::oci::registry::RegistryClient;
use sockel::report::EventRecorder;
use sockel::sys::http::HostOptions;
use sockel::sys::http::HttpClient;
use sockel::sys::http::HttpOptions;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

const LOGIN: [(&str, &str); 2] = [("SOCKEL_REGISTRY_USER", "robot"), ("SOCKEL_REGISTRY_PASSWORD", "of-our-registry")];

/// A server that remembers the heads of all requests; its thread ends with the test.
struct Server {
    address: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `reply` gets the head of each request and writes what it likes.
    fn start(reply: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (shared, reply) = (Arc::clone(&seen), Arc::new(reply));
        std::thread::spawn(move || {
            for mut connection in listener.incoming().flatten() {
                let (shared, reply) = (Arc::clone(&shared), Arc::clone(&reply));
                std::thread::spawn(move || {
                    let lines = BufReader::new(connection.try_clone().unwrap()).lines().map_while(Result::ok);
                    let head = lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
                    if !head.is_empty() {
                        shared.lock().unwrap().push(head.clone());
                        reply(&head, &mut connection);
                    }
                });
            }
        });
        Self { address, seen }
    }

    /// A registry that wants a Basic login and has nothing.
    fn strange() -> Self {
        Self::start(|head, connection| {
            let is_known = head.to_lowercase().contains("\nauthorization:");
            let status = if is_known { "404 X" } else { "401 X\r\nwww-authenticate: Basic realm=\"x\"" };
            let _gone = write!(connection, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        })
    }

    /// Returns the requests since the last call.
    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// Tells whether a request since the last call carried a login, and that there was a request.
    fn saw_login(&self) -> bool {
        let seen = self.seen();
        assert!(!seen.is_empty(), "nobody asked");
        seen.iter().any(|head| head.to_lowercase().contains("\nauthorization:"))
    }
}

#[test]
fn a_login_goes_to_its_registry_and_to_no_other() {
    let (project, server) = (Project::new(), Server::strange());
    project.run(&["lock"]).good();
    let (url, address) = (format!("http://{}", server.address), server.address.clone());
    let image = format!("{url}/some/app:1");
    let target = format!("target: {url}/mine\ncache: {{ repository: mine/cache, verify: key.pem }}\n");
    let key = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    project.write("base-images/key.pem", key);
    project.write("secrets/robot", "robot:of-our-registry\n");
    project.write("base-images/robot", "robot:of-our-registry\n");
    let bound = r#"{"name":"robot","secret":"of-our-registry","registry":"https://harbor.example"}"#;
    project.write("base-images/bound", bound);
    let plain = target.as_str();
    let with = |credentials: &str| format!("{target}credentials: {credentials}\n");
    let ours = "target: https://harbor.example/base\ncredentials: robot\n";
    let commands: [&[&str]; 8] = [
        &["diff", &image, &image],
        &["publish"],
        &["update", "--publish"],
        &["plan", "--published", "--engine", "gitlab", "--image", "x"],
        &["rebase", "oci:out:base:1", "--base", &format!("{url}/base")],
        &["build"],
        &["build", "--bundle", &image],
        &["cache", "prune", "--registry"],
    ];
    let run = |command: &[&str], registry_file: &str, environment: &[(&str, &str)]| {
        project.write("base-images/registry.yaml", registry_file);
        let said = answer(project.command(command).envs(environment.iter().copied()));
        assert!(!format!("{}{}", said.stdout, said.stderr).contains("of-our-registry"), "{}", said.stderr);
        said
    };
    // the environment: nobody names a host, or another one
    for command in &commands {
        for more in [None, Some(("SOCKEL_REGISTRY", "harbor.example")), Some(("SOCKEL_REGISTRY", "127.0.0.1:1"))] {
            let said = run(command, plain, &LOGIN.into_iter().chain(more).collect::<Vec<_>>());
            let seen = server.seen();
            let logins = seen.iter().filter(|head| head.to_lowercase().contains("authorization:")).count();
            assert_eq!(logins, 0, "{command:?} {more:?} {seen:?} {}", said.stderr);
            if matches!(command[0], "diff" | "publish") {
                assert!(!seen.is_empty() && said.stderr.contains("is not used for"), "{}", said.stderr);
                let missing = said.stderr.contains(&format!("set `SOCKEL_REGISTRY=http://{address}`"));
                assert_eq!(missing, more.is_none(), "{}", said.stderr);
            }
        }
    }
    // what the operator names
    let (to, named) = (format!("{url}/mine"), LOGIN.into_iter().chain([("SOCKEL_REGISTRY", address.as_str())]));
    for command in [&commands[0], &commands[1]] {
        run(command, plain, &named.clone().collect::<Vec<_>>());
        assert!(server.saw_login(), "{command:?}");
    }
    run(&["publish", "--to", &to], "parallel: 2\n", &LOGIN);
    assert!(server.saw_login());
    // files: only for the target of their registry file, and from elsewhere only if somebody else says so
    run(&["publish"], &with("robot"), &[]);
    assert!(server.saw_login());
    for command in [["diff", &image, &image].as_slice(), &["publish", "--to", &to]] {
        run(command, ours, &[]);
        assert!(!server.saw_login(), "{command:?}");
    }
    let said = run(&["publish"], &with("../secrets/robot"), &[]).fails(1);
    assert!(said.contains("only the registry file says") && said.contains("hint: add `\"registry\""), "{said}");
    let said = run(&["publish"], &with("bound"), &[]).fails(1);
    assert!(said.contains("it is for `https://harbor.example`"), "{said}");
    assert!(server.seen().is_empty());
    run(&["publish"], &with("../secrets/robot"), &[("SOCKEL_REGISTRY", &address)]);
    assert!(server.saw_login());
}

#[test]
fn this_machine_is_not_reached_through_a_proxy_and_a_proxy_is_not_the_registry() {
    let (project, registry) = (Project::new(), Server::strange());
    let refuse = |status: u16| {
        Server::start(move |_, connection| {
            let _gone = write!(connection, "HTTP/1.1 {status} X\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
        })
    };
    let proxy = refuse(403);
    let through = format!("http://user:proxy-password@{}", proxy.address);
    let ask = |host: &str, environment: &[(&str, &str)]| {
        let image = format!("http://{host}/some/app:1");
        project.write("base-images/registry.yaml", "insecure: [ registry.invalid ]\n");
        let said = answer(project.command(&["diff", &image, &image]).envs(environment.iter().copied()));
        assert!(!said.stderr.contains("proxy-password"), "{}", said.stderr);
        said
    };
    let port = registry.address.rsplit(':').next().unwrap();
    for host in ["127.0.0.1", "127.0.0.2", "127.1", "localhost"] {
        for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            ask(&format!("{host}:{port}"), &[(variable, &through), ("no_proxy", "other.example")]);
            assert!(proxy.seen().is_empty(), "{host} {variable}");
        }
    }
    assert!(!registry.seen().is_empty());
    let said = ask("registry.invalid", &[("http_proxy", &through)]).fails(3);
    assert!(said.contains(&format!("the proxy `http://***@{}/` refused", proxy.address)), "{said}");
    assert!(said.contains("(status 403)") && said.contains("`no_proxy`"), "{said}");
    assert_eq!(proxy.seen().len(), 1, "a refusal is not asked for again");
    let wants_login = refuse(407);
    let said = ask("registry.invalid", &[("http_proxy", &wants_login.address)]).fails(3);
    assert!(said.contains(&format!("the proxy `http://{}/` asks for a login", wants_login.address)), "{said}");
    let said = ask("registry.invalid", &[("http_proxy", "ftp://127.0.0.1:1")]).fails(1);
    assert!(said.contains("cannot use the proxy of `http_proxy`"), "{said}");
}

fn options() -> HttpOptions {
    // a server that sends a byte each millisecond never reaches this pace
    HttpOptions {
        idle_timeout: Duration::from_millis(200),
        least_bytes: 64 << 10,
        attempts: 1,
        ..HttpOptions::usual(false, None)
    }
}

/// Sends the beginning of an answer, and then a byte now and then as long as somebody listens.
fn trickle(beginning: &'static str, byte: &'static str) -> Server {
    Server::start(move |_, connection| {
        let mut alive = connection.write_all(beginning.as_bytes()).is_ok();
        while alive {
            std::thread::sleep(Duration::from_millis(1));
            alive = connection.write_all(byte.as_bytes()).is_ok();
        }
    })
}

#[test]
fn a_server_that_trickles_holds_nobody_for_ever() {
    let known = "HTTP/1.1 200 X\r\ncontent-length: 100000000\r\n\r\n";
    let unknown = "HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n";
    let (slow_body, slow_chunks) = (trickle(known, "x"), trickle(unknown, "1\r\nx\r\n"));
    let slow_head = trickle("HTTP/1.1 200 X\r\nx: ", "x");
    let http = HttpClient::new(options());
    for (server, expected) in
        [(&slow_body, "fewer than 65536 bytes came"), (&slow_chunks, "fewer than 65536 bytes came")]
    {
        let url = format!("http://{}/x", server.address);
        let error = http.block_on(http.get(&url, 1 << 30)).unwrap().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let url = format!("http://{}/x", slow_head.address);
    let error = http.block_on(http.get(&url, 1 << 30)).unwrap().unwrap_err().to_string();
    assert!(error.contains("no answer in time"), "{error}");
    let usual = HostOptions::usual(false);
    let (idle_timeout, outage) = (Duration::from_millis(200), Duration::from_secs(1));
    let quick = HostOptions { idle_timeout, outage, attempts: 1, ..usual };
    for server in [&slow_body, &slow_chunks, &slow_head] {
        let url = format!("http://{}/", server.address).parse().unwrap();
        let registry = RegistryClient::new(url, quick.clone(), None);
        let folder = tempfile::tempdir().unwrap();
        let recorder = EventRecorder::default();
        let pull = registry.pull("a/b", "1", folder.path(), &recorder);
        let error = http.block_on(pull).unwrap().unwrap_err().to_string();
        assert!(error.contains("came in") || error.contains("no answer in time"), "{error}");
    }
}

/// All attempts to get one document take one time together, whatever it is, and however it is withheld.
#[test]
fn documents_have_one_time_for_all_attempts() {
    let silent = || {
        Server::start(|_, connection| {
            // until the other side hangs up
            let mut byte = [0];
            _ = connection.read(&mut byte);
        })
    };
    let known = "HTTP/1.1 200 X\r\ncontent-length: 4000000\r\n\r\n";
    let (idle_timeout, document_time) = (Duration::from_millis(200), Duration::from_millis(500));
    let (attempts, backoff) = (50, Duration::from_millis(1));
    // slow enough to be noticed in each attempt, and fast enough never to be
    for least_bytes in [64 << 10, 1] {
        for server in [trickle(known, "x"), trickle("HTTP/1.1 200 X\r\nx: ", "x"), silent()] {
            let begun = Instant::now();
            let usual = HttpOptions::usual(false, None);
            let http =
                HttpClient::new(HttpOptions { idle_timeout, least_bytes, document_time, attempts, backoff, ..usual });
            let url = format!("http://{}/x", server.address);
            let error = http.block_on(http.get(&url, 1 << 30)).unwrap().unwrap_err().to_string();
            assert!(error.contains("not all of it came in 0.5 seconds"), "{error}");

            let usual = HostOptions::usual(false);
            let quick = HostOptions { idle_timeout, least_bytes, document_time, attempts, backoff, ..usual };
            let registry = RegistryClient::new(url.parse().unwrap(), quick, None);
            let error = http.block_on(registry.manifest("a/b", "1")).unwrap().unwrap_err().to_string();
            assert!(error.contains("not all of it came") || error.contains("no answer in time"), "{error}");
            assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        }
    }
}

#[test]
fn headers_without_end_are_refused() {
    let line = "x: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n";
    let endless = || {
        Server::start(move |_, connection| {
            let mut alive = connection.write_all(b"HTTP/1.1 200 X\r\n").is_ok();
            while alive {
                alive = connection.write_all(line.as_bytes()).is_ok();
            }
        })
    };
    let server = endless();
    let http = HttpClient::new(HttpOptions { attempts: 1, ..HttpOptions::usual(false, None) });
    let url = format!("http://{}/x", server.address);
    assert!(http.block_on(http.get(&url, 1 << 30)).unwrap().is_err());
    let registry =
        RegistryClient::new(url.parse().unwrap(), HostOptions { attempts: 1, ..HostOptions::usual(false) }, None);
    assert!(http.block_on(registry.head("a/b", "1")).unwrap().is_err());
}
