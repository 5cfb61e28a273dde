//! `IA32_APIC_BASE` (MSR 0x1b): which mode the APIC is in, and the allowed ways between modes.

use super::identity::Mode;
use super::{Fault, Vlapic};

/// MSR number of `IA32_APIC_BASE`.
pub const APIC_BASE_MSR: u32 = 0x1b;
/// Where the register page of xAPIC mode lies; it cannot be moved.
pub const APIC_PAGE: u64 = 0xfee0_0000;

const BOOTSTRAP: u64 = 1 << 8;
const X2APIC: u64 = 1 << 10;
const ENABLE: u64 = 1 << 11;

impl Vlapic {
    /// The value of `IA32_APIC_BASE`.
    pub const fn base(&self) -> u64 {
        let mode = match self.identity.mode {
            Mode::Disabled => 0,
            Mode::XApic => ENABLE,
            Mode::X2Apic => ENABLE | X2APIC,
        };
        APIC_PAGE | mode | if self.bootstrap { BOOTSTRAP } else { 0 }
    }

    /// Writes `IA32_APIC_BASE`. On `Ok(true)` the mode changed: publish the identity and look at the timer.
    ///
    /// # Errors
    /// A [`Fault`] (#GP): reserved bits, another register page, or a mode change that SDM vol. 3, 10.12.5
    /// forbids (disabled to x2APIC, x2APIC to xAPIC, x2APIC without the enable bit).
    pub fn set_base(&mut self, value: u64) -> Result<bool, Fault> {
        if value & !(BOOTSTRAP | X2APIC | ENABLE) != APIC_PAGE {
            return Err(Fault::BaseMoved(value));
        }
        let to = match (value & ENABLE != 0, value & X2APIC != 0) {
            (false, false) => Mode::Disabled,
            (true, false) => Mode::XApic,
            (true, true) => Mode::X2Apic,
            (false, true) => return Err(Fault::BadTransition(value)),
        };
        match (self.identity.mode, to) {
            (Mode::Disabled, Mode::X2Apic) | (Mode::X2Apic, Mode::XApic) => {
                return Err(Fault::BadTransition(value));
            }
            (from, to) if from == to => return Ok(false),
            (_, Mode::Disabled) => {
                self.reset();
                self.identity.mode = Mode::Disabled;
            }
            (_, to) => {
                self.identity.mode = to;
                self.icr = 0;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::VcpuId;

    const XAPIC: u64 = APIC_PAGE | ENABLE;
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
                apic.set_base(from).unwrap();
            }
            assert_eq!(apic.set_base(to).is_ok(), allowed, "{from:#x} -> {to:#x}");
            assert_eq!(apic.base(), if allowed { to } else { from } | BOOTSTRAP);
        }
    }

    #[test]
    fn only_vcpu_zero_is_the_bootstrap_cpu() {
        assert_eq!(Vlapic::new(VcpuId(0)).base(), 0xfee0_0900);
        assert_eq!(Vlapic::new(VcpuId(1)).base(), 0xfee0_0800);
        assert_eq!(Vlapic::new(VcpuId(0)).set_base(0xfee0_0900), Ok(false));
    }
}
