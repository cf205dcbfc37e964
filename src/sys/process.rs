//! Runs an outside program: with little input and output, and not for long.

use std::io;
use std::io::Read;
use std::io::Write;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// Largest output that is kept.
const LIMIT: u64 = 64 << 10;

/// Time between two looks whether the program has ended.
const LOOK: Duration = Duration::from_millis(10);

/// A program could not be run, or not to its end.
#[derive(Debug, thiserror::Error)]
#[error("cannot run `{program}`: {cause}")]
pub struct Error {
    /// Its name.
    pub program: String,
    /// What the system said, or that it took too long.
    pub cause: io::Error,
}

/// What a program wrote to its standard output, and whether it ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The first bytes of standard output.
    pub bytes: Vec<u8>,
    /// Whether the exit code was 0.
    pub success: bool,
}

/// Runs a program found on `PATH`, with this on its standard input; what it writes to standard error is dropped. After
/// `time` it is killed.
///
/// # Errors
/// When it cannot be started or takes too long.
pub fn run(program: &str, argument: &str, input: &[u8], time: Duration) -> Result<Output, Error> {
    let tie = |cause| Error { program: program.to_owned(), cause };
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(tie)?;
    let output = talk(&mut child, input, time);
    // also a program that closed its output may still run
    let status = match output.is_ok() {
        true => wait(&mut child, time),
        false => None,
    };
    if status.is_none() {
        let _may_have_ended = child.kill();
        let _reaped = child.wait();
    }
    match (output.map_err(tie)?, status) {
        (bytes, Some(success)) => Ok(Output { bytes, success }),
        (_, None) => Err(tie(late())),
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it took too long")
}

fn talk(child: &mut Child, input: &[u8], time: Duration) -> io::Result<Vec<u8>> {
    let (mut stdin, stdout) = (child.stdin.take(), child.stdout.take());
    if let Some(stdin) = &mut stdin {
        // a program that does not want to hear it says more by its output
        let _unheard = stdin.write_all(input);
    }
    drop(stdin);
    let (sender, receiver) = mpsc::channel();
    // reads on its own, so that a silent program does not hold this thread; ends when the program does
    let _reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.map_or(Ok(0), |stdout| stdout.take(LIMIT).read_to_end(&mut bytes));
        let _nobody_waits = sender.send(read.map(|_| bytes));
    });
    receiver.recv_timeout(time).map_err(|_| late())?
}

fn wait(child: &mut Child, time: Duration) -> Option<bool> {
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

    #[test]
    fn runs_to_the_end_or_not_at_all() {
        let echoed = run("cat", "-", b"hello", SOON).unwrap();
        assert_eq!(echoed, Output { bytes: b"hello".to_vec(), success: true });
        assert!(!run("false", "", b"", SOON).unwrap().success);
        assert!(run("no-such-program-at-all", "", b"", SOON).is_err());
        let started = Instant::now();
        let late = run("sleep", "60", b"", Duration::from_millis(100)).unwrap_err();
        assert_eq!(late.to_string(), "cannot run `sleep`: it took too long");
        assert!(started.elapsed() < SOON);
    }

    #[test]
    fn keeps_the_first_bytes_only() {
        let endless = run("yes", "x", b"", Duration::from_millis(300));
        assert!(endless.is_ok_and(|output| output.bytes.len() as u64 == LIMIT && !output.success));
    }
}
