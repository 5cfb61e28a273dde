//! What exits and hypercalls are called.

use std::borrow::Cow;

use hypercall_abi::xen as nr;

/// Exits by AMD-V's numbers (AMD64 manual volume 2, appendix C). Control registers and exceptions go by ranges.
const EXITS: [(u32, &str); 37] = [
    (0x60, "interrupt"),
    (0x61, "NMI"),
    (0x62, "SMI"),
    (0x63, "INIT"),
    (0x64, "interrupt window"),
    (0x6e, "RDTSC"),
    (0x6f, "RDPMC"),
    (0x72, "CPUID"),
    (0x73, "RSM"),
    (0x74, "IRET"),
    (0x75, "INT n"),
    (0x76, "INVD"),
    (0x77, "PAUSE"),
    (0x78, "HLT"),
    (0x79, "INVLPG"),
    (0x7a, "INVLPGA"),
    (0x7b, "I/O port"),
    (0x7c, "MSR"),
    (0x7d, "task switch"),
    (0x7e, "FERR"),
    (0x7f, "shutdown"),
    (0x80, "VMRUN"),
    (0x81, "hypercall"),
    (0x82, "VMLOAD"),
    (0x83, "VMSAVE"),
    (0x84, "STGI"),
    (0x85, "CLGI"),
    (0x86, "SKINIT"),
    (0x87, "RDTSCP"),
    (0x88, "ICEBP"),
    (0x89, "WBINVD"),
    (0x8a, "MONITOR"),
    (0x8b, "MWAIT"),
    (0x8d, "XSETBV"),
    (0x8e, "RDPRU"),
    (0x400, "nested page fault"),
    (u32::MAX, "invalid state"),
];

const HYPERCALLS: [(u32, &str); 15] = [
    (nr::HYPERCALL_PLATFORM_OP, "platform_op"),
    (nr::HYPERCALL_MEMORY_OP, "memory_op"),
    (nr::HYPERCALL_MULTICALL, "multicall"),
    (nr::HYPERCALL_SET_TIMER_OP, "set_timer_op"),
    (nr::HYPERCALL_XEN_VERSION, "xen_version"),
    (nr::HYPERCALL_CONSOLE_IO, "console_io"),
    (nr::HYPERCALL_GRANT_TABLE_OP, "grant_table_op"),
    (nr::HYPERCALL_VM_ASSIST, "vm_assist"),
    (nr::HYPERCALL_VCPU_OP, "vcpu_op"),
    (nr::HYPERCALL_SCHED_OP, "sched_op"),
    (nr::HYPERCALL_EVENT_CHANNEL_OP, "event_channel_op"),
    (nr::HYPERCALL_PHYSDEV_OP, "physdev_op"),
    (nr::HYPERCALL_HVM_OP, "hvm_op"),
    (nr::HYPERCALL_SYSCTL, "sysctl"),
    (nr::HYPERCALL_DOMCTL, "domctl"),
];

/// The name of an exit.
pub fn exit(code: u32) -> Cow<'static, str> {
    match (code, find(&EXITS, code)) {
        (_, Some(name)) => name.into(),
        (0x00..0x10, _) => format!("read CR{code}").into(),
        (0x10..0x20, _) => format!("write CR{}", code - 0x10).into(),
        (0x40..0x60, _) => format!("exception {}", code - 0x40).into(),
        _ => format!("exit {code:#x}").into(),
    }
}

/// The name of a hypercall.
pub fn hypercall(number: u32) -> Cow<'static, str> {
    match find(&HYPERCALLS, number) {
        Some(name) => name.into(),
        None => format!("hypercall {number}").into(),
    }
}

fn find(names: &[(u32, &'static str)], number: u32) -> Option<&'static str> {
    names.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}
