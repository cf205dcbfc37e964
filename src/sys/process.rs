//! Runs an outside program with limited input, output and time, and with an environment of its own.
//!
//! A program inherits only the variables of [`USUAL`] and those that its caller names. Ours hold passwords
//! (`SOCKEL_REGISTRY_PASSWORD`, tokens of the pipeline), and others change what a program runs (`GIT_CONFIG_COUNT`,
//! `LD_PRELOAD`). Programs are searched in the absolute folders of `PATH` only: an empty or relative one would find a
//! program in the project itself.

use crate::sys::env;
use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// Variables of this process that every program gets, each with its reason.
pub const USUAL: &[&str] = &[
    "HOME",            // the user's own configuration and keys
    "USER",            // the user's name, for ssh and for messages
    "LOGNAME",         // the same (POSIX, 8.3)
    "TMPDIR",          // the place for temporary files
    "XDG_CONFIG_HOME", // the place of the user's configuration, if not in HOME
    "XDG_RUNTIME_DIR", // the session's sockets
    "HTTP_PROXY",      // the way to the network; curl, which Git uses, reads it in small letters only
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE", // the authorities to trust instead of the system's
    "SSL_CERT_DIR",
];

/// Most bytes of standard error that are kept: enough for a message.
const LIMIT: u64 = 64 << 10;

/// Time between two checks whether the program has ended: short enough that nobody notices the wait.
const LOOK: Duration = Duration::from_millis(10);

/// Longest wait for standard error after the program has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A program could not be run, or not to its end.
#[derive(Debug, thiserror::Error)]
#[error("cannot run `{program}`: {cause}")]
pub struct Error {
    /// Name of the program.
    pub program: String,
    /// The system's error, or that the program exceeded its time or output.
    pub cause: io::Error,
}

/// A run of a program in a folder.
#[derive(Debug, Clone, Copy)]
pub struct ProgramRun<'a> {
    /// Name of the program, searched in `PATH`.
    pub program: &'a str,
    /// Its arguments.
    pub arguments: &'a [&'a str],
    /// Its working folder.
    pub folder: &'a Path,
    /// Its variables.
    pub environment: &'a [(&'a str, &'a str)],
    /// Variables of this process that it inherits in addition to [`USUAL`].
    pub inherited: &'a [&'a str],
    /// Its standard input.
    pub input: &'a [u8],
    /// Time after which it is killed.
    pub time: Duration,
    /// Most bytes of its standard output; more is an error.
    pub limit: u64,
}

/// Output and success of a program that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramOutput {
    /// Standard output.
    pub output: Vec<u8>,
    /// The first bytes of standard error.
    pub errors: Vec<u8>,
    /// The exit code was 0.
    pub success: bool,
}

impl ProgramRun<'_> {
    /// Runs the program to its end.
    ///
    /// # Errors
    /// When it cannot be started, takes too long or writes too much.
    pub fn run(&self) -> Result<ProgramOutput, Error> {
        self.run_to_end().map_err(|cause| Error { program: self.program.to_owned(), cause })
    }

    fn run_to_end(&self) -> io::Result<ProgramOutput> {
        let mut child = self.command().spawn()?;

        // each stream has a thread of its own: a program that fills one pipe stops until somebody reads it, and would
        // never end while this thread waits at another pipe
        let errors = read_apart(child.stderr.take(), LIMIT);
        let output = read_apart(child.stdout.take(), self.limit.saturating_add(1));
        write_apart(child.stdin.take(), self.input.to_vec());

        let output = output.recv_timeout(self.time).map_err(|_| too_late()).flatten();
        let is_complete = output.as_ref().is_ok_and(|bytes| bytes.len() as u64 <= self.limit);
        // only then is the end worth waiting for: a program that wrote too much blocks at its full pipe
        let success = if is_complete { wait(&mut child, self.time) } else { None };
        if success.is_none() {
            let _may_have_ended = child.kill();
            // without this it would stay in the process table as long as this process runs
            let _reaped = child.wait();
        }

        let output = output?;
        if output.len() as u64 > self.limit {
            return Err(io::Error::other(format!("it wrote more than {} bytes", self.limit)));
        }
        // a background process of the program may keep the stream open: what has arrived is enough
        let errors = errors.recv_timeout(LAST_WORDS).ok().and_then(Result::ok).unwrap_or_default();
        let success = success.ok_or_else(too_late)?;
        Ok(ProgramOutput { output, errors, success })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        command.args(self.arguments).current_dir(self.folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());

        // starts from nothing: a list of variables to remove would always be incomplete
        command.env_clear();
        for name in USUAL.iter().chain(self.inherited) {
            command.envs(env::inherited(name).map(|value| (name, value)));
        }
        // last: what the caller sets wins over what is inherited
        command.env("PATH", env::search_path()).envs(self.environment.iter().copied());
        command
    }
}

