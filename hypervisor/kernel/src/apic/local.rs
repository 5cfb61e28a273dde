//! The local APIC of the CPU that runs this: by MSRs (x2APIC) where there is one, in memory otherwise.
#![allow(unsafe_code, reason = "programs the local APIC")]

use spin::Once;
use tenon_core::frame::Maddr;
use tenon_core::ids::Vector;
use tenon_core::options::Options;
use x86_64::registers::model_specific::{ApicBase, ApicBaseFlags, Msr};

use crate::cpu::features;
use crate::irq;
use crate::mm::mmio::Mmio;
use crate::mm::paging::MapError;
use crate::mm::vmap::{self, Caching};

/// A register, by its offset in memory.
#[derive(Clone, Copy)]
struct Register(u16);

impl Register {
    /// Where the x2APIC has it.
    fn msr(self) -> Msr {
        Msr::new(0x800 + u32::from(self.0 >> 4))
    }
}

const ID: Register = Register(0x20);
const TASK_PRIORITY: Register = Register(0x80);
const END_OF_INTERRUPT: Register = Register(0xb0);
const SPURIOUS: Register = Register(0xf0);
/// The first of eight words, one bit a vector.
const IN_SERVICE: u16 = 0x100;
/// The last of them: vectors 0xe0 to 0xff.
const IN_SERVICE_LAST: Register = Register(0x170);
const ERROR_STATUS: Register = Register(0x280);
const COMMAND: Register = Register(0x300);
const COMMAND_HIGH: Register = Register(0x310);
const LVT_TIMER: Register = Register(0x320);
const LVT_LINT0: Register = Register(0x350);
const LVT_LINT1: Register = Register(0x360);
const LVT_ERROR: Register = Register(0x370);
const TIMER_INITIAL: Register = Register(0x380);
const TIMER_CURRENT: Register = Register(0x390);
const TIMER_DIVIDE: Register = Register(0x3e0);

const SOFTWARE_ENABLE: u32 = 1 << 8;
const LVT_MASKED: u32 = 1 << 16;
const LVT_NMI: u32 = 4 << 8;
const LVT_TSC_DEADLINE: u32 = 2 << 17;
const COMMAND_PENDING: u32 = 1 << 12;
const COMMAND_ASSERT: u32 = 1 << 14;
const ALL_BUT_SELF: u32 = 3 << 18;
const DIVIDE_BY_1: u32 = 0b1011;
/// Polls of a command that stays pending: longer than any bus takes.
const COMMAND_PATIENCE: u32 = 1_000_000;

enum Access {
    Msr,
    Memory(Mmio),
}

static ACCESS: Once<Access> = Once::new();

fn access() -> &'static Access {
    match ACCESS.get() {
        Some(access) => access,
        None => panic!("the local APIC is used before it is set up"),
    }
}

fn read(register: Register) -> u32 {
    match access() {
        // SAFETY: an x2APIC register that exists.
        Access::Msr => unsafe { register.msr().read() as u32 },
        Access::Memory(memory) => memory.read32(usize::from(register.0)),
    }
}

fn write(register: Register, value: u32) {
    match access() {
        // SAFETY: an x2APIC register that exists; callers write values that it takes.
        Access::Msr => unsafe { register.msr().write(value.into()) },
        Access::Memory(memory) => memory.write32(usize::from(register.0), value),
    }
}

/// Chooses how local APICs are driven, on the boot CPU.
///
/// # Errors
/// [`MapError`], where the registers cannot be mapped.
pub fn init(options: &Options<'_>, address: Option<Maddr>) -> Result<(), MapError> {
    let (frame, flags) = ApicBase::read();
    // Firmware that chose x2APIC had a reason (ids past 254); there is no simple way back anyway.
    let x2apic = flags.contains(ApicBaseFlags::X2APIC_ENABLE) || features().x2apic && options.x2apic;
    let access = if x2apic {
        Access::Msr
    } else {
        let address = address.unwrap_or(Maddr(frame.start_address().as_u64()));
        // SAFETY: the local APIC's registers, by the ACPI tables or the CPU itself.
        Access::Memory(unsafe { vmap::map_device(address, 4096, Caching::Uncached) }?)
    };
    ACCESS.call_once(|| access);
    enable();
    irq::register(irq::APIC_ERROR, |_| {
        write(ERROR_STATUS, 0);
        log::warn!("local APIC error {:#x}", read(ERROR_STATUS));
    });
    Ok(())
}

/// Whether the APICs are driven by MSRs.
pub fn is_x2apic() -> bool {
    matches!(access(), Access::Msr)
}

