//! The call itself.

use super::INTERFACE_VERSION;
use crate::layout::structs;
use crate::plain::{Plain, Union};

structs! {
    /// A command and its argument.
    struct Sysctl = "struct xen_sysctl" {
        /// One of the commands.
        cmd: u32,
        /// [`INTERFACE_VERSION`]; any other is refused.
        interface_version: u32,
        /// The argument, in and out.
        u: Union<[u64; 16]>,
    }
}

const _: () = assert!(size_of::<Sysctl>() == 136);

impl Sysctl {
    /// A call of this command.
    #[must_use]
    pub fn new<T: Plain>(cmd: u32, argument: T) -> Self {
        Self { cmd, interface_version: INTERFACE_VERSION, u: Union::new(argument) }
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
