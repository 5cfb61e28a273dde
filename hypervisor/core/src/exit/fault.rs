//! Nested page faults: accesses to guest-physical addresses that map to nothing, or not for that.
//!
//! In order: the local APIC's page and, in the domain that owns the hardware, the virtualized device registers are
//! emulated; that domain's other device memory is mapped on demand; anything else reads as all ones and swallows
//! writes, as an empty bus does. A write to a read-only page gets the guest a #GP.

use crate::domain::{Context, VcpuRef};
use crate::emulate::{self, Bus, Segment, Width};
use crate::exit::GuestClock;
use crate::frame::{Gaddr, PAGE_SIZE};
use crate::guest_cpu::{CpuMode, Event, GuestCpu, NestedFault};
use crate::hardware::Hardware;
use crate::hypervisor::Hypervisor;
use crate::interrupt;
use crate::linear;
use crate::machine::Machine;
use crate::vlapic::APIC_PAGE;
use crate::walk::Access;

/// Handles the fault. The guest runs the instruction again unless it was emulated.
pub fn handle<M: Machine>(
    hv: &Hypervisor<M>,
    vcpu: &VcpuRef<M>,
    context: &mut Context<M>,
    fault: &NestedFault,
) {
    let domain = vcpu.domain();
    let (at, gfn) = (fault.address, fault.address.frame());
    if let Some(entry) = domain.memory.lookup(gfn) {
        let allowed = (!fault.write || entry.access.write) && (!fault.fetch || entry.access.execute);
        if !allowed {
            context.guest.inject(Event::GENERAL_PROTECTION);
        }
        // Otherwise somebody has just mapped it: the guest tries again.
        return;
    }
    let device = match Hardware::of(hv, domain) {
        _ if at.0 & !(PAGE_SIZE as u64 - 1) == APIC_PAGE => Device::LocalApic,
        Some(hardware) if hardware.claims_memory(at) => Device::Platform(hardware),
        Some(hardware) if hardware.map_on_demand(gfn) => return,
        _ => Device::Nothing,
    };
    if fault.fetch || fault.in_walk {
        let what = if fault.fetch { "instruction fetch from" } else { "page table at" };
        let reason = format_args!("{what} guest-physical {at}, where nothing is");
        return super::crash(hv, vcpu, context, reason);
    }
    DeviceBus { hv, vcpu, context, at, device }.emulate(fault.write);
}

/// Reads the instruction bytes at the guest's rip, as many as there are.
pub fn fetch<'a, M: Machine>(vcpu: &VcpuRef<M>, context: &Context<M>, into: &'a mut [u8; 15]) -> &'a [u8] {
    let base = match context.guest.control().mode {
        CpuMode::Bits64 => 0,
        _ => context.guest.system().segments.cs.base,
    };
    let start = base.wrapping_add(context.guest.gprs().rip);
    let to_page_end = (PAGE_SIZE - (start as usize & (PAGE_SIZE - 1))).min(into.len());
    let (first, second) = into.split_at_mut(to_page_end);
    if linear::read(vcpu, context, start, first, Access::Fetch).is_err() {
        return &[];
    }
    match linear::read(vcpu, context, start.wrapping_add(to_page_end as u64), second, Access::Fetch) {
        Ok(()) => into,
        Err(_) => into.get(..to_page_end).unwrap_or(&[]),
    }
}

/// What answers at an address.
enum Device<'a, M: Machine> {
    /// The vCPU's local APIC.
    LocalApic,
    /// A device that the hardware domain shares with the hypervisor.
    Platform(Hardware<'a, M>),
    /// The empty bus.
    Nothing,
}

struct DeviceBus<'a, M: Machine> {
    hv: &'a Hypervisor<M>,
    vcpu: &'a VcpuRef<M>,
    context: &'a mut Context<M>,
    at: Gaddr,
    device: Device<'a, M>,
}

impl<M: Machine> DeviceBus<'_, M> {
    /// Runs the instruction at the guest's rip against the device. Not inlined: the way of the other exits stays short.
    #[inline(never)]
    fn emulate(mut self, is_write: bool) {
        let mut buffer = [0; 15];
        let bytes = fetch(self.vcpu, self.context, &mut buffer);
        let instruction = match emulate::decode(bytes, self.context.guest.control().mode) {
            Ok(instruction) => instruction,
            Err(reason) => {
                let (at, rip) = (self.at, self.context.guest.gprs().rip);
                let reason = format_args!(
                    "access to guest-physical {at} by the instruction at {rip:#x}: {reason} ({bytes:02x?})"
                );
                return super::crash(self.hv, self.vcpu, self.context, reason);
            }
        };
        // A copy, which takes effect only if the instruction succeeds.
        let mut registers = *self.context.guest.gprs();
        match emulate::execute(&instruction, &mut registers, &mut self, is_write) {
            Ok(()) => {
                *self.context.guest.gprs_mut() = registers;
                self.context.guest.skip(0);
            }
            Err(fault) => linear::inject(self.context, &fault),
        }
    }

    fn segment_base(&self, segment: Segment) -> u64 {
        let system = self.context.guest.system();
        let s = &system.segments;
        let long = self.context.is_64_bit();
        match segment {
            Segment::Fs => s.fs.base,
            Segment::Gs => s.gs.base,
            _ if long => 0,
            Segment::Es => s.es.base,
            Segment::Cs => s.cs.base,
            Segment::Ss => s.ss.base,
            Segment::Ds => s.ds.base,
        }
    }
}

impl<M: Machine> Bus for DeviceBus<'_, M> {
    type Error = linear::Fault;

    fn read(&mut self, width: Width) -> Result<u64, Self::Error> {
        let value = match self.device {
            Device::LocalApic => {
                let clock = GuestClock::new(self.hv.machine, self.context.tsc_offset);
                u64::from(self.context.apic.read_page(self.at.offset() as u16, &clock))
            }
            Device::Platform(hardware) => hardware.read_memory(self.at, width.bytes()),
            Device::Nothing => u64::MAX,
        };
        Ok(value & width.mask())
    }

    fn write(&mut self, width: Width, value: u64) -> Result<(), Self::Error> {
        match self.device {
            Device::LocalApic => {
                let clock = GuestClock::new(self.hv.machine, self.context.tsc_offset);
                let effect = self.context.apic.write_page(self.at.offset() as u16, value as u32, &clock);
                interrupt::apply(self.hv, self.vcpu, self.context, effect);
            }
            Device::Platform(hardware) => hardware.write_memory(self.at, width.bytes(), value),
            Device::Nothing => {}
        }
        Ok(())
    }

    fn load(&mut self, segment: Segment, offset: u64, width: Width) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        let len = width.bytes() as usize;
        let at = self.segment_base(segment).wrapping_add(offset);
        linear::read(self.vcpu, self.context, at, bytes.get_mut(..len).unwrap_or(&mut []), Access::Read)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn store(&mut self, segment: Segment, offset: u64, width: Width, value: u64) -> Result<(), Self::Error> {
        let bytes = value.to_le_bytes();
        let len = width.bytes() as usize;
        let at = self.segment_base(segment).wrapping_add(offset);
        linear::write(self.vcpu, self.context, at, bytes.get(..len).unwrap_or(&[]))
    }
}