/// Reads a stream on a thread of its own.
fn read_apart(stream: Option<impl Read + Send + 'static>, limit: u64) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    let _reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stream.map_or(Ok(0), |stream| stream.take(limit).read_to_end(&mut bytes));
        let _nobody_waits = sender.send(read.map(|_| bytes));
    });
    receiver
}

/// Writes to a stream on a thread of its own, so that a program that does not read does not block this one.
fn write_apart(stream: Option<impl Write + Send + 'static>, input: Vec<u8>) {
    let _writer = thread::spawn(move || {
        let _unread = stream.map(|mut stream| stream.write_all(&input));
    });
}

fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it took too long")
}

/// Waits until the program ends; tells whether it succeeded, or `None` when it did not end in time.
fn wait(child: &mut Child, time: Duration) -> Option<bool> {
    // the standard library has no wait with a limit
    let started = Instant::now();
    while started.elapsed() < time {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) => thread::sleep(LOOK),
            Err(_) => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn run(
        program: &str,
        arguments: &[&str],
        input: &[u8],
        time: Duration,
        limit: u64,
    ) -> Result<ProgramOutput, Error> {
        let folder = Path::new("/");
        ProgramRun { program, arguments, folder, environment: &[], inherited: &[], input, time, limit }.run()
    }

    #[test]
    fn runs_to_the_end_or_not_at_all() {
        let echoed = run("cat", &["-"], b"hello", SOON, 10).unwrap();
        assert_eq!(echoed, ProgramOutput { output: b"hello".to_vec(), errors: Vec::new(), success: true });
        assert!(!run("false", &[], b"", SOON, 10).unwrap().success);
        assert!(run("no-such-program-at-all", &[], b"", SOON, 10).is_err());
        let started = Instant::now();
        let late = run("sleep", &["60"], b"", Duration::from_millis(100), 10).unwrap_err();
        assert_eq!(late.to_string(), "cannot run `sleep`: it took too long");
        assert!(started.elapsed() < SOON);
        let endless = run("yes", &["x"], b"", SOON, 10).unwrap_err();
        assert_eq!(endless.to_string(), "cannot run `yes`: it wrote more than 10 bytes");
    }

    #[test]
    fn a_run_has_its_folder_and_both_streams() {
        let folder = tempfile::tempdir().unwrap();
        let run = |script: &str, input: &[u8], limit: u64| {
            let arguments = ["-c", script];
            let environment = [("GIVEN", "here")];
            let (program, folder, inherited) = ("sh", folder.path(), &["VARIABLE_THAT_IS_NOT_SET"][..]);
            let arguments = &arguments;
            let environment = &environment;
            ProgramRun { program, arguments, folder, environment, inherited, input, time: SOON, limit }.run()
        };
        let finished = run("pwd; echo $GIVEN; cat; echo bad >&2; exit 3", b"input", 1000).unwrap();
        let expected = format!("{}\nhere\ninput", folder.path().canonicalize().unwrap().display());
        assert_eq!(finished, ProgramOutput { output: expected.into(), errors: b"bad\n".to_vec(), success: false });
        // more input than a pipe holds, and nobody who reads it
        assert!(run("exit 0", &[0; 1 << 20], 10).unwrap().success);
        // more on standard error than is kept
        assert_eq!(run("head -c 200000 /dev/zero >&2; echo done", b"", 10).unwrap().errors.len() as u64, LIMIT);
        let many = run("echo 0123456789", b"", 10).unwrap_err().to_string();
        assert_eq!(many, "cannot run `sh`: it wrote more than 10 bytes");
    }

    /// The tests themselves run with variables that no program needs, such as those of Cargo.
    #[test]
    fn nothing_else_is_inherited() {
        let all = run("env", &["-0"], b"", SOON, 1 << 20).unwrap();
        let names: Vec<String> = String::from_utf8(all.output)
            .unwrap()
            .split_terminator('\0')
            .map(|line| line.split('=').next().unwrap_or_default().to_owned())
            .collect();
        assert!(names.iter().all(|name| name == "PATH" || USUAL.contains(&name.as_str())), "{names:?}");
        assert!(names.iter().any(|name| name == "PATH"), "{names:?}");
    }
}
