//! `vcpu_op`, `sched_op`, `hvm_op`, `xen_version` and `console_io`.

use hypercall_abi::abi::{Handle64, X32, X64};
use hypercall_abi::errno::Errno;
use hypercall_abi::hvm::{self, HwCpu};
use hypercall_abi::plain::{Plain, Union};
use hypercall_abi::sched;
use hypercall_abi::vcpu::*;
use hypercall_abi::version;
use hypercall_abi::xen as nr;
use hypercall_abi::xen::{DOMID_SELF, VcpuTimeInfo};

use super::rig::*;
use crate::acpi::Trigger;
use crate::domain::Requests;
use crate::exit::GuestClock;
use crate::guest_cpu::{CpuMode, Gpr, GuestCpu};
use crate::ids::{DomId, VcpuId, Vector};
use crate::interrupt;
use crate::machine::MachineEnd;
use crate::run::run;
use crate::sched::{Cpus, State};
use crate::sync::Class;
use crate::time::Nanos;

fn vcpu_op<T: Plain>(rig: &Rig, who: &Caller, op: u32, vcpu: u64, arg: &T) -> i64 {
    rig.call(who, nr::HYPERCALL_VCPU_OP, &[op.into(), vcpu, who.put(arg)])
}

const NOTHING: [u64; 1] = [0];

/// The guest has halted with an interrupt on its way in, and at that moment its time is up.
#[test]
fn a_halt_with_an_interrupt_on_its_way_is_no_sleep() {
    let rig = Rig::new();
    let wanted = Vector(0xf3);
    for comes in [true, false] {
        rig.hv.sched.wake(&rig.control.vcpu);
        let vcpu = rig.hv.sched.pick().expect("a vCPU to run");
        {
            let context = &mut *vcpu.context.lock();
            let clock = GuestClock::new(rig.machine, 0);
            let _ = context.apic.write_page(0xf0, 0x1ff, &clock);
            if comes {
                context.apic.accept(wanted, Trigger::Edge);
            }
            context.guest.gprs_mut().rflags = 1 << 9;
            context.irq_check = true;
        }
        vcpu.sched.block();
        rig.hv.sched.reschedule_all();
        let deadline = run(&rig.hv, &vcpu);
        rig.hv.sched.put(vcpu, deadline);
        let expected = if comes { State::Queued } else { State::Parked };
        assert_eq!(rig.control.vcpu.sched.state(), expected, "an interrupt comes: {comes}");
    }
}

