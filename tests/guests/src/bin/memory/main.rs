//! Memory: how much there is, what is where, ballooning, the spaces that can be mapped.
#![no_std]
#![no_main]

extern crate alloc;

mod balloon;
mod limits;
mod spaces;

use test_guests::guest;

guest!(
    "memory",
    [
        balloon::maps,
        balloon::sizes,
        balloon::out_and_in,
        balloon::several,
        balloon::bad_frames,
        balloon::bad_arguments,
        spaces::shared_info_moves,
        spaces::grant_table,
        spaces::frames_move,
        spaces::batches,
        spaces::removed,
        spaces::bad_spaces,
        spaces::resources,
        limits::runs,
        limits::twice,
        limits::counts,
        limits::wild_lists,
        limits::hypervisors_pages,
        limits::same_place,
        limits::for_the_control_domain,
        limits::calls_of_other_guests,
    ]
);
