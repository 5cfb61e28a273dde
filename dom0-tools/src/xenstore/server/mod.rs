//! The event loop: sockets, event channels, timers. One thread, no locks; nothing in it waits but the poll.

mod client;
mod listen;

pub use listen::{ListenError, listen};

use super::daemon::{Daemon, Later, Machine, Served};
use super::fairness::Millis;
use super::ids::{ConnId, DomId};
use super::journal::Log;
use client::Client;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// How long to wait before trying again what the machine refused: attaching a domain, accepting a process.
const RETRY: Millis = 50;
/// How long to wait at most; every attempt doubles the time up to that.
const RETRY_MOST: Millis = 5000;
/// While a client waits for another's transaction, how often to look whether it has ended.
const CHECK: Millis = 5;

/// News from the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A domain signalled.
    Ring(DomId),
    /// A domain shut down or died.
    DomainsChanged,
}

/// Where the machine's news come from.
pub trait Source {
    /// Readable when there is news.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// The news; may be empty. They will be repeated if anything happens after this call.
    fn signals(&mut self) -> Vec<Signal>;
}

/// The daemon with its clients.
pub struct Server<M: Machine + Source, L: Log> {
    daemon: Daemon<M, L>,
    listeners: Vec<UnixListener>,
    clients: BTreeMap<ConnId, Client>,
    /// Who has something to do now.
    ready: BTreeSet<ConnId>,
    /// Who has to wait for somebody else.
    later: BTreeSet<ConnId>,
    /// When to try again to attach domains, and how long to wait after that.
    attach: Option<(Millis, Millis)>,
    accept_at: Millis,
    start: Instant,
}

/// What was polled.
#[derive(Clone, Copy)]
enum Polled {
    Machine,
    Listener(usize),
    Client(ConnId),
}

impl<M: Machine + Source, L: Log> Server<M, L> {
    /// A server of a daemon that was started.
    pub fn new(daemon: Daemon<M, L>, listeners: Vec<UnixListener>) -> Self {
        let ready = daemon.domains().map(ConnId::Domain).collect();
        Self {
            daemon,
            listeners,
            clients: BTreeMap::new(),
            ready,
            later: BTreeSet::new(),
            attach: Some((0, RETRY)),
            accept_at: 0,
            start: Instant::now(),
        }
    }