#[test]
fn a_second_vcpu_comes_up() {
    let rig = Rig::new();
    let guest = rig.guest(2);
    assert_eq!(vcpu_op(&rig, &guest, OP_UP, 1, &NOTHING), no(Errno::EINVAL), "it has no registers");
    let regs = hvm::VcpuHvm32 { eip: 0x8000, cr0: 0x11, cs_ar: 0xc9b, ..hvm::VcpuHvm32::default() };
    let mut context = hvm::VcpuHvmContext { mode: hvm::VCPU_MODE_32B, pad: 0, cpu_regs: Union::new(regs) };
    assert_eq!(vcpu_op(&rig, &guest, OP_INITIALISE, 1, &context), 0);
    assert_eq!(vcpu_op(&rig, &guest, OP_INITIALISE, 1, &context), no(Errno::EEXIST));
    assert_eq!(vcpu_op(&rig, &guest, OP_IS_UP, 1, &NOTHING), 0);
    assert_eq!(vcpu_op(&rig, &guest, OP_UP, 1, &NOTHING), 0);
    assert_eq!(vcpu_op(&rig, &guest, OP_IS_UP, 1, &NOTHING), 1);
    let second = guest.domain().vcpu(VcpuId(1)).unwrap();
    assert_eq!(second.context.lock().guest.gprs().rip, 0x8000);
    assert_eq!(vcpu_op(&rig, &guest, OP_DOWN, 1, &NOTHING), 0);
    assert_eq!(vcpu_op(&rig, &guest, OP_IS_UP, 1, &NOTHING), 0);
    assert!(guest.domain().life.shutdown().is_none());
    assert_eq!(vcpu_op(&rig, &guest, OP_DOWN, 0, &NOTHING), 0);
    assert_eq!(guest.domain().life.shutdown(), Some(sched::SHUTDOWN_POWEROFF), "the last one went down");

    let other = rig.guest(2);
    let unstarted = other.domain().vcpu(VcpuId(1)).unwrap();
    let at_it = unstarted.context.raw.lock();
    assert_eq!(vcpu_op(&rig, &other, OP_INITIALISE, 1, &context), no(Errno::EBUSY), "a CPU is still at it");
    drop(at_it);
    context.mode = 9;
    assert_eq!(vcpu_op(&rig, &other, OP_INITIALISE, 1, &context), no(Errno::EINVAL));
    let regs = hvm::VcpuHvm64 { cr0: 0x11, ..hvm::VcpuHvm64::default() };
    context = hvm::VcpuHvmContext { mode: hvm::VCPU_MODE_64B, pad: 0, cpu_regs: Union::new(regs) };
    assert_eq!(vcpu_op(&rig, &other, OP_INITIALISE, 1, &context), no(Errno::EINVAL), "no long mode");
    let long = hvm::VcpuHvm64 { cr0: 0x8000_0011, cr4: 0x20, efer: 0x100, ..hvm::VcpuHvm64::default() };
    for impossible in [
        hvm::VcpuHvm64 { cr0: 0xa000_0011, ..long },
        hvm::VcpuHvm64 { cr0: 1 << 40 | long.cr0, ..long },
        hvm::VcpuHvm64 { cr3: 1 << 52, ..long },
        hvm::VcpuHvm64 { cr4: 0x2020, ..long },
        hvm::VcpuHvm64 { efer: 0x1100, ..long },
    ] {
        context.cpu_regs = Union::new(impossible);
        assert_eq!(vcpu_op(&rig, &other, OP_INITIALISE, 1, &context), no(Errno::EINVAL), "{impossible:x?}");
    }
    context.cpu_regs = Union::new(long);
    assert_eq!(vcpu_op(&rig, &other, OP_INITIALISE, 1, &context), 0);
    for op in 0..14 {
        assert_eq!(vcpu_op(&rig, &other, op, 2, &NOTHING), no(Errno::ENOENT), "{op}: there is no vCPU 2");
    }
    assert_eq!(vcpu_op(&rig, &other, 99, 0, &NOTHING), no(Errno::ENOSYS));
}

#[test]
fn timers() {
    let rig = Rig::new();
    let guest = rig.guest(2);
    let set = |timeout_abs_ns, flags| SetSingleshotTimer::<X64> {
        timeout_abs_ns,
        flags,
        ..SetSingleshotTimer::default()
    };
    let past = set(1, SingleshotFlags::FUTURE);
    assert_eq!(vcpu_op(&rig, &guest, OP_SET_SINGLESHOT_TIMER, 0, &past), no(Errno::ETIME));
    let soon = set(5_000_000_000, SingleshotFlags::FUTURE);
    assert_eq!(vcpu_op(&rig, &guest, OP_SET_SINGLESHOT_TIMER, 0, &soon), 0);
    assert_eq!(guest.vcpu.context.lock().timers.singleshot, Nanos(5_000_000_000));
    assert_eq!(vcpu_op(&rig, &guest, OP_SET_SINGLESHOT_TIMER, 1, &soon), no(Errno::EINVAL), "another's");
    assert_eq!(vcpu_op(&rig, &guest, OP_STOP_SINGLESHOT_TIMER, 0, &NOTHING), 0);
    let period = |period_ns| vcpu_op(&rig, &guest, OP_SET_PERIODIC_TIMER, 0, &SetPeriodicTimer { period_ns });
    assert_eq!([period(999_999), period(10_000_000)], [no(Errno::EINVAL), 0]);
    assert_eq!(guest.vcpu.context.lock().timers.periodic.1, 10_000_000);
    assert_eq!(period(u64::MAX), no(Errno::EINVAL), "centuries");
    assert_eq!(vcpu_op(&rig, &guest, OP_STOP_PERIODIC_TIMER, 0, &NOTHING), 0);
}

/// The deadline that it had by the old one is not kept.
#[test]
fn a_vcpu_that_gets_another_tsc_looks_at_its_timers() {
    let rig = Rig::new();
    let id = rig.create(1);
    rig.load(id, &records(&pvh_cpu())).unwrap();
    let vcpu = rig.hv.domain(DomId(id)).unwrap().vcpu(VcpuId(0)).unwrap();
    vcpu.context.lock().timers.apic = Nanos(1 << 50);
    rig.load(id, &records(&HwCpu { tsc: 1 << 40, ..pvh_cpu() })).unwrap();
    let mut context = vcpu.context.lock_as(Class::Context);
    interrupt::check_timers(&rig.hv, &vcpu, &mut context);
    assert_eq!(context.timers.apic, Nanos::NEVER, "its local APIC's timer is not set");
}

