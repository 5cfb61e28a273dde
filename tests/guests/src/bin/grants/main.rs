//! Grants: the table, mappings, copies; to oneself, which is all that one domain can try.
//!
//! Stock Xen fails some: an own page that it maps moves, it lets a mapping be given back like memory, and crashes the
//! domain afterwards.
#![no_std]
#![no_main]

extern crate alloc;

mod copy;
mod lifetimes;
mod mapping;
mod refusals;
mod version2;

use test_guests::guest;

guest!(
    "grants",
    [
        mapping::sizes,
        mapping::set_up,
        mapping::map_and_unmap,
        mapping::read_only,
        mapping::bad_references,
        mapping::bad_handles,
        copy::frames,
        copy::granted,
        copy::bad_ranges,
        copy::many,
        refusals::entries,
        refusals::requests,
        refusals::frames,
        refusals::addresses,
        refusals::counts,
        refusals::lists,
        refusals::versions,
        refusals::tables,
        refusals::cache_flushes,
        refusals::swaps,
        version2::there_and_back,
        version2::whole_pages,
        version2::parts,
        version2::passed_on,
        version2::replaced,
        lifetimes::two_mappings,
        lifetimes::page_given_back,
        lifetimes::mapping_is_not_memory,
        lifetimes::covered,
        lifetimes::wrong_place,
        lifetimes::many,
    ]
);
