//! What a vCPU does before it enters the guest when something is up: requests, timers, interrupts.

use core::sync::atomic::Ordering;

use crate::acpi::Trigger;
use crate::domain::{Context, Requests, Vcpu, VcpuRef};
use crate::evtchn::Virq;
use crate::exit::GuestClock;
use crate::guest_cpu::{Event, Gprs, GuestCpu, SystemState};
use crate::hardware::Hardware;
use crate::hv_log;
use crate::hypervisor::Hypervisor;
use crate::ids::{VcpuId, Vector};
use crate::machine::Machine;
use crate::shared;
use crate::time::Nanos;
use crate::vlapic::{Deadline, Delivery, Effect, Ipi};

/// Handles everything that waits, and sets the interrupt that the next entry delivers. Not inlined: the loop around it
/// stays short.
#[inline(never)]
pub fn work<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, context: &mut Context<M>) {
    // Looked up once: that takes a while.
    let state: &Vcpu<M> = vcpu;
    let requests = state.take_requests();
    if requests.intersects(Requests::INIT | Requests::STARTUP) {
        restart(hv, vcpu, context, requests);
    }
    if requests.contains(Requests::POLL_DONE) {
        context.timers.poll = Nanos::NEVER;
        vcpu.domain().events.lock().poll_done(vcpu.id);
        // It may have come before this vCPU slept: whoever sent it found it running, and left the waking to it.
        vcpu.sched.unblock();
    }
    if requests.contains(Requests::TIMER) {
        run_timers(hv, vcpu, context);
    }
    // Another vCPU may have given this one a new `vcpu_info`, and an upcall to take.
    if !state.shows_time.load(Ordering::Relaxed) {
        shared::publish_time(hv, vcpu, context);
    }
    context.apic.accept_posted(&state.posted);
    context.nmi_waiting |= requests.contains(Requests::NMI);
    context.upcall_waiting |= requests.contains(Requests::UPCALL);
    if context.nmi_waiting {
        vcpu.sched.unblock();
        if context.guest.can_take_nmi() {
            context.nmi_waiting = false;
            context.guest.inject(Event::Nmi);
        } else {
            // It is looked at again after every exit: the end of an NMI handler is one, and what is in the way otherwise
            // is over after one instruction.
            hv.machine.kick(hv.machine.this_cpu());
        }
    }
    context.irq_check = false;
    inject_next(vcpu, state, context);
}

/// Chooses what to inject: the event upcall first, which has no priority among the APIC's interrupts, then the APIC's.
fn inject_next<M: Machine>(vcpu: &VcpuRef<M>, state: &Vcpu<M>, context: &mut Context<M>) {
    let upcall = upcall_due(vcpu, state, context);
    let from_apic = context.apic.next_interrupt();
    let Some(vector) = upcall.or(from_apic) else {
        context.guest.request_interrupt_window(false);
        return;
    };
    state.sched.unblock();
    if !context.guest.can_take_interrupt() {
        context.guest.request_interrupt_window(true);
        return;
    }
    let more = if upcall.is_some() {
        context.upcall_waiting = false;
        from_apic.is_some()
    } else {
        context.apic.ack(vector);
        context.apic.next_interrupt().is_some()
    };
    context.guest.inject(Event::Interrupt(vector));
    context.guest.request_interrupt_window(more);
}

/// The vector of the domain-wide event callback, if the guest must be told of events that way. A vCPU with an upcall
/// vector of its own gets that from its local APIC instead.
fn upcall_due<M: Machine>(vcpu: &VcpuRef<M>, state: &Vcpu<M>, context: &mut Context<M>) -> Option<Vector> {
    if !context.upcall_waiting {
        return None;
    }
    if !vcpu.domain().events.lock().upcall_pending(state.id) {
        context.upcall_waiting = false;
        return None;
    }
    match state.upcall_vector() {
        Some(vector) => {
            // An APIC that is still switched off would drop it; it is tried again when the guest has switched it on.
            if context.apic.is_software_enabled() {
                context.upcall_waiting = false;
                context.apic.accept(vector, Trigger::Edge);
            }
            None
        }
        None => match vcpu.domain().callback_vector.load(Ordering::Relaxed) {
            0 => None,
            vector => Some(Vector(vector as u8)),
        },
    }
}

/// Raises what is due; if nothing is, it only makes sure that this CPU looks in time.
pub fn check_timers<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, context: &mut Context<M>) {
    let (first, now) = (context.timers.first(), hv.machine.now());
    if first <= now {
        return run_timers(hv, vcpu, context);
    }
    context.armed = first;
    hv.sched.arm_for_running(first, now);
}

/// Raises what is due and finds out when to look again.
pub fn run_timers<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, context: &mut Context<M>) {
    let now = hv.machine.now();
    let timers = &mut context.timers;
    let mut virq = false;
    if timers.singleshot <= now {
        timers.singleshot = Nanos::NEVER;
        virq = true;
    }
    let (next, period) = timers.periodic;
    if next <= now {
        // Ticks that were missed are merged.
        let missed = now.since(next) / period.max(1);
        timers.periodic.0 = next + (missed + 1).saturating_mul(period);
        virq = true;
    }
    if timers.poll <= now {
        timers.poll = Nanos::NEVER;
        vcpu.domain().events.lock().poll_done(vcpu.id);
        vcpu.sched.unblock();
    }
    if vcpu.id == VcpuId(0) {
        context.timers.watchdog = look_after_watchdogs(hv, vcpu, now);
    }
    let clock = GuestClock::new(hv.machine, context.tsc_offset);
    context.timers.apic = match context.apic.poll_timer(&clock) {
        None => Nanos::NEVER,
        Some(Deadline::Nanoseconds(at)) => Nanos(at),
        Some(Deadline::Tsc(at)) => clock.when_tsc_is(at),
    };
    // What the APIC's timer has raised is delivered by `work`, which need not be who called.
    context.irq_check |= context.apic.next_interrupt().is_some();
    if virq {
        hv.raise_virq(vcpu.domain(), Virq::TIMER, vcpu.id);
    }
    context.armed = context.timers.first();
    hv.sched.arm_for_running(context.armed, now);
}

