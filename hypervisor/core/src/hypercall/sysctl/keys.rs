//! Keys as if typed on the console (`xl debug-keys`): what is going on, for the log.

use hypercall_abi::abi::Word;
use hypercall_abi::sysctl::DebugKeys;

use super::{Call, Machine, Result, ensure, refuse};
use crate::domain::{Context, VcpuRef};
use crate::guest_cpu::GuestCpu;
use crate::hv_log;
use crate::hypercall::domctl::describe;
use crate::ids::DomId;
use crate::machine::MachineEnd;
use crate::time::Nanos;

/// Answers the keys that have an answer. `C` is the end, to see what a panic reports.
pub(super) fn debug_keys<M: Machine>(call: &Call<'_, M>, op: DebugKeys) -> Result<()> {
    const MAX_KEYS: u32 = 16;
    ensure!(op.nr_keys <= MAX_KEYS, E2BIG, "{} keys at once; {MAX_KEYS} are the most", op.nr_keys);
    for i in 0..op.nr_keys.into() {
        match call.read_element::<u8>(op.keys.get(), i)? {
            b'h' => hv_log!(call.hv, Info, "keys: h this help, q domains, v vCPUs, C panic"),
            b'q' => domains(call),
            b'v' => call.hv.domains_from(DomId(0)).for_each(|domain| {
                domain.vcpu_refs().filter(|vcpu| vcpu.is_online()).for_each(|vcpu| show(call, &vcpu));
            }),
            b'C' => call.hv.machine.end(MachineEnd::Panic),
            key => refuse!(EINVAL, "key {:?} does nothing", char::from(key)),
        }
    }
    Ok(())
}

fn domains<M: Machine>(call: &Call<'_, M>) {
    for domain in call.hv.domains_from(DomId(0)) {
        let info = describe(call.hv, &domain);
        hv_log!(
            call.hv,
            Info,
            "{}: flags {:#x}, {} of {} pages, {} page tables, {} of {} vCPUs on, ran {} ms",
            domain.id,
            info.flags.bits(),
            info.tot_pages,
            info.max_pages,
            domain.memory.tables(),
            info.nr_online_vcpus,
            domain.config.max_vcpus,
            info.cpu_time / 1_000_000
        );
    }
}

/// Where a vCPU is, what waits for it, and, unless it runs, what it would do next.
fn show<M: Machine>(call: &Call<'_, M>, vcpu: &VcpuRef<M>) {
    let (hv, node, now) = (call.hv, &vcpu.sched, call.hv.machine.now());
    hv_log!(
        hv,
        Info,
        "{vcpu}: {:?} for {} us, home {}{}{}, requests {:?}{}, upcall {}",
        node.state(),
        now.since(node.raw_times().since) / 1000,
        node.home(),
        if node.is_blocked() { ", blocked" } else { "" },
        if node.is_held() { ", held" } else { "" },
        vcpu.requests(),
        if vcpu.posted.is_pending() { ", interrupts posted" } else { "" },
        if vcpu.domain().events.lock().upcall_pending(vcpu.id) { "due" } else { "not due" },
    );
    // A vCPU that runs has its context locked.
    if let Some(context) = vcpu.context.try_lock() {
        let Context { guest, apic, timers, .. } = &*context;
        let (requested, in_service) = (apic.highest_requested(), apic.highest_in_service());
        let first = Some(timers.first()).filter(|first| *first != Nanos::NEVER);
        // Negative: it is overdue.
        let timer = first.map(|first| first.0.wrapping_sub(now.0) as i64 / 1000);
        hv_log!(
            hv,
            Info,
            "{vcpu}: rip {:#x}, rflags {:#x}, {}, requested {requested:?}, in service {in_service:?}, timer in us {timer:?}{}",
            guest.gprs().rip,
            guest.gprs().rflags,
            if guest.can_take_interrupt() { "open" } else { "takes no interrupt" },
            if context.upcall_waiting { ", upcall waits" } else { "" },
        );
    }
}
