//! Giving pages back and getting them again.

use test_guests::abi::Handle64;
use test_guests::abi::errno::Errno;
use test_guests::abi::memory::*;
use test_guests::abi::start_info::MEMMAP_TYPE_RAM;
use test_guests::abi::xen::*;
use test_guests::call::{self, Answer, refused};
use test_guests::paging::Page;
use test_guests::suite::Outcome;
use test_guests::{boot_info, check, check_eq};

pub fn reservation(frames: &mut [u64], order: u32) -> Reservation {
    Reservation {
        extent_start: Handle64::to(frames.as_ptr()),
        nr_extents: frames.len() as u64,
        extent_order: order,
        mem_flags: MemFlags::empty(),
        domid: DOMID_SELF,
        _pad: [0; 6],
    }
}

fn decrease(frames: &mut [u64]) -> Answer {
    call::memory(DECREASE_RESERVATION, &mut reservation(frames, 0))
}

fn populate(frames: &mut [u64]) -> Answer {
    call::memory(POPULATE_PHYSMAP, &mut reservation(frames, 0))
}

fn pages(op: u32) -> Answer {
    call::memory(op, &mut { DOMID_SELF })
}

pub fn maps() -> Outcome {
    let map = boot_info::e820()?;
    let ram: u64 = map.iter().filter(|r| r.kind == MEMMAP_TYPE_RAM).map(|r| r.size >> 12).sum();
    let pages = pages(CURRENT_RESERVATION)?;
    check!(ram <= pages + 1024 && ram + 1024 >= pages, "{ram} pages in the map, {pages} in the domain");
    // Too little room is said, or filled as far as it goes; nothing is written beyond.
    let page = Page::new();
    page.fill(0x77);
    let mut op: MemoryMap =
        MemoryMap { nr_entries: 1, _pad: [0; 4], buffer: Handle64::from_raw(page.address()) };
    let answer = call::memory(MEMORY_MAP, &mut op);
    check!(answer == refused(Errno::ENOBUFS) || op.nr_entries <= 1, "{answer:?} with {}", op.nr_entries);
    check_eq!(page.get::<u64>(20), 0x7777_7777_7777_7777);
    Ok(())
}

pub fn sizes() -> Outcome {
    let (now, most) = (pages(CURRENT_RESERVATION)?, pages(MAXIMUM_RESERVATION)?);
    check!(now > 4096 && now <= most, "{now} of {most} pages");
    let highest = pages(MAXIMUM_GPFN)?;
    let here = Page::new().gfn();
    check!(highest >= here, "highest frame {highest:#x}, but {here:#x} is in use");
    for mut domain in [0x1234_u16, DOMID_IDLE, 0xffff] {
        check!(call::no_domain(call::memory(CURRENT_RESERVATION, &mut domain)), "{domain:#x}");
    }
    Ok(())
}

pub fn out_and_in() -> Outcome {
    let page = Page::new();
    page.fill(0x33);
    let before = pages(CURRENT_RESERVATION)?;
    for _ in 0..20 {
        check_eq!(decrease(&mut [page.gfn()]), Ok(1));
        check_eq!(pages(CURRENT_RESERVATION)?, before - 1);
        check_eq!(populate(&mut [page.gfn()]), Ok(1));
        check_eq!(pages(CURRENT_RESERVATION)?, before);
    }
    page.set(8, 0x1122_3344_5566_7788_u64);
    check_eq!(page.get::<u64>(8), 0x1122_3344_5566_7788);
    Ok(())
}

pub fn several() -> Outcome {
    const COUNT: usize = 32;
    let first = Page::run(COUNT).gfn();
    let mut frames: [u64; COUNT] = core::array::from_fn(|i| first + i as u64);
    check_eq!(decrease(&mut frames), Ok(COUNT as u64));
    check_eq!(populate(&mut frames), Ok(COUNT as u64));
    for (i, frame) in frames.iter().enumerate() {
        check_eq!(*frame, first + i as u64, "guest frames stay what they were asked to be");
        Page::at(frame << 12).set(0, i as u64);
    }
    for (i, frame) in frames.iter().enumerate() {
        check_eq!(Page::at(frame << 12).get::<u64>(0), i as u64, "two frames are one page");
    }
    Ok(())
}

/// What is not there cannot be given back, and the count says where it ended.
pub fn bad_frames() -> Outcome {
    let page = Page::new();
    let before = pages(CURRENT_RESERVATION)?;
    for frame in [1 << 40, u64::MAX >> 12, u64::MAX] {
        let answer = decrease(&mut [frame]);
        check!(answer == Ok(0) || answer.is_err(), "giving back frame {frame:#x}: {answer:?}");
    }
    let answer = decrease(&mut [page.gfn(), u64::MAX >> 12, page.gfn()]);
    check_eq!(answer, Ok(1), "the first one was good");
    check_eq!(populate(&mut [page.gfn()]), Ok(1));
    check_eq!(pages(CURRENT_RESERVATION)?, before);
    Ok(())
}

pub fn bad_arguments() -> Outcome {
    let mut frames = [Page::new().gfn()];
    let mut op = reservation(&mut frames, 63);
    for order in [63, 64, 1000, u32::MAX] {
        op.extent_order = order;
        let answer = call::memory(POPULATE_PHYSMAP, &mut op);
        check!(answer == Ok(0) || answer.is_err(), "order {order}: {answer:?}");
    }
    for domid in [0x1234, DOMID_IDLE] {
        let mut op = reservation(&mut frames, 0);
        op.domid = domid;
        let answer = call::memory(DECREASE_RESERVATION, &mut op);
        // Xen says how many extents it did.
        check!(call::no_domain(answer) || answer == Ok(0), "{answer:?}");
    }
    let mut op = reservation(&mut frames, 0);
    op.nr_extents = u64::MAX;
    let answer = call::memory(DECREASE_RESERVATION, &mut op);
    check!(
        answer.is_err() || answer == Ok(0) || answer == Ok(1),
        "more extents than there are frames: {answer:?}"
    );
    check_eq!(call::memory(62, &mut op), refused(Errno::ENOSYS));
    Ok(())
}