/// Shuts the domain down if it has let a watchdog run out; says when to look again.
fn look_after_watchdogs<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, now: Nanos) -> Nanos {
    let domain = vcpu.domain();
    if !domain.watchdogs.expired(now) {
        return domain.watchdogs.first();
    }
    hv_log!(hv, Warning, "{} let its watchdog run out", domain.id);
    hv.shutdown_domain(domain, hypercall_abi::sched::SHUTDOWN_WATCHDOG);
    Nanos::NEVER
}

/// A timer was set: makes sure that this CPU looks in time. One that is set already to an earlier time is left alone.
pub fn rearm<M: Machine>(hv: &Hypervisor<M>, context: &mut Context<M>) {
    let first = context.timers.first();
    if first < context.armed {
        context.armed = first;
        hv.sched.arm_for_running(first, hv.machine.now());
    }
}

/// INIT, and the start-up IPI that ends the wait after it (SDM volume 3, 9.4).
fn restart<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, context: &mut Context<M>, requests: Requests) {
    if requests.contains(Requests::INIT) {
        reset(vcpu, context, 0);
        hv.take_down(vcpu);
    }
    // It came while the vCPU was down, however it went down.
    if requests.contains(Requests::STARTUP) {
        let page = vcpu.startup_vector.load(Ordering::Relaxed) as u16;
        reset(vcpu, context, page << 8);
    }
}

/// The state after INIT, with this code segment.
fn reset<M: Machine>(vcpu: &VcpuRef<M>, context: &mut Context<M>, cs: u16) {
    context.apic.init();
    vcpu.identity.publish(context.apic.identity());
    context.guest.forget_events();
    context.guest.set_system(&SystemState::after_init(cs));
    *context.guest.gprs_mut() = Gprs { rflags: 2, ..Gprs::default() };
}

/// Does what a local APIC register write asks for.
pub fn apply<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, context: &mut Context<M>, effect: Effect) {
    match effect {
        // A lower TPR, or an APIC that was switched on, may let a waiting interrupt in.
        Effect::None => {
            context.irq_check |= context.upcall_waiting || context.apic.highest_requested().is_some();
        }
        Effect::Ipi(ipi) => send_ipi(hv, vcpu, &ipi),
        Effect::Eoi(vector) => {
            context.irq_check = true;
            if let Some(hardware) = Hardware::of(hv, vcpu.domain()) {
                hardware.end_of_interrupt(vector);
            }
        }
        Effect::Timer => run_timers(hv, vcpu, context),
        Effect::Identity => {
            vcpu.identity.publish(context.apic.identity());
            run_timers(hv, vcpu, context);
        }
    }
}

/// Sends an inter-processor interrupt to the vCPUs that it names.
fn send_ipi<M: Machine>(hv: &Hypervisor<M>, from: &VcpuRef<M>, ipi: &Ipi) {
    let reached = from.domain().vcpu_refs().filter(|to| {
        let is_self = to == from;
        ipi.target.reaches(&to.identity.load(), is_self) && !(is_self && ipi.delivery == Delivery::Init)
    });
    send(hv, ipi.delivery, Trigger::Edge, reached);
}

/// Has these vCPUs do what a message says, wherever they are: posting wakes or interrupts them.
pub fn send<M: Machine>(
    hv: &Hypervisor<M>,
    delivery: Delivery,
    trigger: Trigger,
    to: impl Iterator<Item = VcpuRef<M>>,
) {
    let post = |to: VcpuRef<M>, vector| {
        if to.posted.post(vector, trigger) {
            hv.sched.wake(&to);
        }
    };
    match delivery {
        Delivery::Fixed(vector) => to.for_each(|to| post(to, vector)),
        Delivery::LowestPriority(vector) => to.take(1).for_each(|to| post(to, vector)),
        Delivery::Nmi => to.for_each(|to| hv.sched.signal(&to, Requests::NMI)),
        // A vCPU that is down has nothing running to reset: it waits for start-up already.
        Delivery::Init => {
            to.filter(|to| to.is_online()).for_each(|to| hv.sched.signal(&to, Requests::INIT));
        }
        Delivery::Startup(page) => to.for_each(|to| start_up(hv, &to, page)),
        Delivery::ExtInt => {}
    }
}

/// A start-up IPI switches on a vCPU that is down. One that runs ignores it.
fn start_up<M: Machine>(hv: &Hypervisor<M>, to: &VcpuRef<M>, page: u8) {
    if to.is_online() {
        return;
    }
    to.startup_vector.store(u32::from(page), Ordering::Relaxed);
    to.request(Requests::STARTUP);
    hv.bring_up(to);
}
