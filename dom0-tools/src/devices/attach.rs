//! Giving a device to a guest.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::error::DeviceError;
use super::nic;
use super::xenbus::{Address, Kind, State};
use super::{Device, Nodes};
use crate::xen::hypercall::Xen;
use crate::xs_client::{Client, StoreError, Tx, with_daemon};

/// How long domain 0's driver may take until it has what is behind a device.
const DRIVER: Duration = Duration::from_secs(20);
/// How often we look.
const LOOK: Duration = Duration::from_millis(5);

/// Gives `device` to domain `domain` and waits until domain 0's half is ready for the guest's.
///
/// # Errors
/// [`DeviceError`]; then nothing of the device is left.
pub fn attach<D: Device>(xen: &Xen, domain: u16, device: &D) -> Result<Address, DeviceError> {
    let address = device.address(domain);
    let (held, nodes) = device.open(xen, domain)?;
    publish(address, &nodes, &device.label())?;
    settle(device, address, &held).inspect_err(|_| {
        // The error that led here is the one worth reporting, and what is left serves nobody.
        let _ = remove(address);
    })?;
    Ok(address)
}

/// Removes all that xenstore has of a device; domain 0's driver then lets go of it.
///
/// # Errors
/// As the daemon says.
pub(super) fn remove(address: Address) -> Result<(), DeviceError> {
    if address.kind == Kind::Nic {
        nic::undo(address.domain, Some(address));
    }
    let removed = with_daemon(|client| {
        client.transaction(|client, tx| address.all().iter().try_for_each(|path| client.remove(tx, path)))
    })?;
    removed.ok_or(DeviceError::NoStore)
}

/// Writes both halves at once. Callers see to it that nobody else attaches devices to the same guest meanwhile.
fn publish(address: Address, nodes: &Nodes, what: &str) -> Result<(), DeviceError> {
    // A daemon that was killed while it answered may have done it already: then what is there is ours.
    let mut tried = false;
    let done = with_daemon(|client| {
        client.transaction(|client, tx| {
            if !tried && client.find(tx, &address.front())?.is_some() {
                return Ok(false);
            }
            tried = true;
            write(client, tx, address, nodes).map(|()| true)
        })
    })?;
    match done {
        Some(true) => Ok(()),
        Some(false) => Err(DeviceError::Taken { what: what.into() }),
        None => Err(DeviceError::NoStore),
    }
}

fn write(client: &mut Client, tx: Tx, address: Address, nodes: &Nodes) -> Result<(), StoreError> {
    let Address { domain, id, .. } = address;
    let (front, back) = (address.front(), address.back());
    client.remove(tx, &address.error())?;
    // Each half may read the other; everything below inherits it.
    for (path, permissions) in [
        (&front, [format!("n{domain}"), "r0".into()]),
        (&back, ["n0".into(), format!("r{domain}")]),
        (&address.libxl(), ["n0".into(), "n0".into()]),
    ] {
        client.mkdir(tx, path)?;
        client.set_permissions(tx, path, &permissions)?;
    }
    let initialising = "1";
    let common_front =
        [("backend", back.clone()), ("backend-id", "0".into()), ("state", initialising.into())];
    for (node, value) in common_front.iter().chain(&nodes.front) {
        client.write(tx, &format!("{front}/{node}"), value)?;
    }
    let common_back = [
        ("frontend", front.clone()),
        ("frontend-id", domain.to_string()),
        ("handle", id.to_string()),
        ("online", "1".into()),
        ("state", initialising.into()),
    ];
    for directory in [&back, &address.libxl()] {
        for (node, value) in common_back.iter().chain(&nodes.back) {
            client.write(tx, &format!("{directory}/{node}"), value)?;
        }
    }
    client.write(tx, &format!("{}/backend", address.libxl()), &back)
}

/// Waits until domain 0's half has what is behind it, or says why not.
fn settle<D: Device>(device: &D, address: Address, held: &D::Held) -> Result<(), DeviceError> {
    let start = Instant::now();
    let mut connection = None;
    loop {
        let client = match &mut connection {
            Some(client) => client,
            None => connection.insert(with_daemon(|_| Client::connect())?.ok_or(DeviceError::NoStore)?),
        };
        match device.settle(client, address, held) {
            Ok(true) => return Ok(()),
            // The daemon is being restarted.
            Err(DeviceError::Store(StoreError::Broken(_))) => connection = None,
            Err(e) => return Err(e),
            Ok(false) => match client.find(Tx::NONE, &format!("{}/error", address.error())) {
                Ok(Some(cause)) => return Err(DeviceError::Failed { what: device.label(), cause }),
                Ok(None) => {}
                Err(StoreError::Broken(_)) => connection = None,
                Err(e) => return Err(e.into()),
            },
        }
        if start.elapsed() > DRIVER {
            return Err(DeviceError::Silent { what: device.label() });
        }
        sleep(LOOK);
    }
}

/// Waits until both halves are connected, at most `within`. Returns whether they are.
///
/// # Errors
/// As the daemon says.
pub fn connected(address: Address, within: Duration) -> Result<bool, DeviceError> {
    let start = Instant::now();
    let done = with_daemon(|client| {
        let halves = [address.front(), address.back()];
        for half in &halves {
            client.watch(&format!("{half}/state"), "state")?;
        }
        loop {
            let mut states = [State::Unknown; 2];
            for (state, half) in states.iter_mut().zip(&halves) {
                *state = Address::state(client, Tx::NONE, half)?;
            }
            if states == [State::Connected; 2] {
                return Ok(true);
            }
            let left = within.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            client.event(Some(left))?;
        }
    })?;
    done.ok_or(DeviceError::NoStore)
}
