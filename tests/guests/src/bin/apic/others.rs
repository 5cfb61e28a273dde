//! Other vCPUs.

use core::sync::atomic::{AtomicU32, Ordering};

use test_guests::abi::errno::Errno;
use test_guests::abi::hvm::VcpuHvmContext;
use test_guests::abi::plain::Plain;
use test_guests::abi::vcpu::{OP_DOWN, OP_INITIALISE, OP_UP};
use test_guests::call::{self, refused};
use test_guests::clock::{self, MILLISECOND, SECOND};
use test_guests::suite::{self, Outcome};
use test_guests::{apic, check, check_eq, cpu, smp, trap};

const VECTOR: u8 = 0x81;
static SEEN: AtomicU32 = AtomicU32::new(0);
static BOOT_ID: AtomicU32 = AtomicU32::new(0);

/// What the other CPU does: says who it is, interrupts the first one, waits for an interrupt of its own.
fn work() {
    SEEN.store(apic::id() | 1 << 31, Ordering::SeqCst);
    apic::enable();
    apic::send(BOOT_ID.load(Ordering::SeqCst), VECTOR.into());
    cpu::sti();
    clock::wait(SECOND, || trap::hits(VECTOR) >= 2);
    cpu::cli();
}

/// Checks what `work` does; the other CPU has the APIC id `id`.
fn talk(id: u32) -> Outcome {
    check!(clock::wait(SECOND, || trap::hits(VECTOR) >= 1), "no interrupt from the other CPU");
    check_eq!(SEEN.load(Ordering::SeqCst), id | 1 << 31, "its APIC id");
    let done = smp::counts().1;
    apic::send(id, VECTOR.into());
    check!(clock::wait(2 * SECOND, || smp::counts().1 > done), "the other CPU does not end");
    cpu::cli();
    check_eq!(trap::hits(VECTOR), 2);
    Ok(())
}

fn prepare() {
    trap::set_up(VECTOR, true, None);
    apic::enable();
    BOOT_ID.store(apic::id(), Ordering::SeqCst);
    SEEN.store(0, Ordering::SeqCst);
    cpu::sti();
}

/// The APIC id of vCPU 1, as Xen and Tenon number them.
const OTHER: u32 = 2;

pub fn by_sipi() -> Outcome {
    smp::need(2)?;
    prepare();
    check!(smp::start_by_sipi(OTHER, work), "the other CPU does not start");
    check_eq!(smp::is_up(1), Ok(1));
    talk(OTHER)
}

pub fn bad_calls() -> Outcome {
    for vcpu in [1000, u32::MAX] {
        check_eq!(smp::is_up(vcpu), refused(Errno::ENOENT));
        check_eq!(call::vcpu_plain(OP_UP, vcpu), refused(Errno::ENOENT));
        let answer = call::vcpu(OP_INITIALISE, vcpu, &mut smp::context64());
        check_eq!(answer, refused(Errno::ENOENT));
    }
    check_eq!(smp::is_up(0), Ok(1));
    // A vCPU that runs has its registers already.
    let answer = call::vcpu(OP_INITIALISE, 0, &mut smp::context64());
    check_eq!(answer, refused(Errno::EEXIST));
    let mut nonsense = VcpuHvmContext::zeroed();
    nonsense.mode = 7;
    if smp::vcpus() > 2 {
        check_eq!(call::vcpu(OP_INITIALISE, 2, &mut nonsense), refused(Errno::EINVAL));
        check_eq!(call::vcpu_plain(OP_UP, 2), refused(Errno::EINVAL), "it never had registers");
    }
    Ok(())
}

pub fn by_call() -> Outcome {
    if smp::vcpus() < 3 {
        return suite::skip("too few vCPUs");
    }
    prepare();
    check_eq!(smp::is_up(2), Ok(0));
    check!(smp::start_by_call(2, work)?, "the other CPU does not start");
    check_eq!(smp::is_up(2), Ok(1));
    talk(2 * OTHER)
}

static TURNS: AtomicU32 = AtomicU32::new(0);

fn turn() {
    loop {
        TURNS.fetch_add(1, Ordering::SeqCst);
        cpu::relax();
    }
}

/// A vCPU that is taken down stands still, and goes on when it is brought up.
pub fn up_and_down() -> Outcome {
    if smp::vcpus() < 4 {
        return suite::skip("too few vCPUs");
    }
    check!(smp::start_by_call(3, turn)?);
    check!(clock::wait(SECOND, || TURNS.load(Ordering::SeqCst) > 10));
    call::vcpu_plain(OP_DOWN, 3)?;
    check_eq!(smp::is_up(3), Ok(0));
    clock::wait(20 * MILLISECOND, || false);
    let turns = TURNS.load(Ordering::SeqCst);
    clock::wait(20 * MILLISECOND, || false);
    check_eq!(TURNS.load(Ordering::SeqCst), turns, "it runs although it is down");
    call::vcpu_plain(OP_UP, 3)?;
    check!(clock::wait(SECOND, || TURNS.load(Ordering::SeqCst) > turns));
    call::vcpu_plain(OP_DOWN, 3)?;
    Ok(())
}
