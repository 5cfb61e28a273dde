//! The ring against a guest that keeps the rules, and against one that does not.

use std::cell::RefCell;
use std::sync::atomic::AtomicU32;

use proptest::prelude::*;

use super::*;

struct TestPage {
    bytes: RefCell<[u8; 3072]>,
    words: [AtomicU32; 4],
}

impl TestPage {
    fn new(counters: [u32; 4]) -> Self {
        Self { bytes: RefCell::new([0; 3072]), words: counters.map(AtomicU32::new) }
    }
}

impl SharedPage for TestPage {
    fn word(&self, offset: usize) -> &AtomicU32 {
        &self.words[(offset - IN_CONS) / 4]
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.bytes.borrow()[offset..offset + bytes.len()]);
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        self.bytes.borrow_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

/// The guest's side: writes as much as fits, as Linux does.
fn guest_writes(ring: &Ring<TestPage>, bytes: &[u8]) -> usize {
    let page = &ring.0;
    let (cons, mut prod) =
        (page.word(OUT_CONS).load(Ordering::Relaxed), page.word(OUT_PROD).load(Ordering::Relaxed));
    let mut written = 0;
    while written < bytes.len() && prod.wrapping_sub(cons) < OUT_SIZE {
        page.write(OUT + (prod % OUT_SIZE) as usize, &bytes[written..=written]);
        prod = prod.wrapping_add(1);
        written += 1;
    }
    page.word(OUT_PROD).store(prod, Ordering::Relaxed);
    written
}

fn guest_reads(ring: &Ring<TestPage>) -> Vec<u8> {
    let page = &ring.0;
    let (mut cons, prod) =
        (page.word(IN_CONS).load(Ordering::Relaxed), page.word(IN_PROD).load(Ordering::Relaxed));
    let mut bytes = Vec::new();
    while cons != prod {
        let mut byte = [0];
        page.read((cons % IN_SIZE) as usize, &mut byte);
        bytes.extend(byte);
        cons = cons.wrapping_add(1);
    }
    page.word(IN_CONS).store(cons, Ordering::Relaxed);
    bytes
}

proptest! {
    #[test]
    fn output_arrives_in_order(
        start: u32,
        steps in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..3000), 0_usize..3000), 1..20),
    ) {
        let ring = Ring(TestPage::new([0, 0, start, start]));
        let (mut sent, mut got) = (Vec::new(), Vec::new());
        for (bytes, limit) in steps {
            let written = guest_writes(&ring, &bytes);
            sent.extend_from_slice(&bytes[..written]);
            prop_assert!(ring.take(limit, &mut got).unwrap() <= limit);
        }
        ring.take(usize::MAX, &mut got).unwrap();
        prop_assert_eq!(sent, got);
    }

    #[test]
    fn input_arrives_in_order(
        start: u32,
        steps in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1500), 1..20),
    ) {
        let ring = Ring(TestPage::new([start, start, 0, 0]));
        let (mut sent, mut got) = (Vec::new(), Vec::new());
        for bytes in steps {
            let given = ring.give(&bytes);
            sent.extend_from_slice(&bytes[..given]);
            got.extend(guest_reads(&ring));
        }
        prop_assert_eq!(sent, got);
    }

    #[test]
    fn a_lying_guest_gets_nowhere(counters: [u32; 4], bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        let ring = Ring(TestPage::new(counters));
        let mut got = Vec::new();
        match ring.take(usize::MAX, &mut got) {
            Ok(count) => prop_assert!(count <= OUT_SIZE as usize && got.len() == count),
            Err(Overrun { claimed }) => prop_assert!(claimed > OUT_SIZE && got.is_empty()),
        }
        prop_assert_eq!(ring.take(usize::MAX, &mut got), Ok(0), "consistent afterwards");
        prop_assert!(ring.give(&bytes) <= IN_SIZE as usize);
    }
}
