use hypercall_abi::errno::Errno;
use hypercall_abi::event_channel::*;
use hypercall_abi::xen as nr;
use hypercall_abi::xen::DOMID_SELF;

use super::rig::*;
use crate::frame::Gfn;

const CALL: u32 = nr::HYPERCALL_EVENT_CHANNEL_OP;

fn unbound(rig: &Rig, who: &Caller, dom: u16, remote_dom: u16) -> Result<u32, i64> {
    let mut op = AllocUnbound { dom, remote_dom, port: 0 };
    match rig.op(who, CALL, OP_ALLOC_UNBOUND, &mut op) {
        0 => Ok(op.port),
        result => Err(result),
    }
}

fn bind(rig: &Rig, who: &Caller, remote_dom: u16, remote_port: u32) -> Result<u32, i64> {
    let mut op = BindInterdomain { remote_dom, remote_port, ..BindInterdomain::default() };
    match rig.op(who, CALL, OP_BIND_INTERDOMAIN, &mut op) {
        0 => Ok(op.local_port),
        result => Err(result),
    }
}

fn state(rig: &Rig, who: &Caller, port: u32) -> u32 {
    let mut op = Status { dom: DOMID_SELF, port, ..Status::default() };
    assert_eq!(rig.op(who, CALL, OP_STATUS, &mut op), 0);
    op.status
}

/// Two pages of the guest's own memory, registered as the FIFO control block and the first event words.
fn go_fifo(rig: &Rig, who: &Caller) {
    let mut init = InitControl { control_gfn: 0x180, ..InitControl::default() };
    assert_eq!(rig.op(who, CALL, OP_INIT_CONTROL, &mut init), 0);
    assert_eq!(init.link_bits, 17);
    assert_eq!(rig.op(who, CALL, OP_EXPAND_ARRAY, &mut ExpandArray { array_gfn: 0x181 }), 0);
}

#[test]
fn two_domains_talk() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let id = guest.domain().id.0;
    let offered = unbound(&rig, &rig.control, id, 0).unwrap();
    assert_eq!(state(&rig, &guest, offered), STATUS_UNBOUND);
    let local = bind(&rig, &rig.control, id, offered).unwrap();
    assert_eq!(state(&rig, &guest, offered), STATUS_INTERDOMAIN);
    assert_eq!(rig.op(&rig.control, CALL, OP_SEND, &mut Send { port: local }), 0);
    let pending = guest.domain().shared_info.clone();
    use crate::page::GuestPage;
    let word = core::mem::offset_of!(hypercall_abi::xen::SharedInfo<hypercall_abi::abi::X64>, evtchn_pending);
    assert_eq!(pending.load64(word), 1 << offered);
    assert_eq!(rig.op(&rig.control, CALL, OP_CLOSE, &mut Close { port: local }), 0);
    assert_eq!(state(&rig, &guest, offered), STATUS_UNBOUND);
    assert_eq!(bind(&rig, &guest, 0, local), Err(no(Errno::EINVAL)), "it is closed");
    assert_eq!(bind(&rig, &guest, 99, 1), Err(no(Errno::ESRCH)));
}

#[test]
fn guests_act_for_themselves_only() {
    let rig = Rig::new();
    let (one, two) = (rig.guest(1), rig.guest(1));
    assert_eq!(unbound(&rig, &one, two.domain().id.0, DOMID_SELF), Err(no(Errno::EPERM)));
    let port = unbound(&rig, &one, DOMID_SELF, 0).unwrap();
    assert_eq!(bind(&rig, &two, one.domain().id.0, port), Err(no(Errno::EINVAL)), "offered to domain 0");
    let mut virq = BindVirq { virq: nr::VIRQ_DOM_EXC, ..BindVirq::default() };
    assert_eq!(rig.op(&one, CALL, OP_BIND_VIRQ, &mut virq), no(Errno::EPERM));
    assert_eq!(rig.op(&rig.control, CALL, OP_BIND_VIRQ, &mut virq), 0);
    assert_eq!(rig.op(&rig.control, CALL, OP_BIND_VIRQ, &mut virq), no(Errno::EEXIST));
    let mut reset = Reset { dom: two.domain().id.0 };
    assert_eq!(rig.op(&one, CALL, OP_RESET, &mut reset), no(Errno::EPERM));
    assert_eq!(rig.op(&one, CALL, 99, &mut reset), no(Errno::ENOSYS));
}

