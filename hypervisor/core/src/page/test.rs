//! Pages of the simulated machine.

use super::GuestPage;
use crate::frame::PAGE_SIZE;
use std::sync::{Arc, Mutex, PoisonError};
use std::vec;
use std::vec::Vec;

/// A page for host tests. Clones share the bytes, so that a test plays the guest.
#[derive(Clone, Debug)]
pub struct TestPage(Arc<Mutex<Vec<u8>>>);

impl Default for TestPage {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(vec![0; PAGE_SIZE])))
    }
}

impl TestPage {
    fn with<R>(&self, offset: usize, len: usize, f: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f(&mut bytes[offset..offset + len])
    }

    fn update32(&self, offset: usize, f: impl FnOnce(u32) -> u32) -> u32 {
        assert_eq!(offset % 4, 0, "misaligned word");
        self.with(offset, 4, |b| {
            let old = u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            b.copy_from_slice(&f(old).to_le_bytes());
            old
        })
    }

    fn update64(&self, offset: usize, f: impl FnOnce(u64) -> u64) -> u64 {
        assert_eq!(offset % 8, 0, "misaligned word");
        self.with(offset, 8, |b| {
            let old = u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
            b.copy_from_slice(&f(old).to_le_bytes());
            old
        })
    }
}

impl GuestPage for TestPage {
    fn load32(&self, offset: usize) -> u32 {
        self.update32(offset, |v| v)
    }
    fn store32(&self, offset: usize, value: u32) {
        self.update32(offset, |_| value);
    }
    fn compare_exchange32(&self, offset: usize, current: u32, new: u32) -> Result<u32, u32> {
        let old = self.update32(offset, |v| if v == current { new } else { v });
        if old == current { Ok(old) } else { Err(old) }
    }
    fn fetch_or32(&self, offset: usize, bits: u32) -> u32 {
        self.update32(offset, |v| v | bits)
    }
    fn fetch_and32(&self, offset: usize, bits: u32) -> u32 {
        self.update32(offset, |v| v & bits)
    }
    fn load64(&self, offset: usize) -> u64 {
        self.update64(offset, |v| v)
    }
    fn store64(&self, offset: usize, value: u64) {
        self.update64(offset, |_| value);
    }
    fn read(&self, offset: usize, into: &mut [u8]) {
        self.with(offset, into.len(), |b| into.copy_from_slice(b));
    }
    fn write(&self, offset: usize, from: &[u8]) {
        self.with(offset, from.len(), |b| b.copy_from_slice(from));
    }
}
