//! AMD-Vi: "AMD I/O Virtualization Technology (IOMMU) Specification", revision 3.08. Section numbers are that
//! document's.

use super::{Command, DOMAIN, DmaRun, Fault, Reason};
use crate::frame::{Maddr, Mfn};
use crate::vpci::Bdf;

/// Requester ids, and so entries of the device table.
pub const DEVICES: usize = 1 << 16;
/// Words of a device table entry.
pub const DEVICE_WORDS: usize = 4;

/// A device table entry (2.2.2.1): valid, translated for by these tables of four levels, reading and writing as they
/// say. The device may not ask for translations to use later by itself; its interrupts pass as they are.
pub const fn device_entry(root: Mfn) -> [u64; DEVICE_WORDS] {
    const VALID: u64 = 1 << 0;
    const TRANSLATION_VALID: u64 = 1 << 1;
    const FOUR_LEVELS: u64 = 4 << 9;
    const READ: u64 = 1 << 61;
    const WRITE: u64 = 1 << 62;
    [root.addr().0 | VALID | TRANSLATION_VALID | FOUR_LEVELS | READ | WRITE, DOMAIN as u64, 0, 0]
}

/// Operation codes of commands (2.4).
const OPERATION: u32 = 60;
const COMPLETION_WAIT: u64 = 1;
const FORGET_DEVICE: u64 = 2;
const FORGET_PAGES: u64 = 3;
/// In a command about pages: several, and the directories on the way as well.
const SEVERAL: u64 = 1 << 0;
const DIRECTORIES: u64 = 1 << 1;

/// The command that makes a unit forget the device table entry of a requester.
pub const fn forget_device(requester: u16) -> Command {
    [requester as u64 | FORGET_DEVICE << OPERATION, 0]
}

/// The command that makes a unit forget a run.
pub fn forget(run: DmaRun) -> Command {
    // The lowest clear bit of the number tells how many: ones below it are part of that.
    let several = if run.order > 0 { SEVERAL } else { 0 };
    let ones = (1u64 << run.order.saturating_sub(1)) - 1;
    pages((run.gfn.0 | ones) << 12 | several)
}

/// The command that makes a unit forget every translation.
pub const fn forget_all() -> Command {
    pages(0x7fff_ffff_ffff_f000 | SEVERAL)
}

const fn pages(which: u64) -> Command {
    [(DOMAIN as u64) << 32 | FORGET_PAGES << OPERATION, which | DIRECTORIES]
}

/// The command that stores `token` at `at` (a multiple of 8) when all before it are done.
pub const fn wait(at: Maddr, token: u32) -> Command {
    const STORE: u64 = 1 << 0;
    [at.0 | STORE | COMPLETION_WAIT << OPERATION, token as u64]
}

/// What an entry of the event log says (2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An access was refused.
    Fault(Fault),
    /// Something is wrong with the unit's tables or commands: the code, and the two words.
    Trouble(u8, [u64; 2]),
}

/// Decodes an entry; `None` while it has not been written yet.
pub fn event(entry: [u64; 2], segment: u16) -> Option<Event> {
    const ILLEGAL_DEVICE: u8 = 1;
    const PAGE_FAULT: u8 = 2;
    const PRESENT: u64 = 1 << 52;
    const WRITE: u64 = 1 << 53;
    const RESERVED_BIT: u64 = 1 << 55;
    let [info, address] = entry;
    let code = (info >> 60) as u8;
    let device = Bdf { segment, bus: (info >> 8) as u8, devfn: info as u8 };
    let write = info & WRITE != 0;
    match code {
        0 => None,
        PAGE_FAULT if info & RESERVED_BIT == 0 || info & PRESENT == 0 => {
            Some(Event::Fault(Fault { device, address, write, reason: Reason::Mapping }))
        }
        ILLEGAL_DEVICE | PAGE_FAULT => {
            Some(Event::Fault(Fault { device, address, write, reason: Reason::Other(code) }))
        }
        _ => Some(Event::Trouble(code, entry)),
    }
}
