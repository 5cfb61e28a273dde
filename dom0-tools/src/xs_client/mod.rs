//! A client of the xenstore daemon, for the other tools.
//!
//! One request is under way at a time; watch events that arrive meanwhile are kept for [`Client::event`]. Works
//! with any daemon that speaks the protocol at the usual socket.

pub mod wire;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use wire::Kind;

/// Where the daemon listens.
pub const SOCKET: &str = "/run/xenstored/socket";

/// A refused request, or a connection that broke.
#[derive(Debug)]
pub enum StoreError {
    /// No daemon answers.
    Unreachable(io::Error),
    /// The connection broke.
    Broken(io::Error),
    /// The daemon refused.
    Refused {
        /// What was asked for.
        request: Kind,
        /// The node it was about.
        path: String,
        /// The daemon's word: an error name such as `ENOENT`.
        error: String,
    },
}

impl StoreError {
    /// Whether the daemon gave this error name.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        matches!(self, Self::Refused { error, .. } if error == name)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(e) => write!(f, "no xenstore daemon answers at {SOCKET}: {e}"),
            Self::Broken(e) => write!(f, "the connection to xenstored broke: {e}"),
            Self::Refused { request, path, error } => write!(f, "xenstore {request:?} {path}: {error}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// A watch that fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The node that changed.
    pub path: String,
    /// The token that the watch was registered with.
    pub token: String,
}

/// A transaction; requests without one use [`Tx::NONE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tx(u32);

impl Tx {
    /// No transaction: the request takes effect at once.
    pub const NONE: Self = Self(0);
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    next_request: u32,
    events: VecDeque<Event>,
}

/// How long an answer may take. A daemon that is being restarted drops the connection, which is noticed at once;
/// this is for one that hangs.
const PATIENCE: Duration = Duration::from_secs(10);

impl Client {
    /// Connects to the daemon.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`].
    pub fn connect() -> Result<Self, StoreError> {
        let path = std::env::var_os("XENSTORED_PATH").unwrap_or_else(|| SOCKET.into());
        let stream = UnixStream::connect(path).map_err(StoreError::Unreachable)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(StoreError::Unreachable)?;
        Ok(Self { stream, next_request: 1, events: VecDeque::new() })
    }

    /// Sends a request and waits for its answer.
    fn ask(&mut self, kind: Kind, tx: Tx, payload: &[&[u8]]) -> Result<Vec<u8>, StoreError> {
        let request = self.next_request;
        self.next_request = self.next_request.wrapping_add(1);
        wire::send(&mut self.stream, kind, request, tx.0, payload).map_err(StoreError::Broken)?;
        loop {
            let packet = wire::receive(&mut self.stream).map_err(StoreError::Broken)?;
            if packet.kind == Kind::WatchEvent as u32 {
                self.keep(&packet.payload);
            } else if packet.request != request {
                let what = format!("an answer to request {} instead of {request}", packet.request);
                return Err(StoreError::Broken(io::Error::new(io::ErrorKind::InvalidData, what)));
            } else if packet.kind == Kind::Error as u32 {
                let path = payload.first().and_then(|part| wire::strings(part).next()).unwrap_or_default();
                let error = wire::strings(&packet.payload).next().unwrap_or_default();
                return Err(StoreError::Refused { request: kind, path, error });
            } else {
                return Ok(packet.payload);
            }
        }
    }

    fn keep(&mut self, payload: &[u8]) {
        let mut parts = wire::strings(payload);
        if let (Some(path), Some(token)) = (parts.next(), parts.next()) {
            self.events.push_back(Event { path, token });
        }
    }

    fn ask_about(&mut self, kind: Kind, tx: Tx, path: &str) -> Result<Vec<u8>, StoreError> {
        self.ask(kind, tx, &[path.as_bytes(), b"\0"])
    }

    /// A node's value.
    ///
    /// # Errors
    /// `ENOENT` if there is no such node.
    pub fn read(&mut self, tx: Tx, path: &str) -> Result<String, StoreError> {
        let value = self.ask_about(Kind::Read, tx, path)?;
        Ok(String::from_utf8_lossy(&value).into_owned())
    }

