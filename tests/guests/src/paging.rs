//! Pages that the hypervisor is told about, and a window in which a test maps what it likes.
#![allow(unsafe_code, reason = "raw pages and page tables")]

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::cpu;

pub const PAGE: u64 = 4096;
/// Bits of a page table entry.
pub const PRESENT: u64 = 1;
pub const WRITABLE: u64 = 2;
pub const USER: u64 = 4;
pub const UNCACHED: u64 = 0x10;
pub const NO_EXECUTE: u64 = 1 << 63;

/// An address in no half of the address space. Its low 48 bits lead nowhere, either: Xen looks at no others.
pub const NON_CANONICAL: u64 = 0x8000_7fff_ffff_e000;
/// An address that is never mapped.
pub const UNMAPPED: u64 = 0x7fff_ffff_e000;

const COUNT: usize = 320;

#[repr(C, align(4096))]
struct Pool(UnsafeCell<[[u8; 4096]; COUNT]>);

// SAFETY: pages are handed out once each, and accessed through raw pointers only.
unsafe impl Sync for Pool {}

static POOL: Pool = Pool(UnsafeCell::new([[0; 4096]; COUNT]));
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A page of RAM, zero at first, that is never given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page(u64);

impl Page {
    /// A new page.
    ///
    /// # Panics
    /// If there are no more, which fails the test.
    #[must_use]
    pub fn new() -> Self {
        let index = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(index < COUNT, "a guest has {COUNT} pages to spare");
        Self(POOL.0.get().addr() as u64 + index as u64 * PAGE)
    }

    /// `COUNT` new pages in a row.
    #[must_use]
    pub fn run(count: usize) -> Self {
        let index = NEXT.fetch_add(count, Ordering::Relaxed);
        assert!(index + count <= COUNT, "a guest has {COUNT} pages to spare");
        Self(POOL.0.get().addr() as u64 + index as u64 * PAGE)
    }

    /// The page at an address that the caller knows to be usable.
    #[must_use]
    pub const fn at(address: u64) -> Self {
        Self(address & !0xfff)
    }

    /// Its address: linear and guest-physical.
    #[must_use]
    pub const fn address(self) -> u64 {
        self.0
    }

    /// Its guest frame number.
    #[must_use]
    pub const fn gfn(self) -> u64 {
        self.0 / PAGE
    }

    /// Reads a value, which may lie anywhere in the page.
    #[must_use]
    pub fn get<T: hypercall_abi::Plain>(self, offset: u64) -> T {
        assert!(offset as usize + size_of::<T>() <= 4096);
        // SAFETY: within a mapped page, and any bytes are a `T`.
        unsafe { ((self.0 + offset) as *const T).read_volatile() }
    }

    /// Writes a value.
    pub fn set<T: hypercall_abi::Plain>(self, offset: u64, value: T) {
        assert!(offset as usize + size_of::<T>() <= 4096);
        // SAFETY: within a mapped page that no reference points into.
        unsafe { ((self.0 + offset) as *mut T).write_volatile(value) }
    }

    /// A word of the page for atomic accesses.
    #[must_use]
    pub fn word(self, offset: u64) -> &'static AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset < PAGE);
        // SAFETY: aligned, within a page that lives for ever and that others change only atomically.
        unsafe { AtomicU64::from_ptr((self.0 + offset) as *mut u64) }
    }

    /// Fills the page with a byte.
    pub fn fill(self, byte: u8) {
        // SAFETY: as for `set`.
        unsafe { core::ptr::write_bytes(self.0 as *mut u8, byte, 4096) }
    }
}

impl Default for Page {
    fn default() -> Self {
        Self::new()
    }
}

/// Where the window is: 512 pages, unmapped at first.
pub const WINDOW: u64 = 1 << 39;

unsafe extern "C" {
    static mut guest_window_pt: [u64; 512];
}

/// Maps page `index` of the window to a guest-physical address with the given bits (0 unmaps it); returns its
/// linear address.
pub fn map(index: usize, physical: u64, bits: u64) -> u64 {
    assert!(index < 512);
    // SAFETY: in bounds; the processor reads the entry too, at any time.
    unsafe { (&raw mut guest_window_pt[index]).write_volatile(physical & !0xfff | bits) };
    cpu::flush_tlb();
    WINDOW + index as u64 * PAGE
}

/// The window's page table entry, as the processor has left it.
#[must_use]
pub fn entry(index: usize) -> u64 {
    assert!(index < 512);
    // SAFETY: as in `map`.
    unsafe { (&raw const guest_window_pt[index]).read_volatile() }
}
