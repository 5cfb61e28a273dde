//! Queues that a guest fills and that daemons, one after the other, empty: each may be gone between any two steps.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;

use hypercall_abi::Plain;
use hypercall_abi::io::blkif::{
    OP_DISCARD, OP_FLUSH_DISKCACHE, OP_INDIRECT, OP_READ, OP_WRITE, OP_WRITE_BARRIER, Request as Raw,
    RequestDiscard, RequestIndirect, Response,
};
use hypercall_abi::io::ring::{ENTRIES, REQ_PROD, RSP_PROD};
use proptest::prelude::*;
use rustix::event::{EventfdFlags, eventfd};
use tempfile::TempDir;

use super::*;
use crate::block::image;
use crate::block::ledger::Owner;
use crate::block::request::Layout;
use crate::config::Format;
use crate::xen::mapping::Mapping;

const SECTORS: u64 = 2048;
const SIZE: u32 = 32;

/// A guest's pages by their grants.
#[derive(Clone, Default)]
struct Pages(Rc<RefCell<BTreeMap<u32, Vec<u8>>>>);

impl GuestMemory for Pages {
    fn read(&self, parts: &[Part], to: &mut [u8]) -> Result<(), XenError> {
        let pages = self.0.borrow();
        let mut at = 0;
        for part in parts {
            let refused = || XenError::new("copy granted pages", io::Error::other("grant status -3"));
            let page = pages.get(&part.reference).ok_or_else(refused)?;
            let len = usize::from(part.len);
            to[at..at + len].copy_from_slice(&page[part.offset.into()..][..len]);
            at += len;
        }
        Ok(())
    }

    fn write(&self, parts: &[Part], from: &[u8]) -> Result<(), XenError> {
        let mut pages = self.0.borrow_mut();
        let mut at = 0;
        for part in parts {
            let refused = || XenError::new("copy granted pages", io::Error::other("grant status -3"));
            let page = pages.get_mut(&part.reference).ok_or_else(refused)?;
            let len = usize::from(part.len);
            page[part.offset.into()..][..len].copy_from_slice(&from[at..at + len]);
            at += len;
        }
        Ok(())
    }
}

type Served = Queue<Mapping, Pages>;

/// A guest's side, and where the daemons keep theirs.
struct World {
    directory: TempDir,
    ring: std::fs::File,
    shared: Mapping,
    pages: Pages,
    /// The responses' index up to which the guest has looked.
    seen: u32,
    produced: u32,
}

impl World {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let ring = tempfile::tempfile().unwrap();
        ring.set_len(4096).unwrap();
        let shared = Mapping::of_device(&ring, 1, 0, "map").unwrap();
        std::fs::write(directory.path().join("disk"), vec![0; SECTORS as usize * 512]).unwrap();
        Self { directory, ring, shared, pages: Pages::default(), seen: 0, produced: 0 }
    }

    fn disk(&self) -> Vec<u8> {
        std::fs::read(self.directory.path().join("disk")).unwrap()
    }

    fn serve(&self, resume: bool) -> Served {
        let ring = Ring::new(vec![Mapping::of_device(&self.ring, 1, 0, "map").unwrap()], Layout::X64);
        let owner = Owner { entries: ring.size(), port: 5, ring: 8 };
        let path = self.directory.path().join("ledger");
        let (ledger, again) = match resume {
            true => Ledger::resume(&path, owner, ring.next_response()).unwrap(),
            false => (Ledger::create(&path, owner).unwrap(), Vec::new()),
        };
        let image = image::open(Path::new(&self.directory.path().join("disk")), Format::Raw, false).unwrap();
        let disk = Disk { image, read_only: false, discard: true, name: "test".into() };
        Queue::new(ring, ledger, again, self.pages.clone(), disk).unwrap()
    }

    fn request(&mut self, request: &impl Plain) {
        let offset = ENTRIES + (self.produced % SIZE) as usize * size_of::<Raw>();
        self.shared.write(offset, request.as_bytes());
        self.produced += 1;
        self.shared.word(REQ_PROD).store(self.produced, std::sync::atomic::Ordering::Release);
    }

    /// The responses that are new to the guest: identifier and status.
    fn responses(&mut self) -> Vec<(u64, i16)> {
        let visible = self.shared.word(RSP_PROD).load(std::sync::atomic::Ordering::Acquire);
        let mut all = Vec::new();
        while self.seen != visible {
            let mut bytes = [0; size_of::<Response>()];
            self.shared.read(ENTRIES + (self.seen % SIZE) as usize * size_of::<Raw>(), &mut bytes);
            let response: Response = Response::read_from(&bytes).unwrap();
            all.push((response.id, response.status));
            self.seen += 1;
        }
        all
    }
}

/// Waits for whatever is under way, and shows it.
fn finish(queue: &mut Served) {
    let others = [0, 1].map(|_| eventfd(0, EventfdFlags::NONBLOCK).unwrap());
    queue.begin().unwrap();
    while !queue.is_idle() {
        queue.wait([others[0].as_fd(), others[1].as_fd()], false).unwrap();
        queue.begin().unwrap();
    }
    queue.push();
}

fn transfer(operation: u8, id: u64, sector: u64, grants: &[u32]) -> Raw {
    let mut raw: Raw =
        Raw { operation, nr_segments: grants.len() as u8, id, sector_number: sector, ..Raw::default() };
    for (segment, gref) in raw.seg.iter_mut().zip(grants) {
        *segment = RequestSegment { gref: *gref, first_sect: 0, last_sect: 7, ..RequestSegment::default() };
    }
    raw
}

