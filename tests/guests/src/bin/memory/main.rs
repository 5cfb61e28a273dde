//! Memory: how much there is, what is where, ballooning, the spaces that can be mapped, grants.
#![no_std]
#![no_main]

extern crate alloc;

mod balloon;
mod copy;
mod granted;
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
        granted::sizes,
        granted::set_up,
        granted::map_and_unmap,
        granted::read_only,
        granted::bad_references,
        granted::bad_handles,
        copy::frames,
        copy::granted,
        copy::bad_ranges,
        copy::many,
    ]
);
