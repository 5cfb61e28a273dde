//! In domain 0's place: stops the hypervisor with a report, by the key that is for this. A guest may not.
#![no_std]
#![no_main]

extern crate alloc;

use test_guests::abi::abi::Handle64;
use test_guests::abi::errno::Errno;
use test_guests::abi::sysctl::{DEBUG_KEYS, DebugKeys, Sysctl};
use test_guests::abi::xen::HYPERCALL_SYSCTL;
use test_guests::call::{self, refused};
use test_guests::suite::Outcome;
use test_guests::{boot_info, check, check_eq, guest};

guest!("panic", [by_key]);

/// Only the control domain may.
fn by_key() -> Outcome {
    let key = b'C';
    let keys = Handle64::from_raw(&raw const key as u64);
    let arg = DebugKeys { keys, nr_keys: 1, ..DebugKeys::default() };
    let answer = call::any(HYPERCALL_SYSCTL, &[call::address(&mut Sysctl::new(DEBUG_KEYS, arg))]);
    check!(!boot_info::is_dom0(), "the hypervisor goes on: {answer:?}");
    check_eq!(answer, refused(Errno::EPERM));
    Ok(())
}
