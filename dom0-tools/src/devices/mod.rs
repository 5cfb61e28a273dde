//! Split devices: the halves of a guest's disks and network cards in xenstore, and what domain 0 puts behind them.
//!
//! A device is two directories in xenstore, one for the guest's driver (the front half) and one for the driver that
//! serves it (the back half), which point at each other (`public/io/blkif.h`, `netif.h`). The tools write both at once,
//! see to it that the back half has taken what is behind it, and leave the rest to the drivers. Nothing of a device
//! needs the tools after that: a device goes when its nodes go, and what held it together in domain 0 goes by itself.
//!
//! [`attach`] and [`detach`] are the same for all devices; [`disk`] says what is special about disks, [`nic`] about network cards.

pub mod attach;
mod backing;
pub mod detach;
pub mod disk;
mod driver;
mod error;
mod links;
mod list;
mod loop_device;
pub mod nic;
mod script;
mod sharing;
mod xenbus;

pub use error::DeviceError;
pub use list::{Listed, of_domain};
pub use script::Action;
pub use xenbus::{Address, Kind, State};

use crate::xen::hypercall::Xen;
use crate::xs_client::Client;

/// What a device's directories hold besides the two halves' way to each other.
#[derive(Debug, Default)]
pub struct Nodes {
    /// Nodes of the front half.
    pub front: Vec<(&'static str, String)>,
    /// Nodes of the back half.
    pub back: Vec<(&'static str, String)>,
}

/// A device that can be given to a guest.
pub trait Device {
    /// What is held open in domain 0 until the back half has taken it.
    type Held;

    /// Which device of domain `domain` this is.
    fn address(&self, domain: u16) -> Address;

    /// What to call it in messages, such as `disk xvda`.
    fn label(&self) -> String;

    /// Opens what is behind the device.
    ///
    /// # Errors
    /// It is not there, or not to be had.
    fn open(&self, xen: &Xen, domain: u16) -> Result<(Self::Held, Nodes), DeviceError>;

    /// Looks whether the back half has taken what is behind it, and helps it along. The caller asks again.
    ///
    /// # Errors
    /// It never will.
    fn settle(&self, client: &mut Client, address: Address, held: &Self::Held) -> Result<bool, DeviceError>;
}
