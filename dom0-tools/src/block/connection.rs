//! A back half that is connected to a front half: what the two agreed on, and a thread for each ring.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};
use std::{fmt, io};

use hypercall_abi::errno::Errno;
use hypercall_abi::io::blkif::{PROTO_X86_32, PROTO_X86_64};

use rustix::event::{EventfdFlags, eventfd};

use super::ledger::{self, Ledger, Owner};
use super::memory::Granted;
use super::queue::{Broken, Disk, Queue};
use super::request::Layout;
use super::ring::Ring;
use crate::devices::Address;
use crate::xen::error::XenError;
use crate::xen::evtchn::Evtchn;
use crate::xen::gntdev::GrantedPage;
use crate::xs_client::{Client, StoreError, Tx};

/// Rings of one disk, at most.
pub const MAX_QUEUES: u32 = 4;
/// Pages of one ring, at most, as a power of two.
pub const MAX_RING_ORDER: u32 = 4;
/// How long the kernel may take to close the event channels of a daemon that was killed.
const CLOSING: Duration = Duration::from_secs(2);

/// What a front half says of one ring.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Offer {
    pages: Vec<u32>,
    port: u32,
}

/// What a front half says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    layout: Layout,
    /// Whether it grants the same pages again and again.
    persistent: bool,
    rings: Vec<Offer>,
}

/// Why a front half's details are of no use.
#[derive(Debug)]
pub enum Unusable {
    /// A node that is not there, or holds nonsense.
    Node(String),
    /// A ring that could not be had.
    Ring(Broken),
    /// The daemon of xenstore refused.
    Store(StoreError),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(f, "the guest's half says nothing usable in {name:?}"),
            Self::Ring(e) => write!(f, "the guest's ring: {e}"),
            Self::Store(e) => e.fmt(f),
        }
    }
}

impl From<StoreError> for Unusable {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}

impl<E: Into<Broken>> From<E> for Unusable {
    fn from(e: E) -> Self {
        Self::Ring(e.into())
    }
}

impl Front {
    /// Reads what the front half in `directory` says.
    ///
    /// # Errors
    /// It says nothing usable.
    pub fn read(client: &mut Client, directory: &str) -> Result<Self, Unusable> {
        let protocol = client.find(Tx::NONE, &format!("{directory}/protocol"))?;
        let layout = match protocol.as_deref() {
            None | Some(PROTO_X86_64) => Layout::X64,
            Some(PROTO_X86_32) => Layout::X32,
            Some(_) => return Err(Unusable::Node("protocol".into())),
        };
        let queues = number(client, directory, "multi-queue-num-queues", 1..=MAX_QUEUES)?;
        let order = number(client, directory, "ring-page-order", 0..=MAX_RING_ORDER)?;
        let persistent = number(client, directory, "feature-persistent", 0..=1)? == Some(1);
        let mut rings = Vec::new();
        for queue in 0..queues.unwrap_or(1) {
            let place = match queues {
                None | Some(1) => directory.to_owned(),
                Some(_) => format!("{directory}/queue-{queue}"),
            };
            let mut wanted = |name: &str| {
                let found = number(client, &place, name, 0..=u32::MAX)?;
                found.ok_or_else(|| Unusable::Node(name.to_owned()))
            };
            let names: Vec<String> = match order {
                None | Some(0) => vec!["ring-ref".into()],
                Some(order) => (0..1 << order).map(|page: u32| format!("ring-ref{page}")).collect(),
            };
            let pages = names.iter().map(|name| wanted(name)).collect::<Result<_, _>>()?;
            rings.push(Offer { pages, port: wanted("event-channel")? });
        }
        Ok(Self { layout, persistent, rings })
    }
}

fn number(
    client: &mut Client,
    directory: &str,
    name: &str,
    range: std::ops::RangeInclusive<u32>,
) -> Result<Option<u32>, Unusable> {
    let Some(text) = client.find(Tx::NONE, &format!("{directory}/{name}"))? else { return Ok(None) };
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.map(Some).ok_or_else(|| Unusable::Node(name.to_owned()))
}

/// What ends a connection's threads.
#[derive(Debug)]
struct Stop {
    wanted: AtomicBool,
    fd: OwnedFd,
}

/// A connection. Its threads end when it is told to [`Connection::stop`], or when a ring is broken.
#[derive(Debug)]
pub struct Connection {
    threads: Vec<JoinHandle<()>>,
    stop: Arc<Stop>,
}

