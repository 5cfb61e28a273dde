//! The blocks by which the tools and domain 0's kernel command: `domctl`, `sysctl`, `platform_op`.
//!
//! A block names its interface version and a command, whose argument is a union. It is copied in once; a handler changes
//! that copy, and what it changed is copied back, also when it refuses (some refusals say more there).

use hypercall_abi::domctl::{self, Domctl};
use hypercall_abi::plain::Plain;
use hypercall_abi::platform::{self, PlatformOp};
use hypercall_abi::sysctl::{self, Sysctl};

use super::{Call, Machine, Result, refuse};

/// A block.
pub(super) trait Command: Plain + PartialEq {
    /// The hypercall.
    const NAME: &str;
    /// The only version that is spoken.
    const VERSION: u32;

    fn version(&self) -> u32;

    /// Runs a handler on the argument, which goes back to the caller unless the handler refuses.
    fn with<T: Plain>(&mut self, handler: impl FnOnce(&mut T) -> Result<()>) -> Result<()>;
}

macro_rules! commands {
    ($($block:ident = $name:literal, $version:expr;)*) => {
        $(impl Command for $block {
            const NAME: &str = $name;
            const VERSION: u32 = $version;

            fn version(&self) -> u32 {
                self.interface_version
            }

            fn with<T: Plain>(&mut self, handler: impl FnOnce(&mut T) -> Result<()>) -> Result<()> {
                let mut argument = self.payload();
                handler(&mut argument)?;
                self.set_payload(argument);
                Ok(())
            }
        })*
    };
}

commands! {
    Domctl = "domctl", domctl::INTERFACE_VERSION;
    Sysctl = "sysctl", sysctl::INTERFACE_VERSION;
    PlatformOp = "platform_op", platform::INTERFACE_VERSION;
}

/// Copies a block in, runs it, and copies it back. For the control domain only.
pub(super) fn command<M: Machine, C: Command>(
    call: &mut Call<'_, M>,
    run: impl FnOnce(&mut Call<'_, M>, &mut C) -> Result,
) -> Result {
    call.must_be_privileged()?;
    let at = call.args[0];
    let before: C = call.read(at)?;
    if before.version() != C::VERSION {
        refuse!(EACCES, "{} version {:#x}, not {:#x}", C::NAME, before.version(), C::VERSION);
    }
    let mut block = before;
    let result = run(call, &mut block);
    if block != before {
        call.write(at, &block)?;
    }
    result
}
