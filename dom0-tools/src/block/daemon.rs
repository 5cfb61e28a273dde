//! The daemon's main thread: which back halves there are.
//!
//! All that matters is in xenstore; what this process remembers is only what it has open. So whatever a watch says, the
//! answer is to look at everything; the module `device` brings one device to where it should be.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{FlockOperation, flock};

use super::device::Device;
use super::ledger;
use crate::devices::{Address, Kind};
use crate::xs_client::{Client, StoreError, Tx};

/// All back halves.
const ALL: &str = "/local/domain/0/backend/qdisk";
/// Held by the daemon while it lives.
pub const LOCK: &str = "/run/tenon/block.lock";
/// How often to try to reach xenstored again.
const AGAIN: Duration = Duration::from_millis(100);
/// How often to look at everything, whatever the watches say.
const LOOK: Duration = Duration::from_secs(30);
/// The daemon.
pub struct Daemon {
    devices: BTreeMap<(u16, u32), Device>,
    wake: Arc<OwnedFd>,
    /// Held by this process alone. The kernel lets go of it when the process is gone, and what the process had under
    /// way with it: nobody writes to a disk behind the back of whoever has it now.
    _lock: fs::File,
}

impl Daemon {
    /// Takes the lock.
    ///
    /// # Errors
    /// Another one runs, or as the system says.
    pub fn new() -> io::Result<Self> {
        fs::create_dir_all(ledger::DIRECTORY)?;
        let lock = fs::File::options().write(true).create(true).truncate(false).open(LOCK)?;
        // The tools hold it for an instant when they look whether there is a daemon.
        let start = Instant::now();
        while let Err(e) = flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            match e {
                rustix::io::Errno::WOULDBLOCK if start.elapsed() < AGAIN => std::thread::sleep(AGAIN / 10),
                rustix::io::Errno::WOULDBLOCK => return Err(io::Error::other("another one runs already")),
                e => return Err(e.into()),
            }
        }
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        Ok(Self { devices: BTreeMap::new(), wake, _lock: lock })
    }

    /// Serves for ever. Guests' disks go on while there is no xenstored.
    pub fn run(&mut self) -> std::convert::Infallible {
        loop {
            match Client::connect().and_then(|mut client| self.serve(&mut client)) {
                Ok(never) => match never {},
                Err(StoreError::Unreachable(_) | StoreError::Broken(_)) => {}
                Err(e) => eprintln!("tenon-blockd: {e}"),
            }
            std::thread::sleep(AGAIN);
        }
    }

    fn serve(&mut self, client: &mut Client) -> Result<std::convert::Infallible, StoreError> {
        client.watch(ALL, "back")?;
        // The watches of a connection die with it.
        for key in self.devices.keys() {
            client.watch(&front_state(address(*key)), "front")?;
        }
        loop {
            self.look(client)?;
            let start = Instant::now();
            while !client.has_event() && start.elapsed() < LOOK {
                let fds = [self.wake.as_fd(), client.as_fd()];
                let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
                let pause = Timespec::try_from(LOOK).ok();
                match poll(&mut fds, pause.as_ref()) {
                    Ok(0) => {}
                    Err(rustix::io::Errno::INTR) => continue,
                    Err(e) => return Err(StoreError::Broken(e.into())),
                    Ok(_) => break,
                }
            }
            let _ = rustix::io::read(&self.wake, &mut [0; 8]);
            // What the events say is found by looking.
            while client.event(Some(Duration::ZERO))?.is_some() {}
        }
    }

    /// Brings every device to where it should be.
    fn look(&mut self, client: &mut Client) -> Result<(), StoreError> {
        let mut there = Vec::new();
        for domain in client.names(Tx::NONE, ALL)? {
            let Ok(id) = domain.parse::<u16>() else { continue };
            for device in client.names(Tx::NONE, &format!("{ALL}/{domain}"))? {
                if let Ok(device) = device.parse::<u32>() {
                    there.push((id, device));
                }
            }
        }
        let gone: Vec<_> = self.devices.keys().filter(|key| !there.contains(key)).copied().collect();
        for key in gone {
            let has_ended = self.devices.get_mut(&key).is_none_or(Device::end);
            if has_ended {
                self.devices.remove(&key);
                client.unwatch(&front_state(address(key)), "front")?;
            }
        }
        for key in there {
            let device = match self.devices.entry(key) {
                Entry::Occupied(device) => device.into_mut(),
                Entry::Vacant(place) => {
                    client.watch(&front_state(address(key)), "front")?;
                    place.insert(Device::new(address(key)))
                }
            };
            device.step(client, &self.wake)?;
        }
        self.forget_ledgers();
        Ok(())
    }

    /// Removes the ledgers of devices that are gone. That one stays costs a little memory, nothing else.
    fn forget_ledgers(&self) {
        let Ok(files) = fs::read_dir(ledger::DIRECTORY) else { return };
        for file in files.flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let key = name.split_once('.').and_then(|(device, _)| device.split_once('-'));
            let key = key.and_then(|(domain, id)| Some((domain.parse().ok()?, id.parse().ok()?)));
            if key.is_none_or(|key| !self.devices.contains_key(&key)) {
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

/// How long a daemon that was killed may take to be there again.
const RESTART: Duration = Duration::from_secs(5);

/// Whether a daemon runs; one that is being restarted is waited for.
///
/// # Errors
/// As the system says.
pub fn runs() -> io::Result<bool> {
    let start = Instant::now();
    loop {
        match fs::File::open(LOCK) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(e),
            // Whoever holds it holds it alone.
            Ok(lock) => match flock(&lock, FlockOperation::NonBlockingLockShared) {
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(true),
                Err(e) => return Err(e.into()),
                Ok(()) if start.elapsed() > RESTART => return Ok(false),
                Ok(()) => {}
            },
        }
        std::thread::sleep(AGAIN);
    }
}

/// The device that a key names.
fn address((domain, id): (u16, u32)) -> Address {
    Address { domain, kind: Kind::UserlandDisk, id }
}

fn front_state(address: Address) -> String {
    format!("{}/state", address.front())
}
