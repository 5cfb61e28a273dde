//! The register file: one model behind the xAPIC page and the x2APIC MSRs.
//!
//! A register is named by its number: page offset / 16, which is also MSR - 0x800 (SDM vol. 3, table 10-6).

use super::base::APIC_BASE_MSR;
use super::identity::{Destination, Mode};
use super::message::{Delivery, Ipi};
use super::timer::Clock;
use super::{Effect, Vlapic, lvt};
use crate::ids::Vector;

/// The first MSR of x2APIC mode.
pub const X2APIC_MSRS: u32 = 0x800;
/// The last of them.
pub const X2APIC_MSRS_LAST: u32 = 0x8ff;
/// MSR number of `IA32_TSC_DEADLINE`.
pub const TSC_DEADLINE_MSR: u32 = 0x6e0;

const ID: u8 = 0x02;
const VERSION: u8 = 0x03;
const TPR: u8 = 0x08;
const APR: u8 = 0x09;
const PPR: u8 = 0x0a;
const EOI: u8 = 0x0b;
const LDR: u8 = 0x0d;
const DFR: u8 = 0x0e;
const SVR: u8 = 0x0f;
const ISR: u8 = 0x10;
const ISR_LAST: u8 = 0x17;
const TMR: u8 = 0x18;
const TMR_LAST: u8 = 0x1f;
const IRR: u8 = 0x20;
const IRR_LAST: u8 = 0x27;
const ESR: u8 = 0x28;
const ICR_LOW: u8 = 0x30;
const ICR_HIGH: u8 = 0x31;
const TIMER_INITIAL: u8 = 0x38;
const TIMER_CURRENT: u8 = 0x39;
const TIMER_DIVIDE: u8 = 0x3e;
const SELF_IPI: u8 = 0x3f;

/// Version 0x14 with six LVT entries and no EOI-broadcast suppression.
const VERSION_VALUE: u32 = 0x5_0014;
/// Bits of the ICR's low half that software may set.
const ICR_WRITABLE: u32 = 0xc_cfff;
/// The delivery status bit, always idle here; x2APIC writes may carry it.
const ICR_STATUS: u32 = 1 << 12;

/// Errors that the ESR reports.
pub(super) const ESR_SENT_ILLEGAL_VECTOR: u32 = 1 << 5;
pub(super) const ESR_RECEIVED_ILLEGAL_VECTOR: u32 = 1 << 6;
const ESR_ILLEGAL_REGISTER: u32 = 1 << 7;

impl Vlapic {
    /// Reads one of the local APIC's MSRs. `None` (#GP): not in x2APIC mode, no such register, or a write-only one.
    pub fn read_msr(&self, msr: u32, clock: &impl Clock) -> Option<u64> {
        match msr {
            APIC_BASE_MSR => Some(self.base()),
            TSC_DEADLINE_MSR => Some(self.timer.tsc),
            _ => match self.x2apic_register(msr)? {
                ICR_LOW => Some(self.icr),
                register => self.read(register, clock).map(u64::from),
            },
        }
    }

    /// Writes one of the local APIC's MSRs. `None` (#GP): not in x2APIC mode, no such register or a read-only one,
    /// reserved bits, or a mode that cannot follow.
    #[inline]
    pub fn write_msr(&mut self, msr: u32, value: u64, clock: &impl Clock) -> Option<Effect> {
        match msr {
            APIC_BASE_MSR => self.set_base(value),
            TSC_DEADLINE_MSR => {
                self.timer.set_tsc_deadline(value);
                Some(Effect::Timer)
            }
            _ => {
                let register = self.x2apic_register(msr)?;
                let reserved = value & !x2apic_writable(register)? != 0;
                if reserved { None } else { self.write(register, value, clock) }
            }
        }
    }

    /// Reads at most 4 bytes at `offset` of the register page. Outside the registers there are zeros.
    #[must_use]
    pub fn read_page(&mut self, offset: u16, clock: &impl Clock) -> u32 {
        if self.identity.mode != Mode::XApic {
            return u32::MAX;
        }
        let Some(value) = self.read((offset >> 4) as u8, clock) else {
            self.error(ESR_ILLEGAL_REGISTER);
            return 0;
        };
        value.checked_shr(u32::from(offset & 0xf) * 8).unwrap_or(0)
    }

    /// Writes 4 bytes at `offset` of the register page; writes off a register's start are ignored.
    pub fn write_page(&mut self, offset: u16, value: u32, clock: &impl Clock) -> Effect {
        if self.identity.mode != Mode::XApic || offset & 0xf != 0 || offset >= 0x1000 {
            return Effect::None;
        }
        match (offset >> 4) as u8 {
            // Read-only registers ignore writes.
            ID | VERSION | APR | PPR | ISR..=IRR_LAST | TIMER_CURRENT => Effect::None,
            register => self.write(register, value.into(), clock).unwrap_or_else(|| {
                self.error(ESR_ILLEGAL_REGISTER);
                Effect::None
            }),
        }
    }