#[test]
fn the_time_is_in_a_vcpu_info_that_another_vcpu_has_registered() {
    let rig = Rig::new();
    let guest = rig.guest(2);
    let second = guest.domain().vcpu(VcpuId(1)).unwrap();
    let info = RegisterVcpuInfo { mfn: 7, offset: 0, rsvd: 0 };
    assert_eq!(vcpu_op(&rig, &guest, OP_REGISTER_VCPU_INFO, 1, &info), 0);
    let shown = || guest.get::<nr::VcpuInfo<X64>>(7 << 12).time.system_time;
    assert_eq!(shown(), 0);
    // It may be running already: it has been told of an upcall.
    interrupt::work(&rig.hv, &second, &mut second.context.lock_as(Class::Context));
    assert_eq!(shown(), rig.machine.now().0);
}

#[test]
fn areas_are_kept_up_to_date_also_across_pages() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    for at in [0x5008, 0x5ffc] {
        assert_eq!(
            vcpu_op(&rig, &guest, OP_REGISTER_VCPU_TIME_MEMORY_AREA, 0, &RegisterTimeMemoryArea { addr: at }),
            0
        );
        let time: VcpuTimeInfo = guest.get(at);
        assert_eq!(time.version & 1, 0);
        assert_eq!(time.system_time, rig.machine.now().0);
        assert_eq!(
            vcpu_op(
                &rig,
                &guest,
                OP_REGISTER_RUNSTATE_MEMORY_AREA,
                0,
                &RegisterRunstateMemoryArea { addr: at }
            ),
            0
        );
        assert!(guest.get::<RunstateInfo<X64>>(at).state <= RUNSTATE_OFFLINE);
    }
    let nowhere = RegisterTimeMemoryArea { addr: 1 << 30 };
    assert_eq!(vcpu_op(&rig, &guest, OP_REGISTER_VCPU_TIME_MEMORY_AREA, 0, &nowhere), no(Errno::EFAULT));
    // The last byte of memory: the rest of the area would be beyond it.
    let edge = RegisterRunstateMemoryArea { addr: (512 << 12) - 4 };
    assert_eq!(vcpu_op(&rig, &guest, OP_REGISTER_RUNSTATE_MEMORY_AREA, 0, &edge), no(Errno::EFAULT));
    let info = |mfn, offset| {
        vcpu_op(&rig, &guest, OP_REGISTER_VCPU_INFO, 0, &RegisterVcpuInfo { mfn, offset, rsvd: 0 })
    };
    assert_eq!([info(1 << 40, 0), info(7, 4090), info(7, 128), info(7, 192)], [-14, -22, 0, -22]);
    assert_eq!(vcpu_op(&rig, &guest, OP_GET_RUNSTATE_INFO, 0, &[0u8; 48]), 0);
}

#[test]
fn ends_of_domains() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let op =
        |who: &Caller, op, arg| rig.op(who, nr::HYPERCALL_SCHED_OP, op, &mut sched::Shutdown { reason: arg });
    assert_eq!(op(&guest, sched::OP_SHUTDOWN_CODE, sched::SHUTDOWN_REBOOT), 0);
    let mut remote = sched::RemoteShutdown { domain_id: 0, reason: 0, ..Default::default() };
    assert_eq!(
        rig.op(&guest, nr::HYPERCALL_SCHED_OP, sched::OP_REMOTE_SHUTDOWN, &mut remote),
        no(Errno::EPERM)
    );
    assert_eq!(op(&guest, sched::OP_SHUTDOWN, sched::SHUTDOWN_CRASH), 0);
    assert_eq!(guest.domain().life.shutdown(), Some(sched::SHUTDOWN_REBOOT), "as announced");
    let other = rig.guest(1);
    remote.domain_id = other.domain().id.0;
    remote.reason = sched::SHUTDOWN_CRASH;
    assert_eq!(rig.op(&rig.control, nr::HYPERCALL_SCHED_OP, sched::OP_REMOTE_SHUTDOWN, &mut remote), 0);
    assert_eq!(other.domain().life.shutdown(), Some(sched::SHUTDOWN_CRASH));
    let at = rig.control.put(&sched::Shutdown { reason: sched::SHUTDOWN_REBOOT });
    let end = rig.try_call(&rig.control, nr::HYPERCALL_SCHED_OP, &[sched::OP_SHUTDOWN.into(), at]);
    assert_eq!(end, Err(MachineEnd::Reboot));
    assert_eq!(op(&rig.control, 99, 0), no(Errno::ENOSYS));
}