/// Switches this CPU's local APIC on, in the mode that [`init`] chose.
fn enable() {
    // SAFETY: enabling, and choosing the mode that `init` decided on; enable first, as the manual wants it.
    unsafe {
        let (frame, flags) = ApicBase::read();
        ApicBase::write(frame, flags | ApicBaseFlags::LAPIC_ENABLE);
        if is_x2apic() {
            ApicBase::write(frame, flags | ApicBaseFlags::LAPIC_ENABLE | ApicBaseFlags::X2APIC_ENABLE);
        }
    }
}

/// Sets this CPU's local APIC up: everything accepted, local lines masked but the NMI.
pub fn init_this_cpu() {
    enable();
    write(TASK_PRIORITY, 0);
    write(LVT_TIMER, LVT_MASKED);
    write(LVT_LINT0, LVT_MASKED);
    write(LVT_LINT1, LVT_NMI);
    write(LVT_ERROR, u32::from(irq::APIC_ERROR.0));
    write(SPURIOUS, SOFTWARE_ENABLE | u32::from(irq::SPURIOUS.0));
    write(ERROR_STATUS, 0);
    // Whatever firmware left in service would block everything below it.
    for _ in 0..256 {
        if !in_service() {
            break;
        }
        end_of_interrupt();
    }
}

fn in_service() -> bool {
    (0..8).any(|word| read(Register(IN_SERVICE + 0x10 * word)) != 0)
}

/// Ends what is in service of the priorities of Tenon's own vectors; says whether anything was.
#[inline]
pub fn end_what_is_in_service() -> bool {
    let in_service = read(IN_SERVICE_LAST) != 0;
    if in_service {
        end_of_interrupt();
    }
    in_service
}

/// Has this CPU look whether an interrupt waits: a write of the task priority makes the APIC compare anew.
#[inline]
pub fn remind() {
    write(TASK_PRIORITY, 0);
}

/// This CPU's APIC id.
pub fn id() -> u32 {
    if is_x2apic() { read(ID) } else { read(ID) >> 24 }
}

/// Ends the interrupt in service with the highest priority.
#[inline]
pub fn end_of_interrupt() {
    write(END_OF_INTERRUPT, 0);
}

/// Writes the interrupt command register.
fn command(destination: u32, low: u32) {
    match access() {
        // SAFETY: the x2APIC's command register. Stores before it must be seen by the receiver, hence the fence:
        // this WRMSR does not wait for them.
        Access::Msr => unsafe {
            core::arch::asm!("mfence", "lfence", options(nostack, preserves_flags));
            COMMAND.msr().write(u64::from(destination) << 32 | u64::from(low));
        },
        Access::Memory(_) => {
            write(COMMAND_HIGH, destination << 24);
            write(COMMAND, low);
            for _ in 0..COMMAND_PATIENCE {
                if read(COMMAND) & COMMAND_PENDING == 0 {
                    break;
                }
                core::hint::spin_loop();
            }
        }
    }
}

/// Sends an interrupt to the CPU with this APIC id.
pub fn send(apic_id: u32, vector: Vector) {
    command(apic_id, COMMAND_ASSERT | u32::from(vector.0));
}

/// Sends an NMI to every other CPU.
pub fn send_nmi_to_others() {
    if ACCESS.is_completed() {
        command(0, ALL_BUT_SELF | COMMAND_ASSERT | LVT_NMI);
    }
}

/// Sends an NMI.
pub fn send_nmi(apic_id: u32) {
    command(apic_id, COMMAND_ASSERT | LVT_NMI);
}

/// Sends INIT.
pub fn send_init(apic_id: u32) {
    command(apic_id, COMMAND_ASSERT | 5 << 8);
}

/// Sends STARTUP: the CPU starts in real mode at `page`, a frame number below 0x100.
pub fn send_startup(apic_id: u32, page: u8) {
    command(apic_id, COMMAND_ASSERT | 6 << 8 | u32::from(page));
}

/// Lets the timer count down once from `count` and then raise [`irq::TIMER`]; zero stops it.
pub fn timer_one_shot(count: u32) {
    write(TIMER_DIVIDE, DIVIDE_BY_1);
    write(LVT_TIMER, u32::from(irq::TIMER.0));
    write(TIMER_INITIAL, count);
}

/// Starts the timer at its maximum without an interrupt, for measuring its rate.
pub fn timer_free_running() {
    write(TIMER_DIVIDE, DIVIDE_BY_1);
    write(LVT_TIMER, LVT_MASKED | u32::from(irq::TIMER.0));
    write(TIMER_INITIAL, u32::MAX);
}

/// What is left of the timer's count.
pub fn timer_count() -> u32 {
    read(TIMER_CURRENT)
}

/// Makes the timer compare with the TSC.
pub fn timer_use_tsc_deadline() {
    write(LVT_TIMER, LVT_TSC_DEADLINE | u32::from(irq::TIMER.0));
    // SAFETY: orders the memory-mapped write before later writes of the deadline MSR (Intel SDM 3A, 11.5.4.1).
    unsafe { core::arch::asm!("mfence", options(nostack, preserves_flags)) };
}
