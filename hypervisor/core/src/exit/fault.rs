//! Nested page faults: accesses to guest-physical addresses that map to nothing, or not for that.
//!
//! In order: the local APIC's page and, in the domain that owns the hardware, the virtualized device registers are
//! emulated; that domain's other device memory is mapped on demand; anything else reads as all ones and swallows
//! writes, as an empty bus does. A write to a read-only page gets the guest a #GP.

use crate::domain::{Context, VcpuRef};
use crate::emulate::{self, Bus, Segment, Width};
use crate::exit::{GuestClock, code_size};
use crate::frame::{Gaddr, PAGE_SIZE};
use crate::guest_cpu::{Event, GuestCpu, NestedFault};
use crate::hypervisor::Hypervisor;
use crate::linear;
use crate::machine::Machine;
use crate::vlapic::{APIC_PAGE, Effect};
use crate::walk::Access;

/// Handles the fault. The guest runs the instruction again unless it was emulated.
pub fn handle<M: Machine>(
    hv: &Hypervisor<M>,
    vcpu: &VcpuRef<M>,
    context: &mut Context<M>,
    fault: &NestedFault,
) {
    let domain = vcpu.domain();
    let gfn = fault.address.frame();
    if let Some(entry) = domain.memory.lookup(gfn) {
        let allowed = (!fault.write || entry.access.write) && (!fault.fetch || entry.access.execute);
        if !allowed {
            context.guest.inject(Event::GENERAL_PROTECTION);
        }
        // Otherwise somebody has just mapped it: the guest tries again.
        return;
    }
    let device = device_at(vcpu, fault.address);
    if device == Device::Nothing
        && let Some(hardware) = &domain.hardware
        && hardware.map_on_demand(hv, domain, gfn)
    {
        return;
    }
    if fault.fetch || fault.in_walk {
        let what = if fault.fetch { "instruction fetch from" } else { "page table at" };
        super::crash(
            hv,
            vcpu,
            context,
            format_args!("{what} guest-physical {}, where nothing is", fault.address),
        );
        return;
    }
    emulate_access(hv, vcpu, context, fault, device);
}

/// What answers at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Device {
    /// The vCPU's local APIC.
    LocalApic,
    /// A device that the hardware domain shares with the hypervisor.
    Platform,
    /// The empty bus.
    Nothing,
}

fn device_at<M: Machine>(vcpu: &VcpuRef<M>, at: Gaddr) -> Device {
    if at.0 & !(PAGE_SIZE as u64 - 1) == APIC_PAGE {
        Device::LocalApic
    } else if vcpu.domain().hardware.as_ref().is_some_and(|h| h.claims_memory(at)) {
        Device::Platform
    } else {
        Device::Nothing
    }
}

fn emulate_access<M: Machine>(
    hv: &Hypervisor<M>,
    vcpu: &VcpuRef<M>,
    context: &mut Context<M>,
    fault: &NestedFault,
    device: Device,
) {
    let mut bytes = [0; 15];
    let fetched = fetch(vcpu, context, &mut bytes);
    let code = code_size(context.guest.control().mode);
    let decoded = emulate::decode(bytes.get(..fetched).unwrap_or(&[]), code);
    let instruction = match decoded {
        Ok(instruction) => instruction,
        Err(reason) => {
            let (at, rip) = (fault.address, context.guest.gprs().rip);
            super::crash(
                hv,
                vcpu,
                context,
                format_args!(
                    "access to guest-physical {at} by the instruction at {rip:#x}: {reason} ({bytes:02x?})"
                ),
            );
            return;
        }
    };
    // A copy, which takes effect only if the instruction succeeds.
    let mut registers = *context.guest.gprs();
    let mut bus = DeviceBus { hv, vcpu, context, at: fault.address, device };
    match emulate::execute(&instruction, &mut registers, &mut bus, fault.write) {
        Ok(()) => {
            *context.guest.gprs_mut() = registers;
            context.guest.skip(0);
        }
        Err(fault) => linear::inject(context, &fault),
    }
}

/// Reads the instruction bytes at the guest's rip, as many as there are.
pub fn fetch<M: Machine>(vcpu: &VcpuRef<M>, context: &Context<M>, into: &mut [u8; 15]) -> usize {
    let control = context.guest.control();
    let base = if control.mode == crate::guest_cpu::CpuMode::Bits64 {
        0
    } else {
        context.guest.system().segments.cs.base
    };
    let start = base.wrapping_add(context.guest.gprs().rip);
    let to_page_end = (PAGE_SIZE - (start as usize & (PAGE_SIZE - 1))).min(into.len());
    let (first, second) = into.split_at_mut(to_page_end);
    if linear::read(vcpu, context, start, first, Access::Fetch).is_err() {
        return 0;
    }
    if linear::read(vcpu, context, start.wrapping_add(to_page_end as u64), second, Access::Fetch).is_err() {
        return to_page_end;
    }
    15
}

struct DeviceBus<'a, M: Machine> {
    hv: &'a Hypervisor<M>,
    vcpu: &'a VcpuRef<M>,
    context: &'a mut Context<M>,
    at: Gaddr,
    device: Device,
}

impl<M: Machine> DeviceBus<'_, M> {
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
            Device::Platform => match &self.vcpu.domain().hardware {
                Some(hardware) => hardware.read_memory(self.hv, self.vcpu, self.at, width.bytes()),
                None => u64::MAX,
            },
            Device::Nothing => u64::MAX,
        };
        Ok(value & width.mask())
    }

    fn write(&mut self, width: Width, value: u64) -> Result<(), Self::Error> {
        match self.device {
            Device::LocalApic => {
                let clock = GuestClock::new(self.hv.machine, self.context.tsc_offset);
                let effect = self.context.apic.write_page(self.at.offset() as u16, value as u32, &clock);
                apic_effect(self.hv, self.vcpu, self.context, effect);
            }
            Device::Platform => {
                if let Some(hardware) = &self.vcpu.domain().hardware {
                    hardware.write_memory(self.hv, self.vcpu, self.at, width.bytes(), value);
                }
            }
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

/// Does what a local APIC register write asks for.
pub fn apic_effect<M: Machine>(
    hv: &Hypervisor<M>,
    vcpu: &VcpuRef<M>,
    context: &mut Context<M>,
    effect: Effect,
) {
    match effect {
        // A lower TPR, or an APIC that was switched on, may let a waiting interrupt in.
        Effect::None => {
            context.irq_check |= context.upcall_waiting || context.apic.highest_requested().is_some();
        }
        Effect::Ipi(ipi) => crate::interrupt::send_ipi(hv, vcpu, context, &ipi),
        Effect::Eoi(vector) => {
            context.irq_check = true;
            if let Some(hardware) = &vcpu.domain().hardware {
                hardware.end_of_interrupt(vcpu.domain(), vector);
            }
        }
        Effect::Timer => crate::interrupt::run_timers(hv, vcpu, context),
        Effect::Identity => vcpu.identity.publish(context.apic.identity()),
    }
}
