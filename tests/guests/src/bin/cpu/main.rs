//! The processor as a guest sees it: CPUID, MSRs, control registers, exceptions, I/O, extended state, and 32-bit code
//! that makes hypercalls in the other layout.
#![no_std]
#![no_main]

extern crate alloc;

mod compat;
mod exceptions;
mod io;
mod modes;
mod paging;
mod registers;
mod state;

use test_guests::guest;

guest!(
    "cpu",
    [
        registers::cpuid_is_stable,
        registers::known_msrs,
        registers::unknown_msrs,
        registers::efer,
        registers::control_registers,
        registers::debug_registers,
        registers::segment_bases,
        exceptions::simple_ones,
        exceptions::page_fault_codes,
        exceptions::single_step,
        exceptions::non_canonical,
        exceptions::software_interrupts,
        paging::large_pages,
        paging::no_execute,
        paging::write_protect,
        paging::accessed_and_dirty,
        io::debug_port,
        io::nobody_there,
        io::no_timer,
        io::memory_hole,
        io::string_instructions,
        state::xcr0,
        state::vectors_survive,
        state::fpu,
        compat::hypercalls,
        compat::layouts,
        compat::halves,
        modes::hypercalls,
        modes::pointers,
        modes::other_exits,
    ]
);
