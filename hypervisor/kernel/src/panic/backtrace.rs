//! Who called whom, by the frame pointers.
#![allow(unsafe_code, reason = "reads stacks")]

use core::fmt;
use core::ops::Range;

use super::symbols;
use crate::cpu;
use crate::mm::image;

/// Frames after which a backtrace is long enough.
const LIMIT: usize = 40;

unsafe extern "C" {
    static boot_stack_bottom: u8;
    static boot_stack_top: u8;
}

/// A backtrace that starts at an instruction and a frame pointer.
pub struct Backtrace {
    /// The instruction.
    pub rip: u64,
    /// The frame pointer there.
    pub rbp: u64,
}

/// The stack of this CPU that holds a whole frame record at `at`.
fn stack_of(at: u64) -> Option<Range<u64>> {
    let boot = &raw const boot_stack_bottom as u64..&raw const boot_stack_top as u64;
    let own = cpu::try_this().into_iter().flat_map(|cpu| cpu.emergency_stacks.iter().chain([&cpu.stack]));
    own.cloned().chain([boot]).find(|stack| at.is_multiple_of(8) && stack.start <= at && at + 16 <= stack.end)
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Backtrace:")?;
        line(f, self.rip, 0)?;
        let mut rbp = self.rbp;
        for _ in 0..LIMIT {
            let Some(stack) = stack_of(rbp) else { break };
            // SAFETY: inside a mapped stack, aligned; this CPU's own, so nobody changes it.
            let [next, address] = unsafe { (rbp as *const [u64; 2]).read() };
            if address == 0 {
                break;
            }
            // A return address is past its call, which may be a function's last instruction.
            line(f, address, 1)?;
            // Frames ascend on one stack; an emergency stack leads to another once.
            if next <= rbp && stack.contains(&next) {
                break;
            }
            rbp = next;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, address: u64, back: u64) -> fmt::Result {
    match symbols::lookup(address.wrapping_sub(back), image::start()) {
        Some((name, offset)) if image::is_code(address.wrapping_sub(back)) => {
            writeln!(f, "  {address:016x} {name}+{:#x}", offset + back)
        }
        _ => writeln!(f, "  {address:016x}"),
    }
}
