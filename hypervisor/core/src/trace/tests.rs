use std::iter::repeat_with;
use std::vec;
use std::vec::Vec;

use hypercall_abi::abi::{Handle64, X64};
use hypercall_abi::errno::Errno;
use hypercall_abi::memory::{ADD_TO_PHYSMAP_BATCH, AddToPhysmapBatch, MAPSPACE_GMFN_FOREIGN};
use hypercall_abi::sysctl::{self, TbufOp};
use hypercall_abi::vcpu::{RUNSTATE_BLOCKED, RUNSTATE_RUNNABLE, RUNSTATE_RUNNING};
use hypercall_abi::xen as nr;
use proptest::prelude::*;

use super::*;
use crate::hypercall::rig::*;
use crate::ids::CpuId;
use crate::machine::CpuMask;
use crate::machine::test::TestMachine;
use crate::p2m::PageType;
use crate::page::TestPage;
use crate::run::run;

const CONS: usize = 0;
const PROD: usize = 4;

/// Reads a ring as the tools do: takes whole records and says how far it got.
struct Reader<P> {
    pages: Vec<P>,
    cons: u32,
}

impl<P: GuestPage> Reader<P> {
    fn word(&self, at: u32) -> u32 {
        let at = abi::Ring::of_pages(self.pages.len()).place(at);
        self.pages[at / 4096].load32(at % 4096)
    }

    /// Event, time, further words of each record.
    fn take(&mut self) -> Vec<(u32, u64, Vec<u32>)> {
        let ring = abi::Ring::of_pages(self.pages.len());
        let (mut at, prod) = (self.cons, self.pages[0].load32(PROD));
        let mut records = Vec::new();
        while at != prod {
            let head = self.word(at);
            let extra = head >> abi::EXTRA_SHIFT & abi::EXTRA_MAX;
            let timed = if head & abi::CYCLE_FLAG != 0 { 2 } else { 0 };
            let words: Vec<u32> = (1..=timed + extra).map(|i| self.word(ring.advance(at, 4 * i))).collect();
            if head << 4 >> 4 == abi::WRAP_BUFFER {
                assert_eq!(ring.to_end(at), 4 + 4 * (timed + extra), "a filler ends at the ring's end");
            } else {
                let tsc = u64::from(words[0]) | u64::from(words[1]) << 32;
                records.push((head << 4 >> 4, tsc, words[2..].to_vec()));
            }
            at = ring.advance(at, 4 + 4 * (timed + extra));
        }
        self.cons = prod;
        self.pages[0].store32(CONS, prod);
        records
    }
}

fn ring(pages: usize) -> (Ring, Reader<TestPage>) {
    (Ring::new(), Reader { pages: repeat_with(TestPage::default).take(pages).collect(), cons: 0 })
}