impl Connection {
    /// Connects to a front half; with `resume`, goes on where a daemon before us was killed. Writes to `wake` when a
    /// thread ends.
    ///
    /// # Errors
    /// A ring cannot be had.
    pub fn start(
        address: Address,
        front: &Front,
        disk: &Disk,
        resume: bool,
        wake: &Arc<OwnedFd>,
    ) -> Result<Self, Unusable> {
        let fd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map_err(io::Error::from)?;
        let stop = Arc::new(Stop { wanted: AtomicBool::new(false), fd });
        let mut servers = Vec::new();
        for (number, offer) in (0..).zip(&front.rings) {
            servers.push(Server::open(address, number, front, offer, disk, resume)?);
        }
        let mut connection = Self { threads: Vec::new(), stop };
        for mut server in servers {
            let (stop, wake, name) = (Arc::clone(&connection.stop), Arc::clone(wake), disk.name.clone());
            let thread = thread::Builder::new().name(format!("{}-{}", address.domain, address.id));
            connection.threads.push(thread.spawn(move || {
                if let Err(cause) = server.run(&stop) {
                    eprintln!("tenon-blockd: {name}: {cause}");
                }
                drop(server);
                // It can only fail because it was written to 2^64 times.
                let _ = rustix::io::write(&*wake, &1u64.to_ne_bytes());
            })?);
        }
        Ok(connection)
    }

    /// Tells the threads to end once nothing is under way.
    pub fn stop(&self) {
        self.stop.wanted.store(true, Ordering::Release);
        let _ = rustix::io::write(&self.stop.fd, &1u64.to_ne_bytes());
    }

    /// Whether all threads have ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Whether a thread has ended that nobody told to.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        !self.stop.wanted.load(Ordering::Acquire) && self.threads.iter().any(JoinHandle::is_finished)
    }
}

/// What a thread has.
struct Server {
    queue: Queue<GrantedPage, Granted>,
    evtchn: Evtchn,
    port: u32,
}

impl Server {
    fn open(
        address: Address,
        number: u32,
        front: &Front,
        offer: &Offer,
        disk: &Disk,
        resume: bool,
    ) -> Result<Self, Unusable> {
        let domain = address.domain;
        let pages: Result<Vec<_>, _> =
            offer.pages.iter().map(|page| GrantedPage::map(domain, *page)).collect();
        let ring = Ring::new(pages?, front.layout);
        let owner = Owner { entries: ring.size(), port: offer.port, ring: offer.pages[0] };
        let path = ledger::path(domain, address.id, number);
        let (ledger, again) = if resume {
            Ledger::resume(&path, owner, ring.next_response())?
        } else {
            (Ledger::create(&path, owner)?, Vec::new())
        };
        let queue = Queue::new(ring, ledger, again, Granted::open(domain, front.persistent)?, disk.clone())?;
        let evtchn = Evtchn::open()?;
        let port = bind(&evtchn, domain, offer.port)?;
        Ok(Self { queue, evtchn, port })
    }

    fn run(&mut self, stop: &Stop) -> Result<(), Broken> {
        // A daemon before us may have been killed before it told of its last responses.
        self.evtchn.notify(self.port)?;
        loop {
            let stopping = stop.wanted.load(Ordering::Acquire);
            if !stopping {
                self.queue.begin()?;
            }
            if self.queue.push() {
                self.evtchn.notify(self.port)?;
            }
            if stopping && self.queue.is_idle() {
                return Ok(());
            }
            // Once it is known, the order to stop is no news any more.
            let other = if stopping { self.evtchn.as_fd() } else { stop.fd.as_fd() };
            self.queue.wait([self.evtchn.as_fd(), other], !stopping)?;
            let ports = self.evtchn.pending()?;
            if !ports.is_empty() {
                self.evtchn.unmask(&ports)?;
            }
        }
    }
}

/// Binds the guest's port. The kernel closes a dead daemon's channels in its own time, and until then the port is
/// still bound.
fn bind(evtchn: &Evtchn, domain: u16, port: u32) -> Result<u32, XenError> {
    let start = Instant::now();
    loop {
        match evtchn.bind_interdomain(domain, port) {
            Err(e) if e.is(Errno::EINVAL) && start.elapsed() < CLOSING => sleep(Duration::from_millis(10)),
            bound => return bound,
        }
    }
}
