//! One back half and its state (`xenbus.h`).
//!
//! ```text
//! Initialising  the tools made it: open the image, say what we offer            -> InitWait
//! InitWait      the front half is Initialised: connect                          -> Connected
//! Connected     served; after the death of a daemon, from its ledgers on
//! Closing       the front half, or the tools, want an end                       -> Closed, once the front half is
//! Closed        the front half starts again, and the tools want us online       -> InitWait
//! ```
//!
//! A state is only ever changed from the one that was looked at, in a transaction: the tools may remove the device at
//! any time, and nothing brings it back.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use hypercall_abi::io::blkif::DiskInfo;

use super::connection::{Connection, Front, MAX_QUEUES, MAX_RING_ORDER};
use super::image;
use super::queue::Disk;
use super::request::{MAX_INDIRECT_SEGMENTS, SECTOR};
use crate::config::Format;
use crate::devices::{Address, State};
use crate::xs_client::{Client, StoreError, Tx};

/// What is given back in one piece.
const DISCARD_GRANULARITY: u32 = 4096;
/// What is written in one piece, by the page cache.
const PHYSICAL_SECTOR: u32 = 4096;

/// A back half, and what we have open for it.
pub struct Device {
    address: Address,
    disk: Option<Disk>,
    connection: Option<Connection>,
    /// The state in which something failed, which was told; it is not tried again.
    failed: Option<State>,
}

impl Device {
    /// One that nothing is open for.
    pub fn new(address: Address) -> Self {
        Self { address, disk: None, connection: None, failed: None }
    }

    fn label(&self) -> String {
        format!("domain {} disk {}", self.address.domain, self.address.id)
    }

    /// Ends the connection and closes the disk. Returns whether that is done; it takes as long as what is under way.
    pub fn end(&mut self) -> bool {
        self.connection.take_if(|connection| {
            connection.stop();
            connection.has_ended()
        });
        if self.connection.is_none() {
            self.disk = None;
        }
        self.connection.is_none()
    }

    /// Does what the states of the two halves ask for. `wake` is written to when a connection ends.
    ///
    /// # Errors
    /// As the daemon of xenstore says.
    pub fn step(&mut self, client: &mut Client, wake: &Arc<OwnedFd>) -> Result<(), StoreError> {
        let (front, back) = (self.address.front(), self.address.back());
        let state = Address::state(client, Tx::NONE, &back)?;
        let peer = Address::state(client, Tx::NONE, &front)?;
        // The tools take away what a device before this one failed at.
        let mut told = || client.find(Tx::NONE, &format!("{}/error", self.address.error()));
        if self.failed.is_some_and(|failed| failed != state) || (self.failed.is_some() && told()?.is_none()) {
            self.failed = None;
        }
        if state == State::Connected && self.connection.as_ref().is_some_and(Connection::is_broken) {
            return self.give_up(client, state);
        }
        match (state, peer) {
            // What is open is of a device before this one.
            (State::Initialising, _) if self.failed.is_none() && !self.end() => Ok(()),
            (State::Initialising, _) => self.offer(client, state),
            (State::Closed, State::Initialising) => {
                match client.find(Tx::NONE, &format!("{back}/online"))?.as_deref() {
                    Some("1") => self.offer(client, state),
                    _ => Ok(()),
                }
            }
            (State::InitWait, State::Initialised | State::Connected) => {
                self.connect(client, state, false, wake)?;
                if self.connection.is_none() {
                    return Ok(());
                }
                change(client, self.address, state, State::Connected, &[])
            }
            (State::Connected | State::Closing, State::Initialised | State::Connected | State::Closing) => {
                if self.connection.is_none() {
                    self.connect(client, state, true, wake)?;
                }
                match peer {
                    State::Closing => change(client, self.address, state, State::Closing, &[]),
                    _ => Ok(()),
                }
            }
            (State::InitWait | State::Connected | State::Closing, State::Closed | State::Unknown)
            | (State::Connected | State::Closing, State::Initialising) => {
                if !self.end() {
                    return Ok(());
                }
                change(client, self.address, state, State::Closed, &[])
            }
            _ => Ok(()),
        }
    }