proptest! {
    /// Every record is read as it was written, in order, or counted as lost at its place.
    #[test]
    fn nothing_is_lost_unsaid(pages in 1_usize..3, steps in prop::collection::vec((0_u32..4, 1_usize..700), 1..60)) {
        let (ring, mut reader) = ring(pages);
        let (mut next, mut expected) = (1_u64, 1_u64);
        for (kind, count) in steps {
            for _ in 0..count {
                let word = next as u32;
                match kind {
                    0 => ring.record(&reader.pages, 0x1000, next, []),
                    1 => ring.record(&reader.pages, 0x1001, next, [word]),
                    2 => ring.record(&reader.pages, 0x1002, next, [word, !word, word]),
                    _ => ring.record(&reader.pages, 0x1003, next, [word; 5]),
                }
                next += 1;
            }
            for (event, tsc, extra) in reader.take() {
                if event == abi::LOST_RECORDS {
                    prop_assert_eq!(u64::from(extra[2]), expected, "the first that was lost");
                    expected += u64::from(extra[0]);
                } else {
                    prop_assert_eq!(tsc, expected);
                    prop_assert_eq!(extra.len(), [0, 1, 3, 5][(event & 3) as usize]);
                    prop_assert!(extra.first().is_none_or(|word| *word == tsc as u32));
                    expected += 1;
                }
            }
        }
        // What is not read yet is lost, and the next record says so.
        ring.record(&reader.pages, 0x1000, next, []);
        let lost = reader.take().iter().filter(|r| r.0 == abi::LOST_RECORDS).map(|r| r.2[0]).sum::<u32>();
        prop_assert_eq!(expected + u64::from(lost), next);
    }

    /// Whatever the reader says and writes, records go into the pages and nowhere else, and in time.
    #[test]
    fn a_lying_reader_harms_itself(lies in prop::collection::vec((any::<u32>(), 0_usize..1024, any::<u32>()), 1..200)) {
        let (ring, reader) = ring(2);
        for (cons, place, word) in lies {
            reader.pages[place % 2].store32(4 * place, word);
            reader.pages[0].store32(CONS, cons);
            (0..20).for_each(|i| ring.record(&reader.pages, 0x1002, i, [1, 2, 3]));
        }
        // Once it is honest again, so is the ring.
        let mut reader = reader;
        reader.cons = ring.prod.load(Relaxed);
        reader.pages[0].store32(PROD, reader.cons);
        reader.pages[0].store32(CONS, reader.cons);
        ring.record(&reader.pages, 0x1001, 7, [9]);
        let records = reader.take();
        prop_assert_eq!(records.last(), Some(&(0x1001, 7, vec![9])));
    }
}

fn tbuf(rig: &Rig, cmd: u32, size: u32) -> Result<TbufOp, i64> {
    rig.sysctl(sysctl::TBUF_OP, TbufOp { cmd, size, evt_mask: abi::SCHED, ..TbufOp::default() })
}

/// The ring of a CPU, found as the tools find it.
fn find(rig: &Rig, info: u64, cpu: usize) -> Reader<FrameRef<TestMachine>> {
    let info = rig.machine.trace().page(Mfn(info)).expect("the information page");
    let half = |i: usize| {
        let mut bytes = [0; 2];
        info.read(2 * i, &mut bytes);
        usize::from(u16::from_le_bytes(bytes))
    };
    let mfn = |i: usize| Mfn(info.load32(4 * (half(1 + cpu) + i)).into());
    let pages = (0..half(0)).map(|i| rig.machine.trace().page(mfn(i)).expect("a page of a ring"));
    Reader { pages: pages.collect(), cons: 0 }
}

/// Lets the control domain's vCPU ask for the version on CPU 2 and then halt.
fn run_a_while(rig: &Rig) {
    rig.hv.sched.set_affinity(&rig.control.vcpu, CpuMask(1 << 2));
    rig.hv.sched.wake(&rig.control.vcpu);
    rig.machine.become_cpu(CpuId(2));
    let vcpu = rig.hv.sched.pick().expect("a vCPU to run");
    {
        let guest = &mut vcpu.context.lock().guest;
        guest.script = [Exit::Hypercall, Exit::Halt].into();
        guest.gprs_mut().rip = 0x1000;
        guest.gprs_mut().rflags = 1 << 9;
        guest.gprs_mut().set(Gpr::Rax, nr::HYPERCALL_XEN_VERSION.into());
    }
    let deadline = run(&rig.hv, &vcpu);
    rig.hv.sched.put(vcpu, deadline);
    rig.machine.become_cpu(CpuId(0));
}

fn runstate(from: u32, to: u32) -> u32 {
    abi::SCHED_RUNSTATE_CHANGE | from << 8 | to << 4
}

