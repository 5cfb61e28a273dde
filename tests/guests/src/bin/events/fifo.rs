//! FIFO event channels.

use core::sync::atomic::{AtomicU32, Ordering};

use spin::Mutex;
use test_guests::abi::errno::Errno;
use test_guests::abi::event_channel::*;
use test_guests::abi::xen::DOMID_SELF;
use test_guests::call::{self, Answer, refused};
use test_guests::paging::Page;
use test_guests::suite::Outcome;
use test_guests::{boot_info, check, check_eq, events};

static CONTROL: Mutex<Option<Page>> = Mutex::new(None);
static WORDS: Mutex<Option<Page>> = Mutex::new(None);

fn init_control(gfn: u64, offset: u32, vcpu: u32) -> Answer {
    let mut op = InitControl { control_gfn: gfn, offset, vcpu, link_bits: 0, pad: [0; 7] };
    let answer = call::event(OP_INIT_CONTROL, &mut op);
    if answer.is_ok() { Ok(u64::from(op.link_bits)) } else { answer }
}

fn expand(gfn: u64) -> Answer {
    call::event(OP_EXPAND_ARRAY, &mut ExpandArray { array_gfn: gfn })
}

fn set_priority(port: u32, priority: u32) -> Answer {
    call::event(OP_SET_PRIORITY, &mut SetPriority { port, priority })
}

fn control() -> Page {
    *CONTROL.lock().get_or_insert_with(Page::new)
}

fn words() -> Page {
    *WORDS.lock().get_or_insert_with(Page::new)
}

#[allow(unsafe_code, reason = "a word that the hypervisor changes, too")]
fn word(port: u32) -> &'static AtomicU32 {
    assert!(port < 1024);
    // SAFETY: aligned, within a page that lives for ever and that is accessed atomically.
    unsafe { AtomicU32::from_ptr((words().address() + u64::from(port) * 4) as *mut u32) }
}

fn has(port: u32, bit: u32) -> bool {
    word(port).load(Ordering::SeqCst) & 1 << bit != 0
}

fn set(port: u32, bit: u32, on: bool) {
    if on {
        word(port).fetch_or(1 << bit, Ordering::SeqCst)
    } else {
        word(port).fetch_and(!(1 << bit), Ordering::SeqCst)
    };
}

fn ready() -> u32 {
    control().get(0)
}

fn head(priority: u32) -> u32 {
    control().get(8 + u64::from(priority) * 4)
}

/// Takes the first port of a queue, as a guest's upcall does.
fn take(priority: u32) -> u32 {
    let port = head(priority);
    let old = word(port).fetch_and(!(1 << FIFO_LINKED | FIFO_LINK_MASK), Ordering::SeqCst);
    let next = old & FIFO_LINK_MASK;
    control().set(8 + u64::from(priority) * 4, next);
    if next == 0 {
        control().set(0, ready() & !(1 << priority));
    }
    port
}

fn pair() -> Result<(u32, u32), test_guests::abi::guest::HypercallError> {
    let near = events::alloc_unbound(DOMID_SELF)?;
    let far = events::bind_loop(near)?;
    // Binding may have made an event of its own.
    while head(FIFO_PRIORITY_DEFAULT) != 0 {
        take(FIFO_PRIORITY_DEFAULT);
    }
    for port in [near, far] {
        set(port, FIFO_MASKED, false);
        set(port, FIFO_PENDING, false);
    }
    Ok((near, far))
}

pub fn refused_before_init() -> Outcome {
    check_eq!(expand(words().gfn()), refused(Errno::EOPNOTSUPP));
    let port = events::alloc_unbound(DOMID_SELF)?;
    check_eq!(set_priority(port, 3), refused(Errno::ENOSYS));
    events::close(port)?;
    Ok(())
}

pub fn bad_control_blocks() -> Outcome {
    let gfn = control().gfn();
    check_eq!(init_control(gfn, 4, 0), refused(Errno::EINVAL), "not aligned to 8");
    check_eq!(init_control(gfn, 4096 - 64, 0), refused(Errno::EINVAL), "beyond the page's end");
    check_eq!(init_control(gfn, !7, 0), refused(Errno::EINVAL), "far beyond");
    check_eq!(init_control(gfn, 0, 1000), refused(Errno::ENOENT), "no such vCPU");
    for gfn in [boot_info::hole(1).unwrap_or(0xd000_0000) >> 12, 1 << 40, u64::MAX] {
        check_eq!(init_control(gfn, 0, 0), refused(Errno::EINVAL), "frame {gfn:#x}");
    }
    Ok(())
}

pub fn init_and_expand() -> Outcome {
    check_eq!(init_control(control().gfn(), 0, 0), Ok(FIFO_LINK_BITS.into()));
    check_eq!(init_control(control().gfn(), 0, 0), refused(Errno::EINVAL), "twice");
    check_eq!(expand(1 << 40), refused(Errno::EINVAL));
    expand(words().gfn())?;
    Ok(())
}

pub fn queues() -> Outcome {
    let pairs = [pair()?, pair()?, pair()?];
    for (near, far) in pairs {
        events::send(far)?;
        check!(has(near, FIFO_PENDING) && has(near, FIFO_LINKED), "{:#x}", word(near).load(Ordering::SeqCst));
    }
    check_eq!(ready() & 1 << FIFO_PRIORITY_DEFAULT, 1 << FIFO_PRIORITY_DEFAULT);
    // In the order of sending, each once.
    events::send(pairs[0].1)?;
    for (near, _) in pairs {
        check_eq!(take(FIFO_PRIORITY_DEFAULT), near);
    }
    check_eq!(head(FIFO_PRIORITY_DEFAULT), 0);
    // Taken but still pending: sending links it again only after it was cleared.
    let (near, far) = pairs[0];
    set(near, FIFO_PENDING, false);
    events::send(far)?;
    check_eq!(take(FIFO_PRIORITY_DEFAULT), near);
    for (near, far) in pairs {
        events::close(near)?;
        events::close(far)?;
    }
    Ok(())
}

pub fn masked_and_unmasked() -> Outcome {
    let (near, far) = pair()?;
    set(near, FIFO_MASKED, true);
    events::send(far)?;
    check!(has(near, FIFO_PENDING) && !has(near, FIFO_LINKED), "masked ports are not queued");
    events::unmask(near)?;
    check!(!has(near, FIFO_MASKED));
    check!(has(near, FIFO_LINKED), "what waited is queued");
    check_eq!(take(FIFO_PRIORITY_DEFAULT), near);
    events::close(near)?;
    events::close(far)?;
    Ok(())
}

pub fn priorities() -> Outcome {
    let (near, far) = pair()?;
    check_eq!(set_priority(near, 16), refused(Errno::EINVAL));
    check_eq!(set_priority(1 << 20, 1), refused(Errno::EINVAL));
    for priority in [FIFO_PRIORITY_MAX, 3, FIFO_PRIORITY_MIN] {
        set_priority(near, priority)?;
        set(near, FIFO_PENDING, false);
        events::send(far)?;
        check!(ready() & 1 << priority != 0, "priority {priority}: ready {:#x}", ready());
        check_eq!(take(priority), near);
    }
    events::close(near)?;
    events::close(far)?;
    Ok(())
}

pub fn reset_goes_back() -> Outcome {
    let port = events::alloc_unbound(DOMID_SELF)?;
    call::event(OP_RESET, &mut Reset { dom: DOMID_SELF })?;
    check_eq!(events::status(port)?.status, STATUS_CLOSED);
    check_eq!(expand(words().gfn()), refused(Errno::EOPNOTSUPP), "2-level again");
    Ok(())
}
