//! Descriptor tables: a GDT and a TSS for each CPU, one IDT for all.
#![allow(unsafe_code, reason = "loads descriptor tables")]

use core::arch::global_asm;
use core::cell::UnsafeCell;

use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, FS, GS, SS, Segment};
use x86_64::instructions::tables::{lgdt, load_tss};
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::idt::InterruptDescriptorTable;
use x86_64::structures::tss::TaskStateSegment;

use super::percpu::EMERGENCY_STACKS;

global_asm!(include_str!("vectors.s"));

/// Exceptions that run on stacks of their own, in the order of the interrupt stack table.
const NMI: u8 = 2;
const DOUBLE_FAULT: u8 = 8;
const MACHINE_CHECK: u8 = 18;

/// The code segment's selector; segments of data are null.
pub const CODE: SegmentSelector = SegmentSelector::new(1, x86_64::PrivilegeLevel::Ring0);
/// The task state segment's selector.
pub const TASK: SegmentSelector = SegmentSelector::new(2, x86_64::PrivilegeLevel::Ring0);

static IDT: Once<InterruptDescriptorTable> = Once::new();

unsafe extern "C" {
    /// The entry of vector 0; the others follow every [`STUB_BYTES`].
    static interrupt_stubs: [u8; 0];
}

const STUB_BYTES: u64 = 16;

/// A CPU's GDT and TSS.
pub struct Tables {
    /// The CPU itself marks the TSS busy in here.
    gdt: UnsafeCell<[u64; 4]>,
    tss: TaskStateSegment,
}

impl Tables {
    /// Tables with these emergency stacks, to be [linked](Self::link) where they stay.
    pub fn new(tops: [u64; EMERGENCY_STACKS]) -> Self {
        let mut tss = TaskStateSegment::new();
        for (slot, top) in tops.into_iter().enumerate() {
            tss.interrupt_stack_table[slot] = VirtAddr::new_truncate(top);
        }
        Self { gdt: UnsafeCell::new([0; 4]), tss }
    }

    /// Writes the GDT, which holds the TSS's address: these tables move no more.
    pub fn link(&mut self) {
        let mut gdt = GlobalDescriptorTable::<4>::empty();
        gdt.append(Descriptor::kernel_code_segment());
        // SAFETY: only the address is used here.
        gdt.append(unsafe { Descriptor::tss_segment_unchecked(&raw const self.tss) });
        for (slot, entry) in self.gdt.get_mut().iter_mut().zip(gdt.entries()) {
            *slot = entry.raw();
        }
    }

    /// Loads the tables on the CPU that runs this.
    ///
    /// # Safety
    /// Once per CPU, with linked tables that only this CPU uses. GS is zero afterwards.
    pub unsafe fn load(&'static self) {
        let pointer = DescriptorTablePointer {
            limit: size_of::<[u64; 4]>() as u16 - 1,
            base: VirtAddr::from_ptr(self.gdt.get()),
        };
        // SAFETY: the table lives for good, and the selectors are those of the entries that `link` made.
        unsafe {
            lgdt(&pointer);
            CS::set_reg(CODE);
            SS::set_reg(SegmentSelector::NULL);
            DS::set_reg(SegmentSelector::NULL);
            ES::set_reg(SegmentSelector::NULL);
            FS::set_reg(SegmentSelector::NULL);
            GS::set_reg(SegmentSelector::NULL);
            load_tss(TASK);
        }
        load_idt();
    }
}

/// Loads the IDT. Before a CPU has its own tables this already gets faults reported, as long as its code segment is
/// [`CODE`]; exceptions with stacks of their own need the rest.
pub fn load_idt() {
    IDT.call_once(idt).load();
}

fn idt() -> InterruptDescriptorTable {
    let mut idt = InterruptDescriptorTable::new();
    let first = &raw const interrupt_stubs as u64;
    let stub = |vector: u8| VirtAddr::new_truncate(first + u64::from(vector) * STUB_BYTES);
    // SAFETY: each stub is an entry for its own vector; it runs on whatever stack it is given, and the numbered
    // stacks exist on every CPU.
    unsafe {
        macro_rules! set {
            ($($field:ident = $vector:expr),* $(,)?) => { $(idt.$field.set_handler_addr(stub($vector));)* };
        }
        set!(
            divide_error = 0,
            debug = 1,
            breakpoint = 3,
            overflow = 4,
            bound_range_exceeded = 5,
            invalid_opcode = 6,
            device_not_available = 7,
            invalid_tss = 10,
            segment_not_present = 11,
            stack_segment_fault = 12,
            general_protection_fault = 13,
            page_fault = 14,
            x87_floating_point = 16,
            alignment_check = 17,
            simd_floating_point = 19,
            virtualization = 20,
            cp_protection_exception = 21,
        );
        idt.non_maskable_interrupt.set_handler_addr(stub(NMI)).set_stack_index(0);
        idt.double_fault.set_handler_addr(stub(DOUBLE_FAULT)).set_stack_index(1);
        idt.machine_check.set_handler_addr(stub(MACHINE_CHECK)).set_stack_index(2);
        for vector in 32..=255u8 {
            idt[vector].set_handler_addr(stub(vector));
        }
    }
    idt
}
