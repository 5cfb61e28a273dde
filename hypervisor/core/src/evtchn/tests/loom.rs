//! Every interleaving of the hypervisor that sends with a guest that takes, masks and unmasks on another CPU.
//!
//! x86 orders a locked instruction before every later access. Loom knows that of fences only, so each
//! read-modify-write has one behind it.

use std::sync::Arc;
use std::vec::Vec;

use loom::sync::atomic::{AtomicU32, Ordering, fence};
use loom::thread;

use crate::evtchn::{Config, EventChannels};
use crate::ids::{DomId, Port, VcpuId};
use crate::page::GuestPage;

/// The words of a page that the test uses.
#[derive(Clone, Debug)]
struct Words(Arc<Vec<AtomicU32>>);

impl Words {
    fn new(words: usize) -> Self {
        Self(Arc::new((0..words).map(|_| AtomicU32::new(0)).collect()))
    }

    fn locked(&self, offset: usize, f: impl FnOnce(&AtomicU32) -> u32) -> u32 {
        let old = f(&self.0[offset / 4]);
        fence(Ordering::SeqCst);
        old
    }
}

impl GuestPage for Words {
    fn load32(&self, offset: usize) -> u32 {
        self.0[offset / 4].load(Ordering::Acquire)
    }
    fn store32(&self, offset: usize, value: u32) {
        self.0[offset / 4].store(value, Ordering::Release);
    }
    fn compare_exchange32(&self, _: usize, _: u32, _: u32) -> Result<u32, u32> {
        unreachable!("delivery has no loops")
    }
    fn fetch_or32(&self, offset: usize, bits: u32) -> u32 {
        self.locked(offset, |word| word.fetch_or(bits, Ordering::AcqRel))
    }
    fn fetch_and32(&self, offset: usize, bits: u32) -> u32 {
        self.locked(offset, |word| word.fetch_and(bits, Ordering::AcqRel))
    }
    fn load64(&self, _: usize) -> u64 {
        unreachable!()
    }
    fn store64(&self, _: usize, _: u64) {
        unreachable!()
    }
    fn read(&self, _: usize, _: &mut [u8]) {
        unreachable!()
    }
    fn write(&self, _: usize, _: &[u8]) {
        unreachable!()
    }
}

const PENDING: u32 = 1 << 31;
const MASKED: u32 = 1 << 30;
const LINKED: u32 = 1 << 29;
const LINK: u32 = (1 << 17) - 1;

/// The guest's side of one FIFO queue on vCPU 0.
struct Fifo {
    shared: Words,
    control: Words,
    array: Words,
    head: u32,
    taken: Vec<u32>,
}

impl Fifo {
    /// Takes an upcall if there is one. `limit` bounds the events taken in one go, so that the model stays finite.
    fn upcall(&mut self, limit: usize) {
        if self.shared.fetch_and32(0, !0xff) & 0xff == 0 {
            return;
        }
        let mut ready = self.control.fetch_and32(0, 0);
        for _ in 0..limit {
            if ready == 0 {
                return;
            }
            if self.head == 0 {
                self.head = self.control.load32(8 + 4 * 7);
            }
            let (port, at) = (self.head, self.head as usize * 4);
            let old = self.array.fetch_and32(at, !(LINKED | LINK));
            assert_ne!(old & LINKED, 0, "port {port} is queued but not linked");
            self.head = old & LINK;
            if self.head == 0 {
                ready = 0;
            }
            if self.array.load32(at) & (PENDING | MASKED) == PENDING {
                self.array.fetch_and32(at, !PENDING);
                self.taken.push(port);
            }
            ready |= self.control.fetch_and32(0, 0);
        }
        assert_eq!(ready, 0, "more events than were sent");
    }
}

fn table(shared: Words) -> EventChannels<Words> {
    EventChannels::new(Config { dom: DomId(1), max_port: Port(3), vcpus: 1, shared_info: shared }).unwrap()
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    loom::model(f);
}

#[test]
fn no_event_is_lost_between_appending_and_consuming() {
    model(|| {
        let (shared, control, array) = (Words::new(8), Words::new(18), Words::new(4));
        let mut table = table(shared.clone());
        table.init_control(VcpuId(0), control.clone(), 0).unwrap();
        let _ = table.expand_array(array.clone()).unwrap();
        let (a, b) = (table.bind_ipi(VcpuId(0)).unwrap(), table.bind_ipi(VcpuId(0)).unwrap());
        let mut guest = Fifo { shared, control, array, head: 0, taken: Vec::new() };
        table.route(a).unwrap();
        let taker = thread::spawn(move || {
            guest.upcall(4);
            guest
        });
        table.route(b).unwrap();
        table.route(a).unwrap();
        let mut guest = taker.join().unwrap();
        guest.upcall(4);
        assert!(guest.taken.contains(&a.0) && guest.taken.contains(&b.0));
        assert!(!table.is_pending(a) && !table.is_pending(b), "an event is left and nobody was told");
    });
}

#[test]
fn no_event_is_lost_between_unmasking_and_sending() {
    model(|| {
        let (shared, control, array) = (Words::new(8), Words::new(18), Words::new(4));
        let mut table = table(shared.clone());
        table.init_control(VcpuId(0), control.clone(), 0).unwrap();
        let _ = table.expand_array(array.clone()).unwrap();
        let port = table.bind_ipi(VcpuId(0)).unwrap();
        let at = port.0 as usize * 4;
        array.fetch_or32(at, MASKED);
        let mut guest = Fifo { shared, control, array, head: 0, taken: Vec::new() };
        let taker = thread::spawn(move || {
            guest.upcall(2);
            // Unmasked in place when nothing is pending; else it is the hypercall's business.
            let word = &guest.array.0[port.0 as usize];
            let idle = |w: u32| (w & PENDING == 0).then_some(w & !MASKED);
            let done = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, idle).is_ok();
            fence(Ordering::SeqCst);
            (guest, done)
        });
        table.route(port).unwrap();
        let (mut guest, done) = taker.join().unwrap();
        if !done {
            let _ = table.unmask(port).unwrap();
        }
        guest.upcall(2);
        assert_eq!(guest.taken, [port.0]);
    });
}

#[test]
fn no_event_is_lost_in_the_2_level_abi() {
    model(|| {
        // Up to the first mask word: `shared_info.evtchn_mask` begins at byte 2560.
        let shared = Words::new(2560 / 4 + 1);
        let mut table = table(shared.clone());
        let port = table.bind_ipi(VcpuId(0)).unwrap();
        let bit = 1 << port.0;
        shared.store32(2560, bit);
        let page = shared.clone();
        let taker = thread::spawn(move || {
            page.fetch_and32(2560, !bit);
            // A guest that finds the event while unmasking takes it at once.
            if page.load32(2048) & bit != 0 { page.fetch_and32(2048, !bit) & bit } else { 0 }
        });
        table.route(port).unwrap();
        let taken = taker.join().unwrap() != 0;
        let told = shared.load32(0) & 0xff != 0 && shared.load32(8) != 0;
        assert!(taken || told && table.is_pending(port));
    });
}
