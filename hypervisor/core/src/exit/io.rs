//! Port I/O.
//!
//! A guest has no ports: reads give all ones, writes go nowhere, except that port 0xe9 writes to the hypervisor's
//! log. The domain that owns the hardware uses the machine's ports without exits, except the virtualized ones.

use crate::domain::{Context, VcpuRef};
use crate::guest_cpu::{Event, Gpr, GuestCpu, IoAccess, IoDirection, IoOperand};
use crate::hv_log;
use crate::hypervisor::Hypervisor;
use crate::machine::Machine;

const DEBUG_PORT: u16 = 0xe9;

/// Handles an access that was intercepted.
pub fn handle<M: Machine>(
    hv: &Hypervisor<M>,
    vcpu: &VcpuRef<M>,
    context: &mut Context<M>,
    access: &IoAccess,
) {
    if access.operand == IoOperand::String {
        // No driver of a virtualized port uses INS or OUTS.
        context.guest.inject(Event::GENERAL_PROTECTION);
        return;
    }
    let width = u64::MAX >> (64 - 8 * u32::from(access.size.clamp(1, 4)));
    match access.direction {
        IoDirection::Out => {
            let value = context.guest.gprs().get(Gpr::Rax) & width;
            write(hv, vcpu, access, value as u32);
        }
        IoDirection::In => {
            let value = read(hv, vcpu, access) & width;
            let gprs = context.guest.gprs_mut();
            // A 32-bit result clears the upper half; smaller ones keep the rest.
            let kept = if access.size == 4 { 0 } else { gprs.get(Gpr::Rax) & !width };
            gprs.set(Gpr::Rax, kept | value);
        }
    }
    context.guest.skip(access.len);
}

fn read<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, access: &IoAccess) -> u64 {
    match &vcpu.domain().hardware {
        Some(hardware) => u64::from(hardware.read_port(hv, vcpu, access.port, access.size)),
        None => u64::MAX,
    }
}

fn write<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, access: &IoAccess, value: u32) {
    let domain = vcpu.domain();
    if access.port == DEBUG_PORT {
        let mut line = domain.debug_line.lock();
        line.push(value as u8, |text| hv_log!(hv, Guest, "({}) {text}", domain.id));
    } else if let Some(hardware) = &domain.hardware {
        hardware.write_port(hv, vcpu, access.port, access.size, value);
    }
}
