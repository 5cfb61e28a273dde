//! The blocks by which the tools and domain 0's kernel command: `domctl`, `sysctl`, `platform_op`.
//!
//! A block names its interface version and a command, whose argument is a union. It is copied in once; a handler changes
//! that copy, and what it changed is copied back, also when it refuses (some refusals say more there). Sets of CPUs and
//! nodes are bitmaps in the caller's memory.

use hypercall_abi::abi::Word;
use hypercall_abi::domctl::{self, Domctl};
use hypercall_abi::plain::Plain;
use hypercall_abi::platform::{self, PlatformOp};
use hypercall_abi::sysctl::{self, Sysctl};
use hypercall_abi::xen::CtlBitmap;

use super::{Call, Machine, Result, ensure, refuse};

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

/// Reads the first 64 bits of a bitmap of the caller's; further ones cannot name anything.
pub(super) fn read_bitmap<M: Machine>(call: &Call<'_, M>, map: &CtlBitmap) -> Result<u64> {
    let mut bytes = [0; 8];
    let len = map.nr_bits.div_ceil(8).min(8) as usize;
    ensure!(!map.bitmap.is_null() || len == 0, EFAULT, "a bitmap of {} bits without a buffer", map.nr_bits);
    call.read_bytes(map.bitmap.get(), bytes.get_mut(..len).unwrap_or(&mut []))?;
    Ok(u64::from_le_bytes(bytes) & low_bits(map.nr_bits))
}

/// Writes a bitmap to the caller, as far as there is room; what is beyond 64 bits of room is cleared.
pub(super) fn write_bitmap<M: Machine>(call: &Call<'_, M>, map: &CtlBitmap, bits: u64) -> Result<()> {
    /// More bits than any tool has room for.
    const MAX_BITS: u32 = 4096;
    ensure!(map.nr_bits <= MAX_BITS, E2BIG, "a bitmap of {} bits; {MAX_BITS} are the most", map.nr_bits);
    let mut bytes = [0; (MAX_BITS / 8) as usize];
    for (to, from) in bytes.iter_mut().zip((bits & low_bits(map.nr_bits)).to_le_bytes()) {
        *to = from;
    }
    let len = map.nr_bits.div_ceil(8) as usize;
    call.write_bytes(map.bitmap.get(), bytes.get(..len).unwrap_or(&[]))
}

/// A mask of so many bits, at most 64.
fn low_bits(count: u32) -> u64 {
    u64::MAX.checked_shr(64 - count.min(64)).unwrap_or(0)
}