    /// A node's value, `None` if there is no such node.
    ///
    /// # Errors
    /// As the daemon says, except `ENOENT`.
    pub fn find(&mut self, tx: Tx, path: &str) -> Result<Option<String>, StoreError> {
        match self.read(tx, path) {
            Ok(value) => Ok(Some(value)),
            Err(e) if e.is("ENOENT") => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The names below a node.
    ///
    /// # Errors
    /// `ENOENT` if there is no such node.
    pub fn directory(&mut self, tx: Tx, path: &str) -> Result<Vec<String>, StoreError> {
        let names = self.ask_about(Kind::Directory, tx, path)?;
        Ok(wire::strings(&names).collect())
    }

    /// The names below a node, none if there is no such node.
    ///
    /// # Errors
    /// As the daemon says, except `ENOENT`.
    pub fn names(&mut self, tx: Tx, path: &str) -> Result<Vec<String>, StoreError> {
        match self.directory(tx, path) {
            Err(e) if e.is("ENOENT") => Ok(Vec::new()),
            names => names,
        }
    }

    /// Sets a node's value, making it and its parents if need be.
    ///
    /// # Errors
    /// As the daemon says.
    pub fn write(&mut self, tx: Tx, path: &str, value: &str) -> Result<(), StoreError> {
        self.ask(Kind::Write, tx, &[path.as_bytes(), b"\0", value.as_bytes()]).map(drop)
    }

    /// Makes an empty node, unless it is there.
    ///
    /// # Errors
    /// As the daemon says.
    pub fn mkdir(&mut self, tx: Tx, path: &str) -> Result<(), StoreError> {
        self.ask_about(Kind::Mkdir, tx, path).map(drop)
    }

    /// Removes a node and everything below it; that it is not there is fine.
    ///
    /// # Errors
    /// As the daemon says, except `ENOENT`.
    pub fn remove(&mut self, tx: Tx, path: &str) -> Result<(), StoreError> {
        match self.ask_about(Kind::Rm, tx, path) {
            Err(e) if !e.is("ENOENT") => Err(e),
            _ => Ok(()),
        }
    }

    /// Sets a node's permissions: the owner with what everybody may do, then single domains (`n0`, `r5`, `b7`).
    ///
    /// # Errors
    /// As the daemon says.
    pub fn set_permissions(&mut self, tx: Tx, path: &str, permissions: &[String]) -> Result<(), StoreError> {
        let mut payload = Vec::from(path.as_bytes());
        payload.push(0);
        for permission in permissions {
            payload.extend_from_slice(permission.as_bytes());
            payload.push(0);
        }
        self.ask(Kind::SetPerms, tx, &[&payload]).map(drop)
    }

    /// Registers a watch; it fires once at once.
    ///
    /// # Errors
    /// As the daemon says.
    pub fn watch(&mut self, path: &str, token: &str) -> Result<(), StoreError> {
        self.ask(Kind::Watch, Tx::NONE, &[path.as_bytes(), b"\0", token.as_bytes(), b"\0"]).map(drop)
    }

    /// Takes a watch away; that there is none is fine.
    ///
    /// # Errors
    /// As the daemon says, except `ENOENT`.
    pub fn unwatch(&mut self, path: &str, token: &str) -> Result<(), StoreError> {
        match self.ask(Kind::Unwatch, Tx::NONE, &[path.as_bytes(), b"\0", token.as_bytes(), b"\0"]) {
            Err(e) if !e.is("ENOENT") => Err(e),
            _ => Ok(()),
        }
    }

    /// Connects a domain by its xenstore ring.
    ///
    /// # Errors
    /// As the daemon says.
    pub fn introduce(&mut self, domain: u16, gfn: u64, port: u32) -> Result<(), StoreError> {
        let payload = format!("{domain}\0{gfn}\0{port}\0");
        self.ask(Kind::Introduce, Tx::NONE, &[payload.as_bytes()]).map(drop)
    }

    /// Disconnects a domain; that it is not connected is fine.
    ///
    /// # Errors
    /// As the daemon says, except `ENOENT`.
    pub fn release(&mut self, domain: u16) -> Result<(), StoreError> {
        match self.ask_about(Kind::Release, Tx::NONE, &domain.to_string()) {
            Err(e) if !e.is("ENOENT") => Err(e),
            _ => Ok(()),
        }
    }

    /// Runs `body` in a transaction, again as often as somebody else interferes.
    ///
    /// # Errors
    /// The first error of `body`, or the daemon's.
    pub fn transaction<T>(
        &mut self,
        mut body: impl FnMut(&mut Self, Tx) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        loop {
            let id = self.ask(Kind::TransactionStart, Tx::NONE, &[b"\0"])?;
            let id = String::from_utf8_lossy(&id).trim_end_matches('\0').parse().map_err(|_| {
                StoreError::Broken(io::Error::new(io::ErrorKind::InvalidData, "no transaction id"))
            })?;
            let result = body(self, Tx(id));
            let commit: &[u8] = if result.is_ok() { b"T\0" } else { b"F\0" };
            match self.ask(Kind::TransactionEnd, Tx(id), &[commit]) {
                Err(e) if e.is("EAGAIN") => {}
                Err(e) => return result.and(Err(e)),
                Ok(_) => return result,
            }
        }
    }

    /// The next watch event; waits for it at most `timeout` (without end if `None`).
    ///
    /// # Errors
    /// If the connection broke.
    pub fn event(&mut self, timeout: Option<Duration>) -> Result<Option<Event>, StoreError> {
        while self.events.is_empty() {
            if !readable(self.stream.as_fd(), timeout).map_err(StoreError::Broken)? {
                return Ok(None);
            }
            let packet = wire::receive(&mut self.stream).map_err(StoreError::Broken)?;
            if packet.kind == Kind::WatchEvent as u32 {
                self.keep(&packet.payload);
            }
        }
        Ok(self.events.pop_front())
    }

    /// Whether an event is there already, without looking at the socket.
    #[must_use]
    pub fn has_event(&self) -> bool {
        !self.events.is_empty()
    }
}

/// How long a daemon that was there a moment ago is waited for: it is being restarted.
const RESTART: Duration = Duration::from_secs(5);

/// How long a daemon may go on being killed, or not answer, before `body` is given up.
const KILLED_AGAIN: Duration = Duration::from_secs(30);

/// Does `body` with a daemon, again from the start if the daemon is killed meanwhile, so `body` must not mind
/// what it did before. `None` if there is no daemon.
///
/// # Errors
/// What `body` says; that the connection broke only if it has kept breaking for half a minute.
pub fn with_daemon<T>(
    mut body: impl FnMut(&mut Client) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut lost: Option<Instant> = None;
    let mut first_lost: Option<Instant> = None;
    loop {
        match Client::connect().and_then(|mut client| body(&mut client)) {
            Ok(done) => return Ok(Some(done)),
            // A socket that nobody listens on is what a daemon leaves that was killed.
            Err(StoreError::Unreachable(e))
                if lost.is_none() && e.kind() != io::ErrorKind::ConnectionRefused =>
            {
                return Ok(None);
            }
            Err(StoreError::Unreachable(_)) if lost.is_some_and(|since| since.elapsed() > RESTART) => {
                return Ok(None);
            }
            Err(StoreError::Unreachable(_)) => _ = lost.get_or_insert_with(Instant::now),
            // It was there: whoever kills it may do so again.
            Err(StoreError::Broken(_))
                if first_lost.get_or_insert_with(Instant::now).elapsed() <= KILLED_AGAIN =>
            {
                lost = Some(Instant::now());
            }
            Err(e) => return Err(e),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Waits until `fd` can be read.
fn readable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
    match poll(&mut [PollFd::new(&fd, PollFlags::IN)], timeout.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(e) => Err(e.into()),
    }
}