#[test]
fn the_control_domain_traces() {
    let rig = Rig::new();
    assert_eq!(tbuf(&rig, sysctl::TBUFOP_ENABLE, 0), Err(no(Errno::EINVAL)), "no buffers yet");
    assert_eq!(tbuf(&rig, sysctl::TBUFOP_GET_INFO, 0).unwrap().buffer_mfn, 0);
    tbuf(&rig, sysctl::TBUFOP_SET_SIZE, 3).unwrap();
    let free = rig.holdings().0;
    tbuf(&rig, sysctl::TBUFOP_SET_SIZE, 5).unwrap();
    assert_eq!(rig.holdings().0, free, "they keep their size");
    let info = tbuf(&rig, sysctl::TBUFOP_GET_INFO, 0).unwrap();
    assert_eq!((info.size, info.evt_mask), (4096, abi::ALL));
    let mut readers: Vec<_> = (0..4).map(|cpu| find(&rig, info.buffer_mfn, cpu)).collect();
    assert!(readers.iter().all(|reader| reader.pages.len() == 3));

    run_a_while(&rig);
    assert!(readers.iter_mut().all(|reader| reader.take().is_empty()), "tracing is off");

    tbuf(&rig, sysctl::TBUFOP_ENABLE, 0).unwrap();
    rig.machine.advance(77);
    run_a_while(&rig);
    let now = rig.machine.tsc().0;
    let seen = [
        (runstate(RUNSTATE_RUNNABLE, RUNSTATE_RUNNING), now, vec![0]),
        (abi::HVM_VMENTRY, now, vec![]),
        (abi::HVM_VMEXIT64, now, vec![3, 0x1000, 0]),
        (abi::HVM_VMMCALL, now, vec![nr::HYPERCALL_XEN_VERSION]),
        (abi::HVM_VMENTRY, now, vec![]),
        (abi::HVM_VMEXIT64, now, vec![4, 0x1003, 0]),
        (runstate(RUNSTATE_RUNNING, RUNSTATE_BLOCKED), now, vec![0]),
    ];
    assert_eq!(readers[2].take(), seen);
    assert_eq!(
        readers[0].take(),
        [(runstate(RUNSTATE_BLOCKED, RUNSTATE_RUNNABLE), now, vec![0])],
        "who woke it"
    );

    tbuf(&rig, sysctl::TBUFOP_SET_EVT_MASK, 0).unwrap();
    run_a_while(&rig);
    assert_eq!(readers[2].take().len(), 2, "the scheduler's only");
    tbuf(&rig, sysctl::TBUFOP_DISABLE, 0).unwrap();
    run_a_while(&rig);
    assert!(readers[2].take().is_empty());
    assert_eq!(tbuf(&rig, sysctl::TBUFOP_SET_CPU_MASK, 0), Err(no(Errno::EOPNOTSUPP)));
}

#[test]
fn only_trace_pages_and_only_for_the_control_domain() {
    let rig = Rig::new();
    tbuf(&rig, sysctl::TBUFOP_SET_SIZE, 1).unwrap();
    let info = tbuf(&rig, sysctl::TBUFOP_GET_INFO, 0).unwrap().buffer_mfn;
    let guest = rig.guest(1);
    let map = |caller: &Caller, idx: u64| {
        let errs = caller.put(&7_i32);
        let mut batch = AddToPhysmapBatch::<X64> {
            domid: nr::DOMID_SELF,
            space: MAPSPACE_GMFN_FOREIGN as u16,
            size: 1,
            foreign_domid: nr::DOMID_XEN,
            idxs: Handle64::from_raw(caller.put(&idx)),
            gpfns: Handle64::from_raw(caller.put(&0x9000_u64)),
            errs: Handle64::from_raw(errs),
        };
        assert_eq!(rig.op(caller, nr::HYPERCALL_MEMORY_OP, ADD_TO_PHYSMAP_BATCH, &mut batch), 0);
        i64::from(caller.get::<i32>(errs))
    };
    assert_eq!(map(&guest, info), no(Errno::EPERM));
    for other in [0, info + 1_000_000, u64::MAX, rig.control.domain().shared_info.mfn().0] {
        assert_eq!(map(&rig.control, other), no(Errno::EFAULT), "frame {other:#x}");
    }
    assert_eq!(map(&rig.control, info), 0);
    let entry = rig.control.domain().memory.lookup(Gfn(0x9000)).expect("mapped");
    assert_eq!((entry.mfn, entry.kind), (Mfn(info), PageType::Foreign));
    assert_eq!(rig.control.get::<u16>(0x9000 << 12), 1, "pages of each buffer");
}
