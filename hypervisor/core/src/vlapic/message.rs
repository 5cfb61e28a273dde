//! Interrupt messages: what an ICR write, an MSI or an IO-APIC pin asks for.

use super::identity::{Destination, Identity};
use crate::acpi::Trigger;
use crate::ids::Vector;

/// What the receiving APIC does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Request the vector at every APIC that matches.
    Fixed(Vector),
    /// Request the vector at one of the APICs that match.
    LowestPriority(Vector),
    /// Non-maskable interrupt.
    Nmi,
    /// Reset to the wait-for-SIPI state.
    Init,
    /// Start at real-mode page `n` (`n << 12`).
    Startup(u8),
    /// The 8259's interrupt; nothing in a PVH domain answers.
    ExtInt,
}

impl Delivery {
    /// Decodes a 3-bit delivery mode with its vector field. `None`: SMI, which no domain has, or reserved.
    pub const fn decode(mode: u8, vector: u8) -> Option<Self> {
        match mode & 7 {
            0 => Some(Self::Fixed(Vector(vector))),
            1 => Some(Self::LowestPriority(Vector(vector))),
            4 => Some(Self::Nmi),
            5 => Some(Self::Init),
            6 => Some(Self::Startup(vector)),
            7 => Some(Self::ExtInt),
            _ => None,
        }
    }
}

/// Whom an inter-processor interrupt goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Those that match.
    Address(Destination),
    /// The sender alone.
    Oneself,
    /// Everybody.
    All,
    /// Everybody but the sender.
    AllButSelf,
}

impl Target {
    /// Whether `candidate` receives the message; `is_sender` says whether it sent it.
    pub const fn reaches(&self, candidate: &Identity, is_sender: bool) -> bool {
        match *self {
            Self::Address(to) => candidate.matches(to),
            Self::Oneself => is_sender,
            Self::All => candidate.matches(Destination::Broadcast),
            Self::AllButSelf => !is_sender && candidate.matches(Destination::Broadcast),
        }
    }
}

/// An inter-processor interrupt that the sender's APIC found valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipi {
    /// What to do there.
    pub delivery: Delivery,
    /// Whom it goes to.
    pub target: Target,
}

impl Ipi {
    /// Decodes the interrupt command register (SDM vol. 3, 10.6.1); `destination` is already decoded.
    /// `None`: nothing happens (SMI, reserved modes, INIT level de-assert).
    pub fn decode(low: u32, destination: Destination) -> Option<Self> {
        let delivery = Delivery::decode((low >> 8) as u8, low as u8)?;
        let (assert, level) = (low >> 14 & 1 != 0, low >> 15 & 1 != 0);
        if delivery == Delivery::ExtInt || delivery == Delivery::Init && level && !assert {
            return None;
        }
        let target = match low >> 18 & 3 {
            0 => Target::Address(destination),
            1 => Target::Oneself,
            2 => Target::All,
            _ => Target::AllButSelf,
        };
        Some(Self { delivery, target })
    }
}

/// A message-signalled interrupt as a device sends it (SDM vol. 3, 10.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// What to do there.
    pub delivery: Delivery,
    /// Whom it goes to.
    pub destination: Destination,
    /// Whether the receiver reports its end to the IO-APICs.
    pub trigger: Trigger,
}

impl Message {
    /// Decodes address and data. `None`: not an interrupt address, or a mode that does not exist.
    pub fn decode(address: u64, data: u32) -> Option<Self> {
        if address >> 20 != 0xfee {
            return None;
        }
        let delivery = Delivery::decode((data >> 8) as u8, data as u8)?;
        let trigger = if data >> 15 & 1 != 0 { Trigger::Level } else { Trigger::Edge };
        let destination = Destination::narrow((address >> 12) as u8, address >> 2 & 1 != 0);
        Some(Self { delivery, destination, trigger })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vlapic::Mode;

    #[test]
    fn icr_as_linux_writes_it() {
        let to = Destination::Physical(2);
        let cases = [
            (0x0000_c500, Some((Delivery::Init, Target::Address(to)))),
            (0x0000_8500, None),
            (0x0000_069a, Some((Delivery::Startup(0x9a), Target::Address(to)))),
            (0x0000_00fd, Some((Delivery::Fixed(Vector(0xfd)), Target::Address(to)))),
            (0x000c_0402, Some((Delivery::Nmi, Target::AllButSelf))),
            (0x0004_00f7, Some((Delivery::Fixed(Vector(0xf7)), Target::Oneself))),
            (0x0000_0200, None),
        ];
        for (low, expected) in cases {
            let got = Ipi::decode(low, to).map(|ipi| (ipi.delivery, ipi.target));
            assert_eq!(got, expected, "{low:#x}");
        }
    }

    #[test]
    fn msi_as_linux_writes_it() {
        let message = Message::decode(0xfee0_2000, 0x23).unwrap();
        assert_eq!(message.delivery, Delivery::Fixed(Vector(0x23)));
        assert_eq!(message.destination, Destination::Physical(2));
        assert_eq!(message.trigger, Trigger::Edge);
        assert_eq!(Message::decode(0xfed0_2000, 0x23), None);
        assert_eq!(Message::decode(0x1_fee0_2000, 0x23), None);
    }

    #[test]
    fn shorthands() {
        let me = Identity { id: 0, mode: Mode::X2Apic, logical: 0, flat: true };
        assert!(Target::Oneself.reaches(&me, true) && !Target::Oneself.reaches(&me, false));
        assert!(Target::AllButSelf.reaches(&me, false) && !Target::AllButSelf.reaches(&me, true));
        let off = Identity { mode: Mode::Disabled, ..me };
        assert!(!Target::All.reaches(&off, false));
    }
}