#[test]
fn waiting() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    assert_eq!(rig.call(&guest, nr::HYPERCALL_SCHED_OP, &[sched::OP_YIELD.into()]), 0);
    assert!(!guest.vcpu.sched.is_blocked());
    assert_eq!(rig.call(&guest, nr::HYPERCALL_SCHED_OP, &[sched::OP_BLOCK.into()]), 0);
    assert!(guest.vcpu.sched.is_blocked());
    guest.vcpu.sched.unblock();
    let poll = |ports: &[u32], timeout| {
        let ports_at = Handle64::from_raw(guest.put_all(ports));
        let mut poll = sched::Poll::<X64> {
            ports: ports_at,
            nr_ports: ports.len() as u32,
            timeout,
            ..sched::Poll::default()
        };
        rig.op(&guest, nr::HYPERCALL_SCHED_OP, sched::OP_POLL, &mut poll)
    };
    assert_eq!(poll(&[0; 129], 0), no(Errno::EINVAL));
    assert_eq!(poll(&[u32::MAX], 0), no(Errno::EINVAL));
    assert_eq!(poll(&[], 3_000_000_000), 0);
    assert!(guest.vcpu.sched.is_blocked());
    assert_eq!(guest.vcpu.context.lock().timers.poll, Nanos(3_000_000_000));
    // An event that comes before the vCPU sleeps leaves it a request.
    guest.vcpu.request(Requests::POLL_DONE);
    interrupt::work(&rig.hv, &guest.vcpu, &mut guest.vcpu.context.lock_as(Class::Context));
    assert!(!guest.vcpu.sched.is_blocked(), "it would sleep through its event");
    assert_eq!(guest.vcpu.context.lock().timers.poll, Nanos::NEVER);
    let watchdog = |id, timeout| {
        rig.op(&guest, nr::HYPERCALL_SCHED_OP, sched::OP_WATCHDOG, &mut sched::Watchdog { id, timeout })
    };
    assert_eq!([watchdog(0, 0), watchdog(0, 9), watchdog(0, 9), watchdog(0, 9)], [-22, 1, 2, -28]);
    assert_eq!([watchdog(1, 0), watchdog(1, 0), watchdog(7, 1)], [0, -22, -22]);
    assert_eq!(watchdog(2, u32::MAX), 0);
}

#[test]
fn parameters() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let id = guest.domain().id.0;
    let param = |who: &Caller, op, domid, index, value| {
        let mut param = hvm::Param { domid, pad: 0, index, value };
        (rig.op(who, nr::HYPERCALL_HVM_OP, op, &mut param), param.value)
    };
    assert_eq!(param(&rig.control, hvm::OP_SET_PARAM, id, hvm::PARAM_STORE_PFN, 0x77).0, 0);
    assert_eq!(param(&guest, hvm::OP_GET_PARAM, DOMID_SELF, hvm::PARAM_STORE_PFN, 0), (0, 0x77));
    assert_eq!(param(&guest, hvm::OP_SET_PARAM, DOMID_SELF, hvm::PARAM_STORE_PFN, 1).0, no(Errno::EPERM));
    assert_eq!(param(&guest, hvm::OP_GET_PARAM, 0, hvm::PARAM_STORE_PFN, 0).0, no(Errno::EPERM));
    for index in [39, u32::MAX] {
        assert_eq!(param(&guest, hvm::OP_GET_PARAM, DOMID_SELF, index, 0).0, no(Errno::EINVAL));
        assert_eq!(param(&guest, hvm::OP_SET_PARAM, DOMID_SELF, index, 0).0, no(Errno::EINVAL));
    }
    let vector = |vcpu, vector| {
        let mut set = hvm::EvtchnUpcallVector { vcpu, vector, ..Default::default() };
        rig.op(&guest, nr::HYPERCALL_HVM_OP, hvm::OP_SET_EVTCHN_UPCALL_VECTOR, &mut set)
    };
    assert_eq!([vector(0, 0xf3), vector(0, 15), vector(5, 0xf3)], [0, -22, -2]);
    let mut time = hvm::GetTime::default();
    assert_eq!(rig.op(&guest, nr::HYPERCALL_HVM_OP, hvm::OP_GET_TIME, &mut time), 0);
    assert_eq!(time.now, rig.machine.now().0);
    assert_eq!(rig.op(&guest, nr::HYPERCALL_HVM_OP, 77, &mut time), no(Errno::ENOSYS));
}

