//! Tenon's logic, apart from the machine.
//!
//! Everything here builds and is tested on the host; the kernel crate gives it CPUs, memory and time.
//! No module touches hardware, and none may use `unsafe`.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(any(test, fuzzing))]
extern crate std;

pub mod acpi;
pub mod boot_line;
pub mod console;
pub mod console_ring;
pub mod cpuid;
pub mod dom0_acpi;
pub mod dom0_map;
pub mod domain;
pub mod emulate;
pub mod entries;
pub mod evtchn;
pub mod exit;
pub mod fallible;
pub mod frame;
pub mod frames;
pub mod gnttab;
pub mod guest_cpu;
pub mod hardware;
pub mod heartbeat;
pub mod hypercall;
pub mod hypervisor;
pub mod ids;
pub mod interrupt;
pub mod iommu;
pub mod linear;
pub mod log;
pub mod machine;
pub mod memory_map;
pub mod options;
pub mod p2m;
pub mod page;
pub mod pair;
pub mod ratio;
pub mod refusal;
pub mod rtc;
pub mod run;
pub mod sched;
pub mod shared;
pub mod size;
pub mod slab;
pub mod sync;
pub mod time;
pub mod trace;
pub mod vioapic;
pub mod vlapic;
pub mod vpci;
pub mod walk;
