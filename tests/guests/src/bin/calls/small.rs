//! The console, scheduling, parameters, assists.

use test_guests::abi::errno::Errno;
use test_guests::abi::hvm::*;
use test_guests::abi::xen::*;
use test_guests::abi::{Handle64, Plain, sched};
use test_guests::call::{self, Answer, refused};
use test_guests::clock::{self, MILLISECOND};
use test_guests::paging::{NON_CANONICAL, UNMAPPED};
use test_guests::suite::Outcome;
use test_guests::{boot_info, check, check_eq};

fn console(op: u32, count: u64, buffer: u64) -> Answer {
    call::any(HYPERCALL_CONSOLE_IO, &[op.into(), count, buffer])
}

/// A short line, and one that takes several steps.
pub fn console_writes() -> Outcome {
    let mut text = *b"written by console_io\n";
    let answer = console(CONSOLEIO_WRITE, text.len() as u64, call::address(&mut text));
    if answer == refused(Errno::EPERM) && !boot_info::is_dom0() {
        return test_guests::suite::skip("for the control domain");
    }
    check_eq!(answer, Ok(0));
    let mut long = [b'.'; 3000];
    long[2999] = b'\n';
    check_eq!(console(CONSOLEIO_WRITE, 3000, call::address(&mut long)), Ok(0));
    check_eq!(console(CONSOLEIO_WRITE, 0, UNMAPPED), Ok(0), "nothing");
    Ok(())
}

pub fn console_refusals() -> Outcome {
    let mut buffer = [0_u8; 64];
    let read = console(CONSOLEIO_READ, 64, call::address(&mut buffer));
    if boot_info::is_dom0() {
        check!(read.is_ok_and(|count| count <= 64), "{read:?}");
        for at in [UNMAPPED, NON_CANONICAL, u64::MAX] {
            check_eq!(console(CONSOLEIO_WRITE, 5, at), refused(Errno::EFAULT), "at {at:#x}");
        }
        check!(console(7, 5, call::address(&mut buffer)).is_err());
    } else {
        check_eq!(read, refused(Errno::EPERM));
    }
    for count in [0x8000_0000, 0xffff_ffff] {
        check!(console(CONSOLEIO_WRITE, count, UNMAPPED).is_err(), "{count:#x} bytes");
    }
    Ok(())
}

pub fn scheduling() -> Outcome {
    for op in [10, 63, 1000, u32::MAX] {
        check_eq!(call::sched(op, &mut [0_u64; 8]), refused(Errno::ENOSYS), "op {op}");
    }
    for _ in 0..100 {
        check_eq!(call::any(HYPERCALL_SCHED_OP, &[sched::OP_YIELD.into()]), Ok(0));
    }
    let mut remote = sched::RemoteShutdown { domain_id: 0x1234, _pad: [0; 2], reason: 0 };
    let wanted = if boot_info::is_dom0() { Errno::ESRCH } else { Errno::EPERM };
    let answer = call::sched(sched::OP_REMOTE_SHUTDOWN, &mut remote);
    check!(answer == refused(wanted) || answer == refused(Errno::ESRCH), "{answer:?}");
    Ok(())
}

/// Lists of ports that are too long, or nowhere, or empty.
pub fn polls() -> Outcome {
    let poll = |at: u64, nr_ports: u32, timeout: u64| {
        let mut op: sched::Poll = sched::Poll::zeroed();
        (op.ports, op.nr_ports, op.timeout) = (Handle64::from_raw(at), nr_ports, timeout);
        call::sched(sched::OP_POLL, &mut op)
    };
    for at in [UNMAPPED, NON_CANONICAL, u64::MAX - 2] {
        check_eq!(poll(at, 1, 1), refused(Errno::EFAULT), "ports at {at:#x}");
        check_eq!(poll(at, 129, 1), refused(Errno::EINVAL), "more than 128");
        check_eq!(poll(at, u32::MAX, 1), refused(Errno::EINVAL), "far more");
    }
    let due = clock::now() + 2 * MILLISECOND;
    check_eq!(poll(0, 0, due), Ok(0), "no port, only time");
    check!(clock::now() >= due);
    Ok(())
}

pub fn parameters() -> Outcome {
    for index in [1000, 0x8000_0000, u32::MAX] {
        check_eq!(call::get_param(index), refused(Errno::EINVAL), "parameter {index}");
        check_eq!(call::set_param(index, 1), refused(Errno::EINVAL), "parameter {index}");
    }
    // Whatever each of them is, asking is safe.
    for index in 0..64 {
        let answer = call::get_param(index);
        check!(answer != refused(Errno::EFAULT), "parameter {index}");
    }
    for domid in [0x1234, DOMID_IDLE, 0xffff] {
        let mut param = Param { domid, pad: 0, index: PARAM_CALLBACK_IRQ, value: 0 };
        for op in [OP_GET_PARAM, OP_SET_PARAM] {
            let answer = call::hvm(op, &mut param);
            check!(
                answer == refused(Errno::ESRCH) || answer == refused(Errno::EPERM),
                "{domid:#x}: {answer:?}"
            );
        }
    }
    // Other kinds of callbacks, and nonsense, are no vectors.
    for value in [0, 1 << 56, 3 << 56, u64::MAX] {
        let answer = call::set_param(PARAM_CALLBACK_IRQ, value);
        check!(answer == Ok(0) || answer == refused(Errno::EINVAL), "{value:#x}: {answer:?}");
    }
    Ok(())
}

pub fn hvm_refusals() -> Outcome {
    for op in [26, 63, 1000, u32::MAX] {
        check_eq!(call::hvm(op, &mut [0_u64; 16]), refused(Errno::ENOSYS), "op {op}");
    }
    for (vcpu, vector) in [(1000, 0x61), (u32::MAX, 0x61), (0, 0), (0, 15)] {
        let mut op = EvtchnUpcallVector { vcpu, vector, _pad: [0; 3] };
        check!(call::hvm(OP_SET_EVTCHN_UPCALL_VECTOR, &mut op).is_err(), "vCPU {vcpu}, vector {vector}");
    }
    Ok(())
}

pub fn assists() -> Outcome {
    let assist = |command: u32, kind: u32| call::any(HYPERCALL_VM_ASSIST, &[command.into(), kind.into()]);
    let kind = VMASST_TYPE_RUNSTATE_UPDATE_FLAG;
    check_eq!(assist(VMASST_CMD_ENABLE, kind), Ok(0));
    check_eq!(assist(VMASST_CMD_DISABLE, kind), Ok(0));
    check_eq!(assist(2, kind), refused(Errno::ENOSYS));
    for kind in [VMASST_TYPE_WRITABLE_PAGETABLES, 63, 64, u32::MAX] {
        check_eq!(assist(VMASST_CMD_ENABLE, kind), refused(Errno::EINVAL), "assist {kind}");
    }
    Ok(())
}