#[test]
fn every_operation_is_done_and_answered() {
    let mut world = World::new();
    for grant in 0..300 {
        world.pages.0.borrow_mut().insert(grant, vec![grant as u8 | 1; 4096]);
    }
    // Thirteen segments, named in page 299.
    let segments: Vec<u8> = (20..33u32)
        .flat_map(|gref| {
            RequestSegment { gref, last_sect: 7, ..RequestSegment::default() }.as_bytes().to_vec()
        })
        .collect();
    world.pages.0.borrow_mut().get_mut(&299).unwrap()[..segments.len()].copy_from_slice(&segments);
    let mut queue = world.serve(false);
    world.request(&transfer(OP_WRITE, 1, 0, &[4, 6]));
    world.request(&transfer(OP_WRITE_BARRIER, 2, 8, &[8]));
    world.request(&transfer(OP_READ, 3, 8, &[9]));
    world.request(&transfer(OP_FLUSH_DISKCACHE, 4, 0, &[]));
    let mut indirect: RequestIndirect = RequestIndirect {
        operation: OP_INDIRECT,
        indirect_op: OP_WRITE,
        nr_segments: 13,
        id: 5,
        sector_number: 1024,
        ..RequestIndirect::default()
    };
    indirect.indirect_grefs[0] = 299;
    world.request(&indirect);
    finish(&mut queue);
    let discard: RequestDiscard =
        RequestDiscard { operation: OP_DISCARD, id: 6, nr_sectors: 8, ..Default::default() };
    world.request(&discard);
    // Refused one by one: beyond the end, an unknown operation, a page that was not granted.
    world.request(&transfer(OP_READ, 7, SECTORS - 7, &[9]));
    world.request(&transfer(99, 8, 0, &[9]));
    world.request(&transfer(OP_WRITE, 9, 0, &[999]));
    finish(&mut queue);
    let mut responses = world.responses();
    responses.sort_unstable();
    let right = [0, 0, 0, 0, 0, 0, RSP_ERROR, RSP_EOPNOTSUPP, RSP_ERROR];
    assert_eq!(responses, (1..).zip(right).collect::<Vec<(u64, i16)>>());
    let disk = world.disk();
    assert!(disk[..4096] == [0; 4096] && disk[4096..8192] == [9; 4096]);
    assert!(disk[1024 * 512..][..4096] == [21; 4096] && disk[1024 * 512 + 12 * 4096..][..4096] == [33; 4096]);
    assert!(world.pages.0.borrow()[&9] == [9; 4096]);
}

#[test]
fn a_ring_that_claims_too_much_is_broken() {
    let world = World::new();
    let mut queue = world.serve(false);
    world.shared.word(REQ_PROD).store(SIZE + 1, std::sync::atomic::Ordering::Release);
    assert_eq!(queue.begin(), Err(Overrun { claimed: SIZE + 1 }));
    world.shared.word(REQ_PROD).store(u32::MAX, std::sync::atomic::Ordering::Release);
    assert_eq!(queue.begin(), Err(Overrun { claimed: u32::MAX }));
}

/// What happens next: requests come, a daemon does a step, or it is killed and another one starts.
#[derive(Clone, Copy, Debug)]
enum Event {
    Requests(u32),
    Begin,
    Wait,
    Push,
    Kill,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (1..6u32).prop_map(Event::Requests),
        Just(Event::Begin),
        Just(Event::Wait),
        Just(Event::Push),
        Just(Event::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_request_is_answered_once_however_often_the_daemon_dies(
        events in prop::collection::vec(event(), 1..60),
    ) {
        let mut world = World::new();
        let mut queue = world.serve(false);
        let others = [0, 1].map(|_| eventfd(0, EventfdFlags::NONBLOCK).unwrap());
        let mut answered = Vec::new();
        let mut model = vec![0u8; SECTORS as usize * 512];
        for event in events {
            match event {
                Event::Requests(count) => {
                    answered.extend(world.responses());
                    for _ in 0..count.min(SIZE - (world.produced - world.seen)) {
                        let number = world.produced;
                        // Places that no two requests under way share.
                        let sector = u64::from(number % SIZE) * 8;
                        let fill = number as u8 | 1;
                        world.pages.0.borrow_mut().insert(number % SIZE, vec![fill; 4096]);
                        model[sector as usize * 512..][..4096].fill(fill);
                        let barrier = number % 5 == 4;
                        let operation = if barrier { OP_WRITE_BARRIER } else { OP_WRITE };
                        world.request(&transfer(operation, number.into(), sector, &[number % SIZE]));
                    }
                }
                Event::Begin => queue.begin().unwrap(),
                // Whatever is done by now.
                Event::Wait => for done in queue.engine.wait(others.each_ref().map(AsFd::as_fd), false).unwrap() {
                    queue.finish(done);
                },
                Event::Push => drop(queue.push()),
                Event::Kill => {
                    drop(queue);
                    queue = world.serve(true);
                }
            }
        }
        while world.responses_left(&mut answered) {
            finish(&mut queue);
        }
        let mut ids: Vec<u64> = answered.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        prop_assert_eq!(ids, (0..u64::from(world.produced)).collect::<Vec<_>>());
        prop_assert!(answered.iter().all(|(_, status)| *status == RSP_OKAY));
        prop_assert!(world.disk() == model);
    }
}

impl World {
    /// Takes what is new; whether there are requests without an answer.
    fn responses_left(&mut self, answered: &mut Vec<(u64, i16)>) -> bool {
        answered.extend(self.responses());
        self.seen != self.produced
    }
}
