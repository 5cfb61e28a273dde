//! Descriptor tables: a GDT and a TSS for each CPU, one IDT for all.
#![allow(unsafe_code, reason = "loads descriptor tables")]

use alloc::boxed::Box;
use core::arch::global_asm;
use core::ops::Range;

use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, FS, GS, SS, Segment};
use x86_64::instructions::tables::{lidt, load_tss};
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::idt::{Entry, HandlerFunc};
use x86_64::structures::tss::TaskStateSegment;

global_asm!(include_str!("vectors.s"));

/// The exceptions that run on stacks of their own: NMI, double fault, machine check.
pub const EMERGENCIES: [usize; 3] = [2, 8, 18];

/// The code segment's selector; segments of data are null.
pub const CODE: SegmentSelector = SegmentSelector::new(1, x86_64::PrivilegeLevel::Ring0);
/// The task state segment's selector.
pub const TASK: SegmentSelector = SegmentSelector::new(2, x86_64::PrivilegeLevel::Ring0);

type Idt = [Entry<HandlerFunc>; 256];
/// The null entry, a code segment, and a TSS, which takes two.
pub type Gdt = GlobalDescriptorTable<4>;

static IDT: Once<Idt> = Once::new();

unsafe extern "C" {
    /// The entry of vector 0; the others follow every [`STUB_BYTES`].
    static interrupt_stubs: [u8; 0];
}

const STUB_BYTES: u64 = 16;

/// Makes a CPU's GDT and TSS, with these stacks for [`EMERGENCIES`].
pub fn gdt(stacks: &[Range<u64>; EMERGENCIES.len()]) -> Gdt {
    let mut tss = TaskStateSegment::new();
    for (slot, stack) in stacks.iter().enumerate() {
        tss.interrupt_stack_table[slot] = VirtAddr::new_truncate(stack.end);
    }
    let mut gdt = Gdt::empty();
    gdt.append(Descriptor::kernel_code_segment());
    gdt.append(Descriptor::tss_segment(Box::leak(Box::new(tss))));
    gdt
}

/// Loads the tables on the CPU that runs this.
///
/// # Safety
/// Once per CPU, with a GDT that [`gdt`] made and only this CPU uses. GS is zero afterwards.
pub unsafe fn load(gdt: &'static Gdt) {
    gdt.load();
    // SAFETY: the selectors are those of the entries that `gdt` made, in its order.
    unsafe {
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

/// Loads the IDT. Before a CPU has its own tables this already gets faults reported, as long as its code segment is
/// [`CODE`]; exceptions with stacks of their own need the rest.
pub fn load_idt() {
    let base = VirtAddr::from_ptr(IDT.call_once(idt));
    // SAFETY: the table lives for good and has an entry for every vector.
    unsafe { lidt(&DescriptorTablePointer { limit: size_of::<Idt>() as u16 - 1, base }) };
}

fn idt() -> Idt {
    let first = &raw const interrupt_stubs as u64;
    core::array::from_fn(|vector| {
        let mut entry = Entry::missing();
        let stub = VirtAddr::new_truncate(first + vector as u64 * STUB_BYTES);
        // SAFETY: each stub is an entry for its own vector; it runs on whatever stack it is given, and the numbered
        // stacks exist on every CPU.
        unsafe {
            let options = entry.set_handler_addr(stub);
            if let Some(stack) = EMERGENCIES.iter().position(|own| *own == vector) {
                options.set_stack_index(stack as u16);
            }
        }
        entry
    })
}