    fn is_x2apic(&self) -> bool {
        self.identity.mode == Mode::X2Apic
    }

    fn x2apic_register(&self, msr: u32) -> Option<u8> {
        let register = u8::try_from(msr.wrapping_sub(X2APIC_MSRS)).ok()?;
        (self.is_x2apic() && register <= SELF_IPI).then_some(register)
    }

    fn read(&self, register: u8, clock: &impl Clock) -> Option<u32> {
        let x2apic = self.is_x2apic();
        Some(match register {
            ID if x2apic => self.identity.id,
            ID => self.identity.id << 24,
            VERSION => VERSION_VALUE,
            TPR => u32::from(self.tpr),
            PPR => u32::from(self.processor_priority()),
            EOI | APR | DFR | ICR_HIGH if x2apic => return None,
            EOI | APR => 0,
            LDR if x2apic => self.identity.x2apic_logical(),
            LDR => u32::from(self.identity.logical) << 24,
            DFR if self.identity.flat => 0xffff_ffff,
            DFR => 0x0fff_ffff,
            SVR => self.spurious,
            ISR..=ISR_LAST => self.in_service.register(register - ISR),
            TMR..=TMR_LAST => self.trigger_level.register(register - TMR),
            IRR..=IRR_LAST => self.requested.register(register - IRR),
            ESR => self.errors_shown,
            ICR_LOW => self.icr as u32,
            ICR_HIGH => (self.icr >> 32) as u32,
            TIMER_INITIAL => self.timer.initial,
            TIMER_CURRENT => self.timer.current(clock),
            TIMER_DIVIDE => u32::from(self.timer.divide),
            _ => self.lvt.get(register)?,
        })
    }

    fn write(&mut self, register: u8, value: u64, clock: &impl Clock) -> Option<Effect> {
        let low = value as u32;
        match register {
            TPR => self.tpr = low as u8,
            EOI => return Some(self.end_of_interrupt().map_or(Effect::None, Effect::Eoi)),
            LDR => {
                self.identity.logical = (low >> 24) as u8;
                return Some(Effect::Identity);
            }
            DFR => {
                self.identity.flat = low >> 28 == 0xf;
                return Some(Effect::Identity);
            }
            SVR => {
                self.spurious = low & 0x3ff;
                if !self.is_software_enabled() {
                    self.lvt.mask_all();
                }
            }
            ESR => self.errors_shown = core::mem::take(&mut self.errors_seen),
            ICR_HIGH => self.icr = self.icr & 0xffff_ffff | (value & 0xff00_0000) << 32,
            ICR_LOW => {
                let whole = if self.is_x2apic() { value } else { self.icr };
                let high = whole >> 32;
                self.icr = high << 32 | u64::from(low & ICR_WRITABLE);
                let is_logical = low >> 11 & 1 != 0;
                let to = if self.is_x2apic() {
                    Destination::wide(high as u32, is_logical)
                } else {
                    Destination::narrow((high >> 24) as u8, is_logical)
                };
                return Some(self.send(low, to));
            }
            TIMER_INITIAL => {
                self.timer.start(low, clock);
                return Some(Effect::Timer);
            }
            TIMER_DIVIDE => {
                self.timer.set_divide(low as u8, clock);
                return Some(Effect::Timer);
            }
            SELF_IPI if self.is_x2apic() => {
                return Some(self.send(1 << 18 | low & 0xff, Destination::Broadcast));
            }
            _ => {
                let forced = if self.is_software_enabled() { 0 } else { lvt::MASKED };
                self.lvt.set(register, low | forced)?;
                if register == lvt::TIMER {
                    self.timer.set_mode(low);
                    return Some(Effect::Timer);
                }
            }
        }
        Some(Effect::None)
    }

    fn send(&mut self, low: u32, to: Destination) -> Effect {
        let Some(ipi) = Ipi::decode(low, to) else { return Effect::None };
        if let Delivery::Fixed(Vector(0..16)) | Delivery::LowestPriority(Vector(0..16)) = ipi.delivery {
            self.error(ESR_SENT_ILLEGAL_VECTOR);
            return Effect::None;
        }
        Effect::Ipi(ipi)
    }
}

/// The bits that a write may carry in x2APIC mode. `None`: no such register, or a read-only one.
#[inline]
fn x2apic_writable(register: u8) -> Option<u64> {
    Some(match register {
        TPR | SELF_IPI => 0xff,
        EOI | ESR => 0,
        SVR => 0x3ff,
        ICR_LOW => 0xffff_ffff << 32 | u64::from(ICR_WRITABLE | ICR_STATUS),
        TIMER_INITIAL => 0xffff_ffff,
        TIMER_DIVIDE => 0xb,
        _ => lvt::tolerated(register)?.into(),
    })
}
