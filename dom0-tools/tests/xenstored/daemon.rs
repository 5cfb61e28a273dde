//! A running daemon, and a client of it.

use dom0_tools::xenstore::wire::{Kind, Request, decode};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a daemon may take to be there.
const PATIENCE: Duration = Duration::from_secs(20);

/// A place for a daemon, and the process if it runs.
pub struct Daemon {
    directory: PathBuf,
    process: Option<Child>,
}

impl Daemon {
    pub fn start(directory: &Path) -> Self {
        let mut daemon = Self { directory: directory.to_owned(), process: None };
        daemon.spawn();
        daemon
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    fn spawn(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenon-xenstored"));
        command.arg("--no-domains").arg("--log-level=error");
        command.arg("--socket-dir").arg(&self.directory).arg("--state-dir").arg(self.directory.join("state"));
        self.process = Some(command.stdin(Stdio::null()).spawn().unwrap());
    }

    /// Kills the daemon as hard as that goes, and starts another.
    pub fn kill(&mut self) {
        self.stop();
        self.spawn();
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            assert_eq!(process.try_wait().unwrap(), None, "the daemon ended by itself");
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

pub struct Client {
    stream: UnixStream,
    input: Vec<u8>,
}

/// A refusal's name.
pub type Refused = String;

impl Client {
    /// Connects, waiting for a daemon if there is none just now.
    pub fn connect(socket: &Path) -> Self {
        let start = Instant::now();
        loop {
            match UnixStream::connect(socket) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    return Self { stream, input: Vec::new() };
                }
                Err(error) => assert!(start.elapsed() < PATIENCE, "no daemon: {error}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends a request and waits for its reply; the outer error means that the daemon is gone.
    pub fn ask(&mut self, kind: Kind, tx_id: u32, payload: &str) -> io::Result<Result<String, Refused>> {
        let request = Request { kind: kind as u32, req_id: 7, tx_id, payload: payload.into() };
        self.stream.write_all(&request.encode())?;
        loop {
            if let Some((reply, len)) = decode(&self.input).unwrap() {
                self.input.drain(..len);
                assert_eq!((reply.req_id, reply.tx_id), (7, tx_id));
                let text = String::from_utf8(reply.payload).unwrap();
                return Ok(match Kind::from_number(reply.kind) {
                    Some(Kind::Error) => Err(text.trim_end_matches('\0').to_owned()),
                    _ => Ok(text),
                });
            }
            let mut bytes = [0; 4096];
            let count = self.stream.read(&mut bytes)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.input.extend_from_slice(&bytes[..count]);
        }
    }

    pub fn write(&mut self, tx: u32, path: &str, value: u64) -> io::Result<Result<String, Refused>> {
        self.ask(Kind::Write, tx, &format!("{path}\0{value}"))
    }

    /// A number, 0 if there is none.
    pub fn read(&mut self, tx: u32, path: &str) -> io::Result<u64> {
        match self.ask(Kind::Read, tx, &format!("{path}\0"))? {
            Ok(text) => Ok(text.parse().unwrap()),
            Err(refused) => {
                assert_eq!(refused, "ENOENT");
                Ok(0)
            }
        }
    }

    pub fn begin(&mut self) -> io::Result<u32> {
        let reply = self.ask(Kind::TransactionStart, 0, "\0")?.unwrap();
        Ok(reply.trim_end_matches('\0').parse().unwrap())
    }

    /// Commits. Tells whether that succeeded; if not, it was for a conflict.
    pub fn commit(&mut self, tx: u32) -> io::Result<bool> {
        let reply = self.ask(Kind::TransactionEnd, tx, "T\0")?;
        assert!(reply.is_ok() || reply == Err("EAGAIN".to_owned()), "{reply:?}");
        Ok(reply.is_ok())
    }
}
