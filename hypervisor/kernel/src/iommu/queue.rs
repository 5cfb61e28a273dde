//! The ring of commands that a unit works through, and the wait until it has.
//!
//! Both kinds of unit have one of the same shape: [`COMMAND_LEN`] bytes a command, head and tail as byte offsets. What is
//! put in is waited for at once, so the ring is empty between calls.

use core::sync::atomic::{Ordering, fence};

use tenon_core::frame::{Maddr, Mfn};
use tenon_core::frames::Zone;
use tenon_core::iommu::{COMMAND_LEN, Command, QUEUE_LEN};
use tenon_core::p2m::TableMemory;

use super::within_a_second;
use crate::host::HostTables;
use crate::mm::mmio::Mmio;
use crate::mm::phys;

/// What units read and write here is always snooped.
const MEMORY: HostTables = HostTables { snooped: true };

/// A unit's ring, and the page after it, where the unit says how far it is.
pub struct Queue {
    ring: Mfn,
    tail: usize,
    token: u32,
    /// The offset of the register with the tail.
    tail_register: usize,
    /// The unit's command that stores a token at an address.
    wait: fn(Maddr, u32) -> Command,
}

impl Queue {
    /// An empty one; `None` without memory.
    pub fn new(tail_register: usize, wait: fn(Maddr, u32) -> Command) -> Option<Self> {
        let ring = phys::alloc(1, Zone::Any)?;
        MEMORY.write(Mfn(ring.0 + 1), 0, 0);
        Some(Self { ring, tail: 0, token: 0, tail_register, wait })
    }

    /// Where the ring is.
    pub fn address(&self) -> Maddr {
        self.ring.addr()
    }

    /// Has the unit carry out commands, fewer than the ring holds, and waits until it is through. False if that takes
    /// longer than it ever should.
    #[must_use]
    pub fn run(&mut self, registers: &Mmio, commands: impl IntoIterator<Item = Command>) -> bool {
        let status = Mfn(self.ring.0 + 1);
        self.token = self.token.wrapping_add(1);
        let wait = (self.wait)(status.addr(), self.token);
        for [low, high] in commands.into_iter().take(QUEUE_LEN - 2).chain([wait]) {
            MEMORY.write(self.ring, 2 * self.tail, low);
            MEMORY.write(self.ring, 2 * self.tail + 1, high);
            self.tail = (self.tail + 1) % QUEUE_LEN;
        }
        // The changes of the tables come before the command to look at them again.
        fence(Ordering::SeqCst);
        registers.write32(self.tail_register, (self.tail * COMMAND_LEN) as u32);
        within_a_second(|| MEMORY.read(status, 0) as u32 == self.token)
    }
}
