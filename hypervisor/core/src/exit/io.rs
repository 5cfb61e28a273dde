//! Port I/O.
//!
//! A guest has no ports: reads give all ones, writes go nowhere, except that port 0xe9 writes to the hypervisor's
//! log, and that a timer which is not there shows zero. The domain that owns the hardware uses the machine's ports without exits, except the virtualized ones.

use crate::domain::{Context, VcpuRef};
use crate::guest_cpu::{Event, Gpr, GuestCpu, IoAccess};
use crate::hardware::Hardware;
use crate::hv_log;
use crate::hypervisor::Hypervisor;
use crate::machine::Machine;
use crate::size::Size;

const DEBUG_PORT: u16 = 0xe9;
/// Counter 2 of the PIT, which is the hypervisor's. Linux loads it with all ones and asks 50,000 times whether it still shows
/// them before it gives up to measure its TSC: at zero it gives up at once.
const PIT_COUNTER: u16 = 0x42;

/// Handles an access that was intercepted. Not inlined: the way of the other exits stays short.
#[inline(never)]
pub fn handle<M: Machine>(
    hv: &Hypervisor<M>,
    vcpu: &VcpuRef<M>,
    context: &mut Context<M>,
    access: &IoAccess,
) {
    let IoAccess { port, size, write, string, len } = *access;
    if string {
        // No driver of a virtualized port uses INS or OUTS.
        context.guest.inject(Event::GENERAL_PROTECTION);
        return;
    }
    let domain = vcpu.domain();
    let hardware = Hardware::of(hv, domain);
    let rax = context.guest.gprs().get(Gpr::Rax);
    if write && port == DEBUG_PORT {
        domain.debug_line.lock().push(rax as u8, |text| hv_log!(hv, Guest, "({}) {text}", domain.id));
    } else if write {
        if let Some(hardware) = hardware {
            hardware.write_port(port, size, rax as u32 & size.ones());
        }
    } else {
        let absent = if port == PIT_COUNTER { 0 } else { u32::MAX };
        let value =
            hardware.and_then(|hardware| hardware.read_port(port, size)).unwrap_or(absent) & size.ones();
        // A 32-bit result clears the upper half; smaller ones keep the rest.
        let kept = if size == Size::Dword { 0 } else { rax & !u64::from(size.ones()) };
        context.guest.gprs_mut().set(Gpr::Rax, kept | u64::from(value));
    }
    context.guest.skip(len);
}
