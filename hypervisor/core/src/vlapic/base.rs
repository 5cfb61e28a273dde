//! `IA32_APIC_BASE` (MSR 0x1b): which mode the APIC is in, and the allowed ways between modes.

use super::identity::Mode;
use super::{Effect, Vlapic};

/// MSR number of `IA32_APIC_BASE`.
pub const APIC_BASE_MSR: u32 = 0x1b;
/// Where the register page of xAPIC mode lies; it cannot be moved.
pub const APIC_PAGE: u64 = 0xfee0_0000;

const BOOTSTRAP: u64 = 1 << 8;
/// Where the bits of the [`Mode`] are.
const MODE_SHIFT: u32 = 10;
const MODE: u64 = 3 << MODE_SHIFT;

impl Vlapic {
    pub(super) const fn base(&self) -> u64 {
        let bootstrap = if self.identity.id == 0 { BOOTSTRAP } else { 0 };
        APIC_PAGE | (self.identity.mode as u64) << MODE_SHIFT | bootstrap
    }

    /// `None` (#GP): reserved bits, another register page, or a mode change that SDM vol. 3, 10.12.5 forbids (disabled
    /// to x2APIC, x2APIC to xAPIC, x2APIC without the enable bit).
    pub(super) fn set_base(&mut self, value: u64) -> Option<Effect> {
        if value & !(BOOTSTRAP | MODE) != APIC_PAGE {
            return None;
        }
        let to = Mode::from_bits((value & MODE) >> MODE_SHIFT)?;
        match (self.identity.mode, to) {
            (Mode::Disabled, Mode::X2Apic) | (Mode::X2Apic, Mode::XApic) => return None,
            (from, to) if from == to => return Some(Effect::None),
            (_, Mode::Disabled) => self.reset(),
            (_, _) => self.icr = 0,
        }
        self.identity.mode = to;
        Some(Effect::Identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::VcpuId;

    const XAPIC: u64 = APIC_PAGE | 1 << 11;
    const X2APIC: u64 = 1 << 10;
    const X2: u64 = XAPIC | X2APIC;
    const OFF: u64 = APIC_PAGE;

    #[test]
    fn transitions_of_the_manual() {
        for (from, to, allowed) in [
            (XAPIC, X2, true),
            (XAPIC, OFF, true),
            (X2, XAPIC, false),
            (X2, OFF, true),
            (OFF, X2, false),
            (OFF, XAPIC, true),
            (XAPIC, APIC_PAGE | X2APIC, false),
            (XAPIC, XAPIC + 0x1000, false),
            (XAPIC, XAPIC | 1, false),
            (XAPIC, XAPIC | 1 << 52, false),
        ] {
            let mut apic = Vlapic::new(VcpuId(0));
            if from != XAPIC {
                assert_eq!(apic.set_base(from), Some(Effect::Identity));
            }
            assert_eq!(apic.set_base(to).is_some(), allowed, "{from:#x} -> {to:#x}");
            assert_eq!(apic.base(), if allowed { to } else { from } | BOOTSTRAP);
        }
    }

    #[test]
    fn only_vcpu_zero_is_the_bootstrap_cpu() {
        assert_eq!(Vlapic::new(VcpuId(0)).base(), 0xfee0_0900);
        assert_eq!(Vlapic::new(VcpuId(1)).base(), 0xfee0_0800);
        assert_eq!(Vlapic::new(VcpuId(0)).set_base(0xfee0_0900), Some(Effect::None));
    }
}