#[test]
fn a_flood_stops_at_the_limit_and_a_reset_clears_it() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let mut opened = 0;
    let refused = loop {
        match unbound(&rig, &guest, DOMID_SELF, 0) {
            Ok(_) => opened += 1,
            Err(result) => break result,
        }
    };
    assert_eq!((opened, refused), (1023, no(Errno::ENOSPC)));
    assert_eq!(rig.op(&guest, CALL, OP_RESET, &mut Reset { dom: DOMID_SELF }), 0);
    assert_eq!(unbound(&rig, &guest, DOMID_SELF, 0), Ok(1));
}

#[test]
fn bad_arguments() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    for op in 0..14 {
        // No ALLOC_UNBOUND and friends can be read from there.
        assert_eq!(rig.call(&guest, CALL, &[op, 1 << 30]), no(Errno::EFAULT), "{op}");
    }
    assert_eq!(rig.op(&guest, CALL, OP_SEND, &mut Send { port: u32::MAX }), no(Errno::EINVAL));
    assert_eq!(rig.op(&guest, CALL, OP_CLOSE, &mut Close { port: 0 }), no(Errno::EINVAL));
    assert_eq!(rig.op(&guest, CALL, OP_BIND_IPI, &mut BindIpi { vcpu: 7, port: 0 }), no(Errno::ENOENT));
    let port = unbound(&rig, &guest, DOMID_SELF, 0).unwrap();
    assert_eq!(rig.op(&guest, CALL, OP_BIND_VCPU, &mut BindVcpu { port, vcpu: 7 }), no(Errno::ENOENT));
    assert_eq!(rig.op(&guest, CALL, OP_BIND_PIRQ, &mut BindPirq::default()), no(Errno::EINVAL));
    let mut priority = SetPriority { port, priority: 16 };
    assert_eq!(rig.op(&guest, CALL, OP_SET_PRIORITY, &mut priority), no(Errno::ENOSYS));
}

#[test]
fn fifo_pages_are_the_guests_own_and_are_let_go() {
    let rig = Rig::new();
    rig.destroy(rig.create(1));
    let before = rig.holdings();
    let guest = rig.guest(1);
    let mut nowhere = InitControl { control_gfn: 1 << 40, ..InitControl::default() };
    assert_eq!(rig.op(&guest, CALL, OP_INIT_CONTROL, &mut nowhere), no(Errno::EINVAL));
    let mut early = ExpandArray { array_gfn: 0x181 };
    assert_eq!(rig.op(&guest, CALL, OP_EXPAND_ARRAY, &mut early), no(Errno::EOPNOTSUPP));
    go_fifo(&rig, &guest);
    let port = unbound(&rig, &guest, DOMID_SELF, 0).unwrap();
    let local = bind(&rig, &rig.control, guest.domain().id.0, port).unwrap();
    assert_eq!(rig.op(&rig.control, CALL, OP_SEND, &mut Send { port: local }), 0);
    assert_ne!(guest.get::<u32>(Gfn(0x181).addr().0 + u64::from(port) * 4) >> 31, 0, "pending");
    let id = guest.domain().id.0;
    drop(guest);
    rig.destroy(id);
    assert_eq!(rig.holdings(), before);
}

#[test]
fn a_port_that_cannot_be_reported_is_closed_again() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    // The structure is readable, but the last four bytes of it are not writable: they are beyond the guest's memory.
    let at = (512u64 << 12) - 4;
    guest.write(at, &[0xf0, 0x7f, 0, 0]);
    for _ in 0..2000 {
        assert_eq!(rig.call(&guest, CALL, &[OP_ALLOC_UNBOUND.into(), at]), no(Errno::EFAULT));
    }
    assert_eq!(unbound(&rig, &guest, DOMID_SELF, 0), Ok(1));
}
