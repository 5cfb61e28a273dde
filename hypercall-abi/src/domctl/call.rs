//! The call itself.

use super::INTERFACE_VERSION;
use crate::layout::structs;
use crate::plain::{Plain, Union};

structs! {
    /// A command, the domain it is about, and its argument.
    struct Domctl = "struct xen_domctl" {
        /// One of the commands.
        cmd: u32,
        /// [`INTERFACE_VERSION`]; any other is refused.
        interface_version: u32,
        /// The domain; out for [`CREATEDOMAIN`](super::CREATEDOMAIN) and
        /// [`GETDOMAININFO`](super::GETDOMAININFO).
        domain: u16,
        /// Zero.
        pad: [u16; 3] = "_pad",
        /// The argument, in and out.
        u: Union<[u64; 16]>,
    }
}

const _: () = assert!(size_of::<Domctl>() == 144);

impl Domctl {
    /// A call of this command.
    #[must_use]
    pub fn new<T: Plain>(cmd: u32, domain: u16, argument: T) -> Self {
        Self { cmd, interface_version: INTERFACE_VERSION, domain, pad: [0; 3], u: Union::new(argument) }
    }

    /// The argument.
    #[must_use]
    pub fn payload<T: Plain>(&self) -> T {
        self.u.get()
    }

    /// Replaces the argument.
    pub fn set_payload<T: Plain>(&mut self, argument: T) {
        self.u.set(argument);
    }
}
