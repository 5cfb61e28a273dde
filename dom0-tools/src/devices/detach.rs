//! Taking a device from a guest.

use std::time::{Duration, Instant};

use hypercall_abi::io::xenbus;

use super::attach::remove;
use super::error::DeviceError;
use super::xenbus::{Address, State};
use crate::xs_client::{Tx, with_daemon};

/// Whether the guest was asked to let go of a device.
enum Asked {
    Yes,
    /// Its driver has nothing to do with the device.
    NotTaken,
    NotThere,
}

/// Asks the guest to let go of a device and waits until it has, at most `within`; then the device goes. It can be
/// asked again: a guest that had the device in use lets go of it later, or when it is asked the next time. One whose
/// driver has not taken the device is not asked.
///
/// # Errors
/// [`DeviceError::InUse`] if the guest does not, or as the daemon says.
pub fn detach(address: Address, what: &str, within: Duration) -> Result<(), DeviceError> {
    let (front, back) = (address.front(), address.back());
    let closing = xenbus::STATE_CLOSING.to_string();
    let asked = with_daemon(|client| {
        client.transaction(|client, tx| {
            if client.find(tx, &back)?.is_none() {
                return Ok(Asked::NotThere);
            }
            let is_taken = State::InitWait..State::Closed;
            if !is_taken.contains(&Address::state(client, tx, &front)?) {
                return Ok(Asked::NotTaken);
            }
            // Without this, domain 0's half would wait for another front half.
            client.write(tx, &format!("{back}/online"), "0")?;
            if Address::state(client, tx, &back)? < State::Closing {
                client.write(tx, &format!("{back}/state"), &closing)?;
            }
            Ok(Asked::Yes)
        })
    })?;
    match asked {
        Some(Asked::Yes) => {}
        Some(Asked::NotTaken) => return remove(address),
        Some(Asked::NotThere) => return Err(DeviceError::NoSuchDevice { what: what.into() }),
        None => return Err(DeviceError::NoStore),
    }
    let start = Instant::now();
    let closed = with_daemon(|client| {
        client.watch(&back, "back")?;
        loop {
            let is_gone = client.find(Tx::NONE, &back)?.is_none();
            if is_gone || Address::state(client, Tx::NONE, &back)? == State::Closed {
                return Ok(true);
            }
            let left = within.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            client.event(Some(left))?;
        }
    })?;
    match closed {
        Some(true) => remove(address),
        Some(false) => Err(in_use(address, &front, what)),
        None => Err(DeviceError::NoStore),
    }
}

/// Takes the device without asking: the guest's driver sees errors.
///
/// # Errors
/// There is no such device, or as the daemon says.
pub fn take(address: Address, what: &str) -> Result<(), DeviceError> {
    match with_daemon(|client| client.find(Tx::NONE, &address.back()))? {
        Some(Some(_)) => remove(address),
        Some(None) => Err(DeviceError::NoSuchDevice { what: what.into() }),
        None => Err(DeviceError::NoStore),
    }
}

fn in_use(address: Address, front: &str, what: &str) -> DeviceError {
    let complaint = format!(
        "/local/domain/{}/error/device/{}/{}/error",
        address.domain,
        address.kind.front(),
        address.id
    );
    let said = with_daemon(|client| {
        Ok((Address::state(client, Tx::NONE, front)?, client.find(Tx::NONE, &complaint)?))
    });
    match said {
        Ok(Some((front, complaint))) => DeviceError::InUse { what: what.into(), front, complaint },
        Ok(None) => DeviceError::NoStore,
        Err(e) => e.into(),
    }
}