#[test]
fn who_answers() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let ask = |who: &Caller, op: u32, at| rig.call(who, nr::HYPERCALL_XEN_VERSION, &[op.into(), at]);
    assert_eq!(ask(&guest, version::OP_VERSION, 0), 4 << 16 | 17);
    assert_eq!(ask(&guest, version::OP_PAGESIZE, 0), 4096);
    let at = guest.room(4096);
    assert_eq!(ask(&guest, version::OP_EXTRAVERSION, at), 0);
    assert!(guest.get::<[u8; 16]>(at).starts_with(b".0-tenon"));
    assert_eq!(ask(&guest, version::OP_COMMANDLINE, at), no(Errno::EPERM));
    assert_eq!(ask(&guest, version::OP_EXTRAVERSION, 1 << 30), no(Errno::EFAULT));
    let mut info = version::FeatureInfo { submap_idx: 1, submap: 0 };
    assert_eq!(
        rig.op(&guest, nr::HYPERCALL_XEN_VERSION, version::OP_GET_FEATURES, &mut info),
        no(Errno::EINVAL)
    );
    assert_eq!(ask(&guest, 99, at), no(Errno::ENOSYS));
    guest.run_in(CpuMode::Bits32);
    assert_eq!(ask(&guest, version::OP_PLATFORM_PARAMETERS, at), 0);
    assert_eq!(size_of::<version::PlatformParameters<X32>>(), 4);
}

#[test]
fn the_console() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let io = |who: &Caller, op: u32, count: u64, at| {
        rig.call(who, nr::HYPERCALL_CONSOLE_IO, &[op.into(), count, at])
    };
    let text = [b'x'; 3000];
    assert_eq!(io(&rig.control, nr::CONSOLEIO_WRITE, 3000, rig.control.put_all(&text)), 0);
    let _ = rig.machine.take_log();
    assert_eq!(io(&guest, nr::CONSOLEIO_WRITE, 3, guest.put_all(b"hi\n")), 0);
    assert!(rig.machine.take_log().iter().any(|(_, line)| line.contains("hi")));
    assert_eq!(io(&guest, nr::CONSOLEIO_READ, 3, guest.room(16)), no(Errno::EPERM));
    rig.machine.type_in(b"key");
    let at = rig.control.room(16);
    assert_eq!(io(&rig.control, nr::CONSOLEIO_READ, 16, at), 3);
    assert_eq!(rig.control.get::<[u8; 3]>(at), *b"key");
    assert_eq!(io(&guest, nr::CONSOLEIO_WRITE, 1 << 31, 0), no(Errno::EINVAL));
    assert_eq!(io(&guest, 9, 0, 0), no(Errno::ENOSYS));
}

#[test]
fn user_mode_and_unknown_numbers() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    assert_eq!(rig.call(&guest, nr::HYPERCALL_XSM_OP, &[]), no(Errno::ENOSYS));
    assert_eq!(rig.call(&guest, u32::MAX, &[]), no(Errno::ENOSYS));
    let logged = rig.machine.take_log();
    assert_eq!(rig.call(&guest, nr::HYPERCALL_XSM_OP, &[]), no(Errno::ENOSYS));
    assert!(logged.iter().any(|(_, line)| line.contains("unknown hypercall 27")));
    assert!(rig.machine.take_log().is_empty(), "said once");
    let mut context = guest.vcpu.context.lock_as(Class::Context);
    let mut system = context.guest.system();
    system.segments.ss.attributes |= 3 << 5;
    context.guest.set_system(&system);
    drop(context);
    assert_eq!(rig.call(&guest, nr::HYPERCALL_XEN_VERSION, &[0]), no(Errno::EPERM));
    assert_eq!(guest.vcpu.context.lock().guest.gprs().get(Gpr::Rax) as i64, no(Errno::EPERM));
}
