//! The page below 1 MiB through which CPUs start.
#![allow(unsafe_code, reason = "writes code and page tables for CPUs that start")]

use core::arch::global_asm;
use core::ptr;

use tenon_core::frame::{Maddr, Mfn, PAGE_SIZE};
use tenon_core::frames::Zone;
use tenon_core::memory_map::{Kind, MemoryMap};

use crate::cpu::{Cpu, features};
use crate::mm::{direct, paging, phys};

global_asm!(include_str!("trampoline.s"), options(att_syntax));

unsafe extern "C" {
    static trampoline_start: [u8; 0];
    static trampoline_words: [u8; 0];
    static trampoline_end: [u8; 0];
}

/// Below this, the video memory begins.
const LOW_END: u64 = 0xa_0000;
const EFER_LME: u64 = 1 << 8;
const EFER_NXE: u64 = 1 << 11;
const PRESENT_WRITABLE: u64 = 3;
const PRESENT: u64 = 1;

/// The words in the trampoline that are filled in.
#[repr(C)]
struct Words {
    root: u64,
    efer: u64,
    stack: u64,
    cpu: u64,
    entry: u64,
}

/// The trampoline, set up.
pub struct Trampoline {
    page: Maddr,
    words: *mut Words,
    tables: [Mfn; 4],
}

/// The highest page of low RAM that nobody uses.
pub fn choose_page(usage: &MemoryMap) -> Option<Maddr> {
    let page = PAGE_SIZE as u64;
    usage.of_kind(Kind::LowMemory).rev().find_map(|low| {
        let start = low.end.0.min(LOW_END).checked_sub(page)? & !(page - 1);
        (start >= low.start.0.max(page)).then_some(Maddr(start))
    })
}

impl Trampoline {
    /// Copies the trampoline to `page` and makes its page tables: the hypervisor's own, plus the page where it is.
    /// `None` if there is no memory for them.
    ///
    /// # Safety
    /// `page` is RAM below 1 MiB that nobody else uses while the trampoline exists.
    pub unsafe fn new(page: Maddr, entry: extern "C" fn(&'static Cpu) -> !) -> Option<Self> {
        let start = (&raw const trampoline_start).cast::<u8>();
        let len = &raw const trampoline_end as usize - start as usize;
        let words_offset = &raw const trampoline_words as usize - start as usize;
        let base = direct::pointer(page);
        // The top table must be where 32-bit code can name it; the others need not, but they are few.
        let mut tables = [Mfn(0); 4];
        for table in &mut tables {
            *table = phys::alloc(0, Zone::Low)?;
        }
        // SAFETY: the tables are fresh frames of ours; the hypervisor's top table is only read.
        unsafe {
            let level = |index: usize| direct::pointer(tables[index].addr()).cast::<u64>();
            (0..4).for_each(|index| level(index).write_bytes(0, 512));
            let kernel = direct::pointer(paging::root()).cast::<u64>();
            ptr::copy_nonoverlapping(kernel.add(256), level(0).add(256), 256);
            for index in 0..3 {
                level(index).write(tables[index + 1].addr().0 | PRESENT_WRITABLE);
            }
            // Executable here, hence not writable; the words are written through the direct map.
            level(3).add((page.0 >> 12) as usize).write(page.0 | PRESENT);
        }
        let efer = EFER_LME | if features().nx { EFER_NXE } else { 0 };
        // SAFETY: the page is ours (the caller's promise) and mapped; the code fits a page, and the words are
        // 8-byte aligned in it.
        let words = unsafe {
            ptr::copy_nonoverlapping(start, base, len);
            let words = base.add(words_offset).cast::<Words>();
            let (root, entry) = (tables[0].addr().0, entry as usize as u64);
            words.write(Words { root, efer, stack: 0, cpu: 0, entry });
            words
        };
        Some(Self { page, words, tables })
    }

    /// The number that a STARTUP message carries.
    pub fn startup_page(&self) -> u8 {
        (self.page.0 >> 12) as u8
    }

    /// Makes `cpu` the one that starts next.
    pub fn prepare(&mut self, cpu: &'static Cpu) {
        // SAFETY: the words are ours; no CPU is in the trampoline between two starts.
        unsafe {
            (&raw mut (*self.words).stack).write_volatile(cpu.stack.end);
            (&raw mut (*self.words).cpu).write_volatile(ptr::from_ref(cpu) as u64);
        }
    }

    /// Wipes the page and frees the tables.
    ///
    /// # Safety
    /// No CPU is in the trampoline or may still come there: all that were sent have arrived.
    pub unsafe fn finish(self) {
        // SAFETY: the caller's promise.
        unsafe {
            ptr::write_bytes(direct::pointer(self.page), 0, PAGE_SIZE);
            for table in self.tables {
                phys::free(table, 0);
            }
        }
    }
}
