//! Event channels: ports and their states, how events arrive, FIFO queues.
//!
//! The tests of FIFO come last: the domain cannot go back without closing every port.
#![no_std]
#![no_main]

extern crate alloc;

mod fifo;
mod ports;
mod upcalls;

use test_guests::guest;

guest!(
    "events",
    [
        ports::allocate_and_close,
        ports::connected,
        ports::close_leaves_the_peer_unbound,
        ports::virtual_interrupts,
        ports::between_vcpus,
        ports::bad_ports,
        ports::bad_domains,
        ports::all_of_them,
        ports::poll,
        upcalls::selector_and_flag,
        upcalls::by_callback_vector,
        upcalls::unmask_delivers,
        upcalls::bad_vectors,
        upcalls::flood,
        upcalls::by_own_vector,
        fifo::refused_before_init,
        fifo::bad_control_blocks,
        fifo::init_and_expand,
        fifo::queues,
        fifo::masked_and_unmasked,
        fifo::priorities,
        fifo::reset_goes_back,
    ]
);
