//! Which messages a local APIC answers to.
//!
//! The owner of a local APIC publishes its [`Identity`] in an [`IdentityCell`]; senders on other CPUs match
//! against the published copy and never touch the APIC itself.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::ids::VcpuId;

/// The APIC id of a vCPU: twice its index, which is what Xen gives and what guest tools expect.
pub const fn apic_id(vcpu: VcpuId) -> u32 {
    vcpu.0.wrapping_mul(2)
}

/// How the APIC is switched on: the two enable bits of `IA32_APIC_BASE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Globally disabled: no registers, no interrupts.
    Disabled = 0b00,
    /// Registers in memory, 8-bit ids.
    XApic = 0b10,
    /// Registers as MSRs, 32-bit ids.
    X2Apic = 0b11,
}

impl Mode {
    /// The mode by its two bits. `None`: x2APIC mode without the APIC.
    pub(super) const fn from_bits(bits: u64) -> Option<Self> {
        match bits {
            0b00 => Some(Self::Disabled),
            0b10 => Some(Self::XApic),
            0b11 => Some(Self::X2Apic),
            _ => None,
        }
    }
}

/// The address part of an interrupt message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The APIC with this id.
    Physical(u32),
    /// The APICs whose logical id matches, 8 bits wide (sender in xAPIC mode, or a device).
    Logical(u8),
    /// The APICs whose logical id matches, 32 bits wide (sender in x2APIC mode).
    LogicalX2(u32),
    /// Every APIC.
    Broadcast,
}

impl Destination {
    /// Decodes the 8-bit destination of a device's message or of an xAPIC sender.
    pub const fn narrow(id: u8, logical: bool) -> Self {
        match (logical, id) {
            (true, _) => Self::Logical(id),
            (false, 0xff) => Self::Broadcast,
            (false, _) => Self::Physical(id as u32),
        }
    }

    /// Decodes the 32-bit destination of an x2APIC sender.
    pub const fn wide(id: u32, logical: bool) -> Self {
        match (logical, id) {
            (_, u32::MAX) => Self::Broadcast,
            (true, _) => Self::LogicalX2(id),
            (false, _) => Self::Physical(id),
        }
    }
}

/// What of a local APIC decides which messages it accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The APIC id.
    pub id: u32,
    /// How the APIC is switched on.
    pub mode: Mode,
    /// The logical id of xAPIC mode (bits 31:24 of the LDR).
    pub logical: u8,
    /// xAPIC logical model: flat (DFR 0xF) or cluster.
    pub flat: bool,
}

impl Identity {
    /// The logical id of x2APIC mode, which the hardware derives from the id (SDM vol. 3, 10.12.10.2).
    pub const fn x2apic_logical(&self) -> u32 {
        (self.id & 0xffff0) << 12 | 1 << (self.id & 0xf)
    }

    /// Whether a message to `to` reaches this APIC.
    pub const fn matches(&self, to: Destination) -> bool {
        match (self.mode, to) {
            (Mode::Disabled, _) => false,
            (_, Destination::Broadcast) => true,
            (_, Destination::Physical(id)) => id == self.id,
            (Mode::X2Apic, Destination::Logical(id)) => self.matches_x2(id as u32),
            (Mode::X2Apic, Destination::LogicalX2(id)) => self.matches_x2(id),
            (Mode::XApic, Destination::LogicalX2(id)) => id <= 0xff && self.matches_narrow(id as u8),
            (Mode::XApic, Destination::Logical(id)) => self.matches_narrow(id),
        }
    }

    const fn matches_x2(&self, id: u32) -> bool {
        let own = self.x2apic_logical();
        own >> 16 == id >> 16 && own & id & 0xffff != 0
    }

    const fn matches_narrow(&self, id: u8) -> bool {
        if self.flat {
            return self.logical & id != 0;
        }
        (id >> 4 == 0xf || id >> 4 == self.logical >> 4) && id & self.logical & 0xf != 0
    }

    const fn pack(self) -> u64 {
        self.id as u64 | (self.logical as u64) << 32 | (self.flat as u64) << 40 | (self.mode as u64) << 41
    }

    fn unpack(bits: u64) -> Self {
        let mode = Mode::from_bits(bits >> 41).unwrap_or(Mode::Disabled);
        Self { id: bits as u32, mode, logical: (bits >> 32) as u8, flat: bits >> 40 & 1 != 0 }
    }
}

/// An [`Identity`] that its owner replaces and anybody reads, in one word.
#[derive(Debug)]
pub struct IdentityCell(AtomicU64);

impl IdentityCell {
    /// A cell that shows `identity`.
    pub const fn new(identity: Identity) -> Self {
        Self(AtomicU64::new(identity.pack()))
    }

    /// Replaces what senders see. A message that is under way may still go by the old identity, as on hardware.
    pub fn publish(&self, identity: Identity) {
        self.0.store(identity.pack(), Ordering::Release);
    }

    /// What the owner published last.
    pub fn load(&self) -> Identity {
        Identity::unpack(self.0.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn xapic(id: u32, logical: u8, flat: bool) -> Identity {
        Identity { id, mode: Mode::XApic, logical, flat }
    }

    #[test]
    fn ids_are_twice_the_index() {
        assert_eq!(apic_id(VcpuId(3)), 6);
    }

    #[test]
    fn matching_follows_the_manual() {
        let x2 = Identity { id: 0x26, mode: Mode::X2Apic, logical: 0, flat: true };
        let off = Identity { mode: Mode::Disabled, ..x2 };
        let table = [
            (xapic(2, 0x04, true), Destination::narrow(2, false), true),
            (xapic(2, 0x04, true), Destination::narrow(4, false), false),
            (xapic(2, 0x04, true), Destination::narrow(0xff, false), true),
            (xapic(2, 0x04, true), Destination::narrow(0x0c, true), true),
            (xapic(2, 0x04, true), Destination::narrow(0x0b, true), false),
            (xapic(2, 0x24, false), Destination::narrow(0x2c, true), true),
            (xapic(2, 0x24, false), Destination::narrow(0x1c, true), false),
            (xapic(2, 0x24, false), Destination::narrow(0xff, true), true),
            (x2, Destination::wide(0x26, false), true),
            (x2, Destination::wide(0x0002_0040, true), true),
            (x2, Destination::wide(0x0002_0080, true), false),
            (x2, Destination::wide(0x0003_0040, true), false),
            (x2, Destination::wide(u32::MAX, true), true),
            (x2, Destination::narrow(0xff, false), true),
            (off, Destination::Broadcast, false),
            (off, Destination::Physical(0x26), false),
        ];
        for (who, to, expected) in table {
            assert_eq!(who.matches(to), expected, "{who:?} {to:?}");
        }
    }

    proptest! {
        #[test]
        fn a_cell_gives_back_what_it_got(id: u32, logical: u8, flat: bool, mode in 0u64..4) {
            let identity = Identity { id, logical, flat, ..Identity::unpack(mode << 41) };
            prop_assert_eq!(IdentityCell::new(identity).load(), identity);
        }
    }
}
