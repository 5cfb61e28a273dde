//! The smaller hypercalls: several in one, the console, what only the control domain asks for, scheduling, areas.
//!
//! The last test moves the vCPU's information, and with it its clock, to another page.
#![no_std]
#![no_main]

extern crate alloc;

mod areas;
mod control;
mod multicall;
mod small;

use test_guests::guest;

guest!(
    "calls",
    [
        multicall::each_its_result,
        multicall::more_than_a_step,
        multicall::bad_lists,
        multicall::unfinished_ones,
        small::console_writes,
        small::console_refusals,
        small::scheduling,
        small::polls,
        small::parameters,
        small::hvm_refusals,
        small::assists,
        control::versions_first,
        control::platform,
        control::physdev,
        control::domains,
        areas::runstate_across_pages,
        areas::time_area,
        areas::bad_areas,
        areas::vcpu_info_moves,
    ]
);
