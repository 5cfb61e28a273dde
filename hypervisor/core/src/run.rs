//! Running a vCPU: the loop between the guest and the hypervisor.
//!
//! This is the path of every VM exit. It is short when nothing special is up: mark this CPU as inside, look whether
//! anything asks for attention, enter; mark it as outside, handle the exit, again. Nothing on it allocates, and the
//! only lock held throughout is the vCPU's own context.

use hypercall_abi::trace::HVM_VMENTRY;

use crate::domain::{Attention, Context, DomainMemory, Vcpu, VcpuRef};
use crate::exit;
use crate::guest_cpu::GuestCpu;
use crate::hypervisor::Hypervisor;
use crate::ids::CpuId;
use crate::interrupt;
use crate::machine::Machine;
use crate::shared;
use crate::sync::Class;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::time::Nanos;

/// Runs a vCPU that the scheduler has picked for this CPU, until it has to stop. Returns when it wants to be looked at
/// again, for [`Scheduler::put`](crate::sched::Scheduler::put).
pub fn run<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>) -> Nanos {
    let cpu = hv.machine.this_cpu();
    // Looked up once, not at every exit.
    let state: &Vcpu<M> = vcpu;
    let mut guard = state.context.lock_as(Class::Context);
    let context = &mut *guard;
    switch_in(hv, cpu, vcpu, state, context);
    let memory = &vcpu.domain().memory;
    let trace = hv.machine.trace();
    let resched = hv.sched.reschedules();
    let forgets_interrupts = hv.machine.forgets_interrupts();
    loop {
        hv.entries.enter(cpu);
        match attention(state, memory, context, resched) {
            Attention::None => {
                trace.event(HVM_VMENTRY, || []);
                context.guest.enter();
                hv.entries.leave(cpu);
                if trace.on.load(Ordering::Relaxed) {
                    trace.exit(&context.guest);
                }
                exit::handle(hv, vcpu, &state.exits, context);
                if forgets_interrupts {
                    hv.machine.remind_of_timer();
                }
            }
            Attention::Work => {
                hv.entries.leave(cpu);
                interrupt::work(hv, vcpu, context);
            }
            Attention::Stop => {
                hv.entries.leave(cpu);
                break;
            }
        }
    }
    switch_out(cpu, vcpu, context);
    context.timers.first()
}

/// What must be looked at before the guest is entered. This CPU counts as inside already, so whatever is posted after
/// these loads comes with an interrupt that ends the guest's run.
#[inline]
fn attention<M: Machine>(
    vcpu: &Vcpu<M>,
    memory: &DomainMemory<M>,
    context: &mut Context<M>,
    resched: &AtomicBool,
) -> Attention {
    let epoch = memory.tlb_epoch.load(Ordering::SeqCst);
    if epoch != context.tlb_epoch {
        context.tlb_epoch = epoch;
        context.guest.flush_tlb();
    }
    let must_stop = vcpu.sched.is_held() || resched.load(Ordering::Relaxed);
    // One that waits for an interrupt first finds out whether there is one: its APIC's are not among its requests, so
    // nobody would wake it for them.
    if must_stop && !(context.irq_check && vcpu.sched.is_blocked()) {
        Attention::Stop
    } else if vcpu.has_work() || context.irq_check || context.nmi_waiting && context.guest.can_take_nmi() {
        Attention::Work
    } else if vcpu.sched.is_blocked() {
        Attention::Stop
    } else {
        Attention::None
    }
}

fn switch_in<M: Machine>(
    hv: &Hypervisor<M>,
    cpu: CpuId,
    vcpu: &VcpuRef<M>,
    state: &Vcpu<M>,
    context: &mut Context<M>,
) {
    vcpu.domain().running_on.fetch_or(1 << (cpu.0 & 63), Ordering::SeqCst);
    context.guest.switch_in();
    context.load_tsc(hv.machine);
    if !state.shows_time.load(Ordering::Relaxed) {
        shared::publish_time(hv, vcpu, context);
    }
    shared::publish_runstate(vcpu, context);
    interrupt::check_timers(hv, vcpu, context);
}

fn switch_out<M: Machine>(cpu: CpuId, vcpu: &VcpuRef<M>, context: &mut Context<M>) {
    context.guest.switch_out();
    vcpu.domain().running_on.fetch_and(!(1 << (cpu.0 & 63)), Ordering::SeqCst);
}
