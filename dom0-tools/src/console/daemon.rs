//! The daemon's loop: guests come and go, and each that lives has its console served.
//!
//! Which guests there are is the hypervisor's to say; xenstored and the directory of records only tell when to
//! ask. All that matters of a console is in its ring page, so the daemon may be killed and started again.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hypercall_abi::grant_table::RESERVED_CONSOLE;
use hypercall_abi::hvm::PARAM_CONSOLE_EVTCHN;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use super::budget::Budget;
use super::guest::{Console, Turn};
use super::links;
use super::log::Log;
use super::terminal::Terminal;
use crate::config::Uuid;
use crate::host::{Domain, Host, HostError};
use crate::xen::evtchn::Evtchn;
use crate::xen::gntdev::GrantedPage;
use crate::xs_client::Client;

/// How often to look for changes that nobody tells of.
const LOOK: Duration = Duration::from_secs(1);
/// The same, where xenstored tells of most.
const LOOK_RARELY: Duration = Duration::from_secs(10);

/// What can be chosen on the command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the logs are.
    pub log_directory: PathBuf,
    /// Bytes of a log before it is rotated.
    pub log_limit: u64,
}

/// The daemon.
#[derive(Debug)]
pub struct Daemon {
    options: Options,
    host: Host,
    evtchn: Evtchn,
    store: Option<Client>,
    records: OwnedFd,
    consoles: BTreeMap<u16, Console>,
    /// Consoles that have more to say but had their turn, or no budget left.
    waiting: BTreeMap<u16, Turn>,
    look_again: Instant,
    /// Guests whose console could not be connected: reported once, tried again.
    refused: BTreeMap<u16, Uuid>,
}

/// What a turn of the loop found to do.
#[derive(Debug, Default)]
struct Ready {
    events: bool,
    changes: bool,
    terminals: Vec<u16>,
}

impl Daemon {
    /// Opens everything.
    ///
    /// # Errors
    /// If this is not domain 0, or not root.
    pub fn new(options: Options) -> io::Result<Self> {
        let host = Host::open().map_err(io::Error::other)?;
        let evtchn = Evtchn::open().map_err(io::Error::other)?;
        let records = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        inotify::add_watch(&records, host.registry.directory()?, inotify::WatchFlags::MOVED_TO)?;
        let (consoles, waiting) = (BTreeMap::new(), BTreeMap::new());
        let look_again = Instant::now();
        Ok(Self {
            options,
            host,
            evtchn,
            store: None,
            records,
            consoles,
            waiting,
            look_again,
            refused: BTreeMap::new(),
        })
    }

    /// Serves for ever.
    ///
    /// # Errors
    /// If the kernel or the hypervisor cannot be asked any more.
    pub fn run(&mut self) -> io::Result<std::convert::Infallible> {
        let ids: Vec<u16> = self.host.xen.domains().map_err(io::Error::other)?.iter().map(|d| d.id).collect();
        links::withdraw_others(&ids)?;
        loop {
            self.connect_store();
            if Instant::now() >= self.look_again {
                self.look().map_err(io::Error::other)?;
            }
            let ready = self.wait()?;
            if ready.changes {
                self.forget_notices();
                self.look_again = Instant::now();
            }
            if ready.events {
                let ports = self.evtchn.pending().map_err(io::Error::other)?;
                let woken = self.consoles.iter().filter(|(_, console)| ports.contains(&console.port));
                let woken: Vec<u16> = woken.map(|(id, _)| *id).collect();
                self.waiting.extend(woken.into_iter().map(|id| (id, Turn::More)));
            }
            for id in ready.terminals {
                self.serve_terminal(id);
            }
            self.serve_waiting();
        }
    }

    fn connect_store(&mut self) {
        if self.store.is_some() {
            return;
        }
        let Ok(mut client) = Client::connect() else { return };
        let watched =
            client.watch("@introduceDomain", "in").and_then(|()| client.watch("@releaseDomain", "out"));
        if watched.is_err() {
            return;
        }
        for (id, console) in &self.consoles {
            let _ = links::publish(Some(&mut client), *id, console.terminal().path());
        }
        self.store = Some(client);
        self.look_again = Instant::now();
    }