    /// Serves for ever.
    ///
    /// # Errors
    /// If the kernel does not let it wait.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            self.turn()?;
        }
    }

    /// Waits for something to do, and does it.
    fn turn(&mut self) -> io::Result<()> {
        let polled = self.wait()?;
        let now = self.now();
        for (what, flags) in polled {
            match what {
                Polled::Machine => self.hear(),
                Polled::Listener(index) => self.accept(index, now),
                Polled::Client(conn) => self.exchange(conn, flags),
            }
        }
        self.attach_missing(now);
        self.ready.append(&mut self.later);
        for conn in std::mem::take(&mut self.ready) {
            self.serve(conn, now);
        }
        for conn in self.daemon.take_unsent() {
            match conn {
                ConnId::Domain(domid) => self.daemon.send(domid),
                ConnId::Socket(_) => self.send(conn),
            }
        }
        Ok(())
    }

    /// Tries again, when it is time, to attach the domains that could not be attached so far: an earlier daemon's
    /// files may not be closed yet.
    fn attach_missing(&mut self, now: Millis) {
        let Some((at, wait)) = self.attach else { return };
        if now < at {
            return;
        }
        let all = self.daemon.attach_missing();
        self.attach = (!all).then_some((now + wait, RETRY_MOST.min(wait * 2)));
        self.ready.extend(self.daemon.domains().map(ConnId::Domain));
    }

    fn now(&self) -> Millis {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = self.now();
        let retry = (self.accept_at > now).then_some(self.accept_at);
        let check = (!self.later.is_empty()).then_some(now + CHECK);
        let attach = self.attach.map(|(at, _)| at);
        let next = check.into_iter().chain(attach).chain(retry).min()?;
        Some(Duration::from_millis(next.saturating_sub(now)))
    }

    fn wait(&self) -> io::Result<Vec<(Polled, PollFlags)>> {
        let machine = self.daemon.machine().fd();
        let machine = machine.map(|fd| (Polled::Machine, PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let may_accept = self.accept_at <= self.now();
        let listeners = self.listeners.iter().enumerate().filter(|_| may_accept).map(|(index, listener)| {
            (Polled::Listener(index), PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN))
        });
        let clients = self.clients.iter().map(|(conn, client)| {
            let flags = client.interest(self.daemon.is_saturated(*conn));
            (Polled::Client(*conn), PollFd::from_borrowed_fd(client.as_fd(), flags))
        });
        let (what, mut fds): (Vec<_>, Vec<_>) = machine.into_iter().chain(listeners).chain(clients).unzip();
        let timeout = self.timeout().map(|wait| Timespec {
            tv_sec: wait.as_secs().cast_signed(),
            tv_nsec: wait.subsec_nanos().into(),
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let polled = what.into_iter().zip(fds.iter().map(PollFd::revents));
        Ok(polled.filter(|(_, flags)| !flags.is_empty()).collect())
    }

    fn hear(&mut self) {
        for signal in self.daemon.machine_mut().signals() {
            match signal {
                Signal::Ring(domid) => {
                    self.ready.insert(ConnId::Domain(domid));
                }
                Signal::DomainsChanged => self.daemon.check_domains(),
            }
        }
    }

    fn accept(&mut self, index: usize, now: Millis) {
        let Some(listener) = self.listeners.get(index) else { return };
        match listener.accept().and_then(|(stream, _)| Client::new(stream)) {
            Ok(client) => {
                let conn = self.daemon.connect();
                debug!(client = %conn, "connected");
                self.clients.insert(conn, client);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                warn!("a connection cannot be accepted: {error}");
                self.accept_at = now + RETRY;
            }
        }
    }

    /// Reads and writes as far as the socket lets.
    fn exchange(&mut self, conn: ConnId, flags: PollFlags) {
        if flags.contains(PollFlags::OUT) {
            self.send(conn);
        }
        let Some(client) = self.clients.get_mut(&conn) else { return };
        if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            client.receive();
            self.ready.insert(conn);
        }
    }

    fn send(&mut self, conn: ConnId) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        let Some(output) = self.daemon.output(conn) else { return };
        if client.send(output).is_err() {
            self.drop_client(conn);
        } else if client.has_request() {
            self.ready.insert(conn);
        }
    }

    fn serve(&mut self, conn: ConnId, now: Millis) {
        match conn {
            ConnId::Domain(domid) => match self.daemon.serve(domid, now) {
                Served::All => {}
                Served::More => {
                    self.ready.insert(conn);
                }
                Served::Later => {
                    self.later.insert(conn);
                }
            },
            ConnId::Socket(_) => self.serve_client(conn, now),
        }
    }

    /// Handles what a process has sent, some requests at a time.
    fn serve_client(&mut self, conn: ConnId, now: Millis) {
        for _ in 0..client::TURN {
            let Some(client) = self.clients.get_mut(&conn) else { return };
            if self.daemon.is_saturated(conn) {
                // It has to take replies first, and then it is ready again.
                return;
            }
            let request = match client.request() {
                Ok(Some(request)) => request,
                Ok(None) if client.is_done() => {
                    // It may have closed one direction only, and wait for its last reply.
                    self.send(conn);
                    return self.drop_client(conn);
                }
                Ok(None) => return,
                Err(too_long) => {
                    warn!(client = %conn, "disconnected: a message of {} bytes", too_long.0);
                    return self.drop_client(conn);
                }
            };
            match self.daemon.handle(conn, &request, now) {
                Ok(()) => {}
                Err(Later) => {
                    client.put_back(&request);
                    self.later.insert(conn);
                    return;
                }
            }
        }
        self.ready.insert(conn);
    }

    fn drop_client(&mut self, conn: ConnId) {
        debug!(client = %conn, "disconnected");
        self.clients.remove(&conn);
        self.later.remove(&conn);
        self.ready.remove(&conn);
        self.daemon.disconnect(conn);
    }
}
