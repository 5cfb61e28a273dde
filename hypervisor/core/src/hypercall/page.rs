//! The hypercall page: the guest names a page of its memory and gets it filled with one stub per hypercall number.

use crate::domain::{Context, Domain, VcpuRef};
use crate::evtchn::Layout;
use crate::frame::{Gfn, PAGE_SHIFT, PAGE_SIZE};
use crate::guest_cpu::GuestCpu;
use crate::machine::Machine;
use crate::page::GuestPage;

const STUB: usize = 32;
const IRET: usize = 23;
const UD2: [u8; 2] = [0x0f, 0x0b];
const RET: u8 = 0xc3;

/// Fills the page that `value` (a guest-physical address; the low 12 bits are the page's number, of which there is one)
/// names. `None` if there is no such page or memory.
///
/// This is also where the width of the guest's kernel becomes known, and with it the layout of its shared pages.
pub fn install<M: Machine>(vcpu: &VcpuRef<M>, context: &mut Context<M>, value: u64) -> Option<()> {
    if value & (PAGE_SIZE as u64 - 1) != 0 {
        return None;
    }
    let domain = vcpu.domain();
    let page = domain.memory.own_page(Gfn(value >> PAGE_SHIFT)).ok()?;
    let call = context.guest.hypercall_instruction();
    for number in 0..PAGE_SIZE / STUB {
        let mut stub = [0xcc; STUB];
        stub[0] = 0xb8; // mov eax, number
        stub[1..5].copy_from_slice(&(number as u32).to_le_bytes());
        stub[5..8].copy_from_slice(&call);
        stub[8] = RET;
        if number == IRET {
            // Only paravirtualized guests return from interrupts by a call.
            stub[..2].copy_from_slice(&UD2);
        }
        page.write(number * STUB, &stub);
    }
    learn_layout(domain, context);
    Some(())
}

/// The width of the guest's kernel is that of the code that runs now.
pub(super) fn learn_layout<M: Machine>(domain: &Domain<M>, context: &Context<M>) {
    domain.events.lock().set_layout(if context.is_64_bit() { Layout::X64 } else { Layout::X32 });
}