    /// Takes note that there were notices; what they mean is found by looking.
    fn forget_notices(&mut self) {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 1024];
        let mut reader = inotify::Reader::new(&self.records, &mut buffer);
        while reader.next().is_ok() {}
        while let Some(store) = &mut self.store {
            match store.event(Some(Duration::ZERO)) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => self.store = None,
            }
        }
    }

    /// Connects new guests and lets go of those that are gone.
    fn look(&mut self) -> Result<(), HostError> {
        let domains = self.host.domains()?;
        let lives = |id: &u16, console: &Console| {
            let found = domains.iter().find(|domain| domain.info.id == *id);
            found.is_some_and(|domain| domain.info.uuid == console.uuid && !domain.info.flags.dying)
        };
        let gone: Vec<u16> =
            self.consoles.iter().filter(|(id, console)| !lives(id, console)).map(|(id, _)| *id).collect();
        gone.into_iter().for_each(|id| self.disconnect(id));
        for domain in domains {
            let id = domain.info.id;
            if id == 0 || domain.info.flags.dying || self.consoles.contains_key(&id) {
                continue;
            }
            match self.connect(&domain) {
                Ok(Some(console)) => {
                    self.consoles.insert(id, console);
                    self.waiting.insert(id, Turn::More);
                }
                // Still being built, or a guest without a console: its next change will be noticed.
                Ok(None) => {}
                Err(e) => {
                    if self.refused.insert(id, domain.info.uuid) != Some(domain.info.uuid) {
                        eprintln!("tenon-consoled: {}: {e}", domain.name);
                    }
                }
            }
        }
        self.look_again = Instant::now() + if self.store.is_some() { LOOK_RARELY } else { LOOK };
        Ok(())
    }

    fn connect(&mut self, domain: &Domain) -> io::Result<Option<Console>> {
        let (id, name) = (domain.info.id, domain.name.clone());
        let port = match self.host.xen.param(id, PARAM_CONSOLE_EVTCHN) {
            Ok(port) if port != 0 => port as u32,
            _ => return Ok(None),
        };
        let page = GrantedPage::map(id, RESERVED_CONSOLE).map_err(io::Error::other)?;
        let port = self.evtchn.bind_interdomain(id, port).map_err(io::Error::other)?;
        let rest = || {
            let log = Log::open(&self.options.log_directory, &name, self.options.log_limit)?;
            Ok::<_, io::Error>((log, Terminal::open()?))
        };
        let (log, terminal) = match rest() {
            Ok(rest) => rest,
            Err(e) => {
                self.evtchn.unbind(port).map_err(io::Error::other)?;
                return Err(e);
            }
        };
        links::publish(self.store.as_mut(), id, terminal.path())?;
        Ok(Some(Console::new(domain.info.uuid, name, port, page, log, terminal)))
    }

    fn disconnect(&mut self, id: u16) {
        self.waiting.remove(&id);
        let Some(mut console) = self.consoles.remove(&id) else { return };
        // Its last words.
        let last = console.take_output(&self.evtchn, Instant::now());
        let done = last.and_then(|_| self.evtchn.unbind(console.port)).map_err(io::Error::other);
        if let Err(e) = done.and_then(|()| links::withdraw(id)) {
            eprintln!("tenon-consoled: {}: {e}", console.name);
        }
    }

    /// Waits until there is something to do.
    fn wait(&self) -> io::Result<Ready> {
        let terminals = self.consoles.iter().map(|(id, console)| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, console.has_room());
            flags.set(PollFlags::OUT, console.has_backlog());
            (*id, PollFd::from_borrowed_fd(console.as_fd(), flags))
        });
        let (ids, terminals): (Vec<u16>, Vec<PollFd<'_>>) = terminals.unzip();
        let mut fds =
            vec![PollFd::new(&self.evtchn, PollFlags::IN), PollFd::new(&self.records, PollFlags::IN)];
        fds.extend(terminals);
        if let Some(store) = &self.store {
            fds.push(PollFd::from_borrowed_fd(store.as_fd(), PollFlags::IN));
        }
        let pause = if self.waiting.values().any(|turn| *turn == Turn::More) {
            Duration::ZERO
        } else if self.waiting.is_empty() {
            self.look_again.saturating_duration_since(Instant::now())
        } else {
            Budget::PAUSE
        };
        match poll(&mut fds, Timespec::try_from(pause).ok().as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let has = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let changes = has(&fds[1]) || fds.get(2 + ids.len()).is_some_and(has);
        let changes = changes || self.store.as_ref().is_some_and(Client::has_event);
        let terminals = ids.into_iter().zip(&fds[2..]).filter(|(_, fd)| has(fd)).map(|(id, _)| id).collect();
        Ok(Ready { events: has(&fds[0]), changes, terminals })
    }

    fn serve_terminal(&mut self, id: u16) {
        let Some(console) = self.consoles.get_mut(&id) else { return };
        console.show();
        if let Err(e) = console.give_input(&self.evtchn) {
            eprintln!("tenon-consoled: {}: {e}", console.name);
        }
    }

    /// One turn for each console that has something to say.
    fn serve_waiting(&mut self) {
        let now = Instant::now();
        for id in self.waiting.keys().copied().collect::<Vec<_>>() {
            let Some(console) = self.consoles.get_mut(&id) else {
                self.waiting.remove(&id);
                continue;
            };
            let turn = console.take_output(&self.evtchn, now);
            let turn = match turn {
                // Only now may its next event come.
                Ok(Turn::Done) => self.evtchn.unmask(&[console.port]).map(|()| Turn::Done),
                other => other,
            };
            match turn {
                Ok(Turn::Done) => drop(self.waiting.remove(&id)),
                Ok(turn) => drop(self.waiting.insert(id, turn)),
                Err(e) => {
                    eprintln!("tenon-consoled: {}: {e}", console.name);
                    self.waiting.remove(&id);
                }
            }
        }
    }
}