    /// Says what we offer.
    fn offer(&mut self, client: &mut Client, state: State) -> Result<(), StoreError> {
        let Some(disk) = self.disk(client, state)? else { return Ok(()) };
        let queues = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_QUEUES as usize);
        let mut info = DiskInfo::empty();
        info.set(DiskInfo::READONLY, disk.read_only);
        let kind = client.find(Tx::NONE, &format!("{}/device-type", self.address.back()))?;
        info.set(DiskInfo::CDROM, kind.as_deref() == Some("cdrom"));
        let mut nodes = vec![
            ("sectors", disk.image.sectors().to_string()),
            ("sector-size", SECTOR.to_string()),
            ("physical-sector-size", PHYSICAL_SECTOR.to_string()),
            ("info", info.bits().to_string()),
            ("feature-flush-cache", "1".into()),
            ("feature-barrier", "1".into()),
            ("feature-persistent", "1".into()),
            ("feature-max-indirect-segments", MAX_INDIRECT_SEGMENTS.to_string()),
            ("multi-queue-max-queues", queues.to_string()),
            ("max-ring-page-order", MAX_RING_ORDER.to_string()),
        ];
        if disk.discard {
            nodes.extend([
                ("feature-discard", "1".into()),
                ("discard-granularity", DISCARD_GRANULARITY.to_string()),
                ("discard-alignment", "0".into()),
                ("discard-secure", "0".into()),
            ]);
        }
        change(client, self.address, state, State::InitWait, &nodes)
    }

    fn connect(
        &mut self,
        client: &mut Client,
        state: State,
        resume: bool,
        wake: &Arc<OwnedFd>,
    ) -> Result<(), StoreError> {
        let Some(disk) = self.disk(client, state)? else { return Ok(()) };
        let connection = Front::read(client, &self.address.front())
            .and_then(|front| Connection::start(self.address, &front, &disk, resume, wake));
        match connection {
            Ok(connection) => {
                self.connection = Some(connection);
                Ok(())
            }
            Err(super::connection::Unusable::Store(e)) => Err(e),
            Err(e) => self.fail(client, state, &e.to_string()),
        }
    }

    /// The disk, open.
    fn disk(&mut self, client: &mut Client, state: State) -> Result<Option<Disk>, StoreError> {
        if self.failed.is_some() {
            return Ok(None);
        }
        if self.disk.is_none() {
            let back = self.address.back();
            let mut node = |name| client.find(Tx::NONE, &format!("{back}/{name}"));
            let (path, format, mode, discard) =
                (node("params")?, node("format")?, node("mode")?, node("discard-enable")?);
            let read_only = mode.as_deref() != Some("w");
            let format = match format.as_deref() {
                Some("qcow2") => Format::Qcow2,
                _ => Format::Raw,
            };
            let path = path.unwrap_or_default();
            match image::open(Path::new(&path), format, read_only) {
                Ok(image) => {
                    let discard = discard.as_deref() == Some("1") && !read_only;
                    self.disk = Some(Disk { image, read_only, discard, name: self.label() });
                }
                Err(e) => self.fail(client, state, &format!("{path}: {e}"))?,
            }
        }
        Ok(self.disk.clone())
    }

    /// Tells of a failure where the tools look for it.
    fn fail(&mut self, client: &mut Client, state: State, cause: &str) -> Result<(), StoreError> {
        eprintln!("tenon-blockd: {}: {cause}", self.label());
        self.failed = Some(state);
        let address = self.address;
        client.transaction(|client, tx| {
            if client.find(tx, &format!("{}/state", address.back()))?.is_none() {
                return Ok(());
            }
            client.write(tx, &format!("{}/error", address.error()), cause)
        })
    }

    /// A ring is broken: nothing more is done for its guest before its front half starts again.
    fn give_up(&mut self, client: &mut Client, state: State) -> Result<(), StoreError> {
        self.fail(client, State::Closing, "the connection broke; the daemon's log says why")?;
        change(client, self.address, state, State::Closing, &[])
    }
}

/// Changes a back half's state and writes nodes, unless it is in another state meanwhile, or gone.
fn change(
    client: &mut Client,
    address: Address,
    from: State,
    to: State,
    nodes: &[(&str, String)],
) -> Result<(), StoreError> {
    if from == to {
        return Ok(());
    }
    let back = address.back();
    client.transaction(|client, tx| {
        if Address::state(client, tx, &back)? != from {
            return Ok(());
        }
        for (name, value) in nodes {
            client.write(tx, &format!("{back}/{name}"), value)?;
        }
        client.write(tx, &format!("{back}/state"), &to.number().to_string())
    })
}
