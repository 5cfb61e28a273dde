//! How events arrive: the flag, the selector, and the interrupt.

use test_guests::abi::errno::Errno;
use test_guests::abi::event_channel::{OP_UNMASK, Unmask};
use test_guests::abi::hvm::{
    CALLBACK_TYPE_VECTOR, EvtchnUpcallVector, OP_SET_EVTCHN_UPCALL_VECTOR, PARAM_CALLBACK_IRQ,
};
use test_guests::abi::xen::DOMID_SELF;
use test_guests::call::{self, refused};
use test_guests::clock::{self, MILLISECOND};
use test_guests::suite::Outcome;
use test_guests::{apic, check, check_eq, cpu, events, shared, trap};

const CALLBACK: u8 = 0xf3;
const OWN: u8 = 0x61;

/// A connected pair whose first port is unmasked and not pending; nothing else is pending.
fn pair() -> Result<(u32, u32), test_guests::abi::guest::HypercallError> {
    let near = events::alloc_unbound(DOMID_SELF)?;
    let far = events::bind_loop(near)?;
    shared::set_masked(near, false);
    shared::set_masked(far, true);
    shared::clear_pending(near);
    events::clear_upcall(0);
    Ok((near, far))
}

fn close((near, far): (u32, u32)) -> Outcome {
    shared::clear_pending(near);
    events::clear_upcall(0);
    events::close(near)?;
    events::close(far)?;
    Ok(())
}

/// What an upcall does first.
fn take(_: &mut trap::Frame) {
    shared::take_selector(0);
}

fn callback() -> call::Answer {
    call::set_param(PARAM_CALLBACK_IRQ, u64::from(CALLBACK_TYPE_VECTOR) << 56 | u64::from(CALLBACK))
}

fn own_vector(vector: u8) -> call::Answer {
    call::hvm(OP_SET_EVTCHN_UPCALL_VECTOR, &mut EvtchnUpcallVector { vcpu: 0, vector, _pad: [0; 3] })
}

pub fn selector_and_flag() -> Outcome {
    let (near, far) = pair()?;
    check!(!shared::upcall_pending(0));
    events::send(far)?;
    check!(shared::is_pending(near) && shared::upcall_pending(0));
    let selector = shared::take_selector(0);
    check_eq!(selector, 1 << (near / 64));
    // Already pending: nobody is told again.
    events::send(far)?;
    check!(!shared::upcall_pending(0));
    shared::clear_pending(near);
    // Masked: it waits.
    shared::set_masked(near, true);
    events::send(far)?;
    check!(shared::is_pending(near) && !shared::upcall_pending(0));
    close((near, far))
}

pub fn by_callback_vector() -> Outcome {
    apic::enable();
    trap::set_up(CALLBACK, false, Some(take));
    callback()?;
    check_eq!(call::get_param(PARAM_CALLBACK_IRQ)? & 0xff, u64::from(CALLBACK));
    let (near, far) = pair()?;
    events::send(far)?;
    check_eq!(trap::hits(CALLBACK), 0, "interrupts are off");
    cpu::sti();
    check!(clock::wait(100 * MILLISECOND, || trap::hits(CALLBACK) == 1), "{} hits", trap::hits(CALLBACK));
    cpu::cli();
    // Every event has its interrupt, and no interrupt comes without one.
    for round in 2..10 {
        shared::clear_pending(near);
        cpu::sti();
        events::send(far)?;
        check!(clock::wait(100 * MILLISECOND, || trap::hits(CALLBACK) >= round));
        cpu::cli();
        check_eq!(trap::hits(CALLBACK), round);
    }
    // It interrupts HLT.
    shared::clear_pending(near);
    events::send(far)?;
    cpu::sti_hlt();
    cpu::cli();
    check_eq!(trap::hits(CALLBACK), 10);
    close((near, far))
}

/// Through the local APIC; from now on the vCPU keeps its vector.
pub fn by_own_vector() -> Outcome {
    apic::enable();
    // The domain's vector would come, too, and first.
    call::set_param(PARAM_CALLBACK_IRQ, 0)?;
    trap::set_up(OWN, true, Some(take));
    events::clear_upcall(0);
    own_vector(OWN)?;
    let (near, far) = pair()?;
    // Binding may have made an event of its own.
    cpu::sti();
    clock::wait(MILLISECOND, || false);
    cpu::cli();
    trap::set_up(OWN, true, Some(take));
    for round in 1..10 {
        shared::clear_pending(near);
        cpu::sti();
        events::send(far)?;
        check!(clock::wait(100 * MILLISECOND, || trap::hits(OWN) >= round), "round {round}");
        cpu::cli();
        check_eq!(trap::hits(OWN), round);
        check!(!apic::bit(apic::ISR, OWN), "still in service");
    }
    close((near, far))
}

pub fn unmask_delivers() -> Outcome {
    let (near, far) = pair()?;
    shared::set_masked(near, true);
    events::send(far)?;
    check!(!shared::upcall_pending(0));
    check_eq!(call::event(OP_UNMASK, &mut Unmask { port: near }), Ok(0));
    check!(!shared::is_masked(near));
    check!(shared::upcall_pending(0), "what waited is delivered");
    close((near, far))
}

pub fn bad_vectors() -> Outcome {
    for vector in [0, 1, 0xf] {
        check_eq!(own_vector(vector), refused(Errno::EINVAL), "vector {vector}");
    }
    let mut op = EvtchnUpcallVector { vcpu: 1000, vector: OWN, _pad: [0; 3] };
    check_eq!(call::hvm(OP_SET_EVTCHN_UPCALL_VECTOR, &mut op), refused(Errno::ENOENT));
    Ok(())
}

/// Many events while they are handled: none is lost that was sent after the last one was seen.
pub fn flood() -> Outcome {
    trap::set_up(CALLBACK, false, Some(take));
    callback()?;
    let (near, far) = pair()?;
    cpu::sti();
    for _ in 0..3000 {
        events::send(far)?;
        shared::clear_pending(near);
    }
    cpu::cli();
    events::clear_upcall(0);
    shared::clear_pending(near);
    events::send(far)?;
    check!(shared::is_pending(near) && shared::upcall_pending(0));
    check!(trap::hits(CALLBACK) > 0);
    close((near, far))
}
