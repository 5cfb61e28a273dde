//! The register file: one model behind the xAPIC page and the x2APIC MSRs.
//!
//! A register is named by its number: page offset / 16, which is also MSR - 0x800 (SDM vol. 3, table 10-6).

use super::identity::{Destination, Mode};
use super::lvt::{Entry, MASKED};
use super::message::{Delivery, Ipi};
use super::timer::Clock;
use super::{Effect, Fault, Vlapic};
use crate::ids::Vector;

/// The first MSR of x2APIC mode.
pub const X2APIC_MSRS: u32 = 0x800;
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
    /// Reads an MSR of the x2APIC range.
    ///
    /// # Errors
    /// A [`Fault`] (#GP) outside x2APIC mode, and for registers that are missing or write-only.
    pub fn read_msr(&self, msr: u32, clock: &impl Clock) -> Result<u64, Fault> {
        let register = self.x2apic_register(msr)?;
        match register {
            ICR_LOW => Ok(self.icr),
            EOI | SELF_IPI | DFR | ICR_HIGH | APR => Err(Fault::NoRegister(msr)),
            _ => self.read(register, clock).map(u64::from).ok_or(Fault::NoRegister(msr)),
        }
    }

    /// Writes an MSR of the x2APIC range.
    ///
    /// # Errors
    /// A [`Fault`] (#GP) outside x2APIC mode, for registers that are missing or read-only, and for reserved bits.
    pub fn write_msr(&mut self, msr: u32, value: u64, clock: &impl Clock) -> Result<Effect, Fault> {
        let register = self.x2apic_register(msr)?;
        let low = value as u32;
        let allowed = match register {
            TPR => 0xff,
            EOI | ESR => 0,
            SVR => 0x3ff,
            ICR_LOW => {
                if low & !(ICR_WRITABLE | ICR_STATUS) != 0 {
                    return Err(Fault::ReservedBits(msr, value));
                }
                self.icr = value & (0xffff_ffff_0000_0000 | u64::from(ICR_WRITABLE));
                let to = Destination::wide((value >> 32) as u32, low >> 11 & 1 != 0);
                return Ok(self.send(low, to));
            }
            TIMER_INITIAL => 0xffff_ffff,
            TIMER_DIVIDE => 0xb,
            SELF_IPI => 0xff,
            _ => match Entry::of_register(register) {
                Some(entry) => u64::from(entry.tolerated()),
                None => return Err(Fault::NoRegister(msr)),
            },
        };
        if value & !allowed != 0 {
            return Err(Fault::ReservedBits(msr, value));
        }
        self.write(register, low, clock).ok_or(Fault::NoRegister(msr))
    }

    /// Reads at most 4 bytes at `offset` of the register page. Outside the registers there are zeros.
    #[must_use]
    pub fn read_page(&mut self, offset: u16, clock: &impl Clock) -> u32 {
        if self.identity.mode != Mode::XApic {
            return u32::MAX;
        }
        let shift = u32::from(offset & 0xf) * 8;
        let value = match (offset >> 4) as u8 {
            ICR_LOW => Some(self.icr as u32),
            ICR_HIGH => Some((self.icr >> 32) as u32),
            EOI => Some(0),
            SELF_IPI => None,
            register => self.read(register, clock),
        };
        match value {
            Some(value) => value.checked_shr(shift).unwrap_or(0),
            None => {
                self.error(ESR_ILLEGAL_REGISTER);
                0
            }
        }
    }

    /// Writes 4 bytes at `offset` of the register page; writes off a register's start are ignored.
    pub fn write_page(&mut self, offset: u16, value: u32, clock: &impl Clock) -> Effect {
        if self.identity.mode != Mode::XApic || offset & 0xf != 0 || offset >= 0x1000 {
            return Effect::None;
        }
        match (offset >> 4) as u8 {
            ICR_HIGH => {
                self.icr = self.icr & 0xffff_ffff | u64::from(value & 0xff00_0000) << 32;
                Effect::None
            }
            ICR_LOW => {
                self.icr = self.icr & 0xffff_ffff_0000_0000 | u64::from(value & ICR_WRITABLE);
                let to = Destination::narrow((self.icr >> 56) as u8, value >> 11 & 1 != 0);
                self.send(value, to)
            }
            LDR => {
                self.identity.logical = (value >> 24) as u8;
                Effect::Identity
            }
            DFR => {
                self.identity.flat = value >> 28 == 0xf;
                Effect::Identity
            }
            SELF_IPI => {
                self.error(ESR_ILLEGAL_REGISTER);
                Effect::None
            }
            // Read-only registers ignore writes.
            ID | VERSION | APR | PPR | ISR..=IRR_LAST | TIMER_CURRENT => Effect::None,
            register => self.write(register, value, clock).unwrap_or_else(|| {
                self.error(ESR_ILLEGAL_REGISTER);
                Effect::None
            }),
        }
    }

    /// Reads `IA32_TSC_DEADLINE`.
    pub const fn tsc_deadline(&self) -> u64 {
        self.timer.tsc_deadline()
    }

    /// Writes `IA32_TSC_DEADLINE`; ignored outside deadline mode. The kernel looks at the timer afterwards.
    pub fn set_tsc_deadline(&mut self, tsc: u64) -> Effect {
        self.timer.set_tsc_deadline(tsc);
        Effect::Timer
    }

    fn x2apic_register(&self, msr: u32) -> Result<u8, Fault> {
        if self.identity.mode != Mode::X2Apic {
            return Err(Fault::NotX2Apic(msr));
        }
        match msr.wrapping_sub(X2APIC_MSRS) {
            register @ 0..=0x3f => Ok(register as u8),
            _ => Err(Fault::NoRegister(msr)),
        }
    }

    /// Registers that read the same in both modes, or differ only in width.
    fn read(&self, register: u8, clock: &impl Clock) -> Option<u32> {
        let x2apic = self.identity.mode == Mode::X2Apic;
        Some(match register {
            ID if x2apic => self.identity.id,
            ID => self.identity.id << 24,
            VERSION => VERSION_VALUE,
            TPR => u32::from(self.tpr),
            APR => 0,
            PPR => u32::from(self.processor_priority()),
            LDR if x2apic => self.identity.x2apic_logical(),
            LDR => u32::from(self.identity.logical) << 24,
            DFR if self.identity.flat => 0xffff_ffff,
            DFR => 0x0fff_ffff,
            SVR => self.spurious,
            ISR..=ISR_LAST => self.in_service.register(register - ISR),
            TMR..=TMR_LAST => self.trigger_level.register(register - TMR),
            IRR..=IRR_LAST => self.requested.register(register - IRR),
            ESR => self.errors_shown,
            TIMER_INITIAL => self.timer.initial(),
            TIMER_CURRENT => self.timer.current(clock),
            TIMER_DIVIDE => u32::from(self.timer.divide()),
            _ => self.lvt.get(Entry::of_register(register)?),
        })
    }

    fn write(&mut self, register: u8, value: u32, clock: &impl Clock) -> Option<Effect> {
        match register {
            TPR => self.tpr = value as u8,
            EOI => return Some(self.end_of_interrupt().map_or(Effect::None, Effect::Eoi)),
            SVR => {
                self.spurious = value & 0x3ff;
                if !self.is_software_enabled() {
                    self.lvt.mask_all();
                }
            }
            ESR => self.errors_shown = core::mem::take(&mut self.errors_seen),
            TIMER_INITIAL => {
                self.timer.start(value, clock);
                return Some(Effect::Timer);
            }
            TIMER_DIVIDE => {
                self.timer.set_divide(value as u8, clock);
                return Some(Effect::Timer);
            }
            SELF_IPI => return Some(self.send(1 << 18 | value & 0xff, Destination::Broadcast)),
            _ => {
                let entry = Entry::of_register(register)?;
                let forced = if self.is_software_enabled() { 0 } else { MASKED };
                self.lvt.set(entry, value | forced);
                if entry == Entry::Timer {
                    self.timer.set_mode(value);
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
