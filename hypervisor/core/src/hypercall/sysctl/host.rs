//! The machine's size and its features.

use hypercall_abi::abi::Word;
use hypercall_abi::arch as words;
use hypercall_abi::start_info::MEMMAP_TYPE_RAM;
use hypercall_abi::sysctl::{AvailHeap, PhysCap, PhysInfo};

use super::topology::shape;
use super::{Call, Machine, Result, refuse};
use crate::cpuid::Regs;
use crate::frame::{PAGE_SHIFT, PAGE_SIZE};

/// Words of a feature set.
pub(super) const WORDS: usize = words::FEATURESET_E21C + 1;

pub(super) fn physinfo<M: Machine>(call: &Call<'_, M>) -> PhysInfo {
    let machine = call.hv.machine;
    let features = feature_words(|leaf, subleaf| machine.cpuid(leaf, subleaf));
    let (threads_per_core, cores_per_socket) = shape(machine);
    PhysInfo {
        threads_per_core,
        cores_per_socket,
        nr_cpus: call.hv.online().0.count_ones(),
        max_cpu_id: machine.cpus().saturating_sub(1),
        nr_nodes: 1,
        max_node_id: 0,
        cpu_khz: (machine.tsc_scale().hz / 1000) as u32,
        capabilities: PhysCap::HVM | PhysCap::HAP | PhysCap::GNTTAB_V1 | PhysCap::GNTTAB_V2,
        total_pages: ram_pages(machine),
        outstanding_pages: machine.table().claimed(None),
        free_pages: machine.table().free_frames(),
        max_mfn: machine.table().end().0.saturating_sub(1),
        hw_cap: features.first_chunk().copied().unwrap_or_default(),
        ..PhysInfo::default()
    }
}

/// The RAM that the firmware reports.
pub(super) fn ram_pages(machine: impl Machine) -> u64 {
    let ram = machine.memory_map().iter().filter(|entry| entry.kind == MEMMAP_TYPE_RAM);
    ram.fold(0, |sum, entry| sum + (entry.size.get() >> PAGE_SHIFT))
}

/// The words of Xen's feature set, in its order, from CPUID.
pub(super) fn feature_words(leaf: impl Fn(u32, u32) -> Regs) -> [u32; WORDS] {
    let [max, ..] = leaf(0, 0);
    let [max_extended, ..] = leaf(0x8000_0000, 0);
    let basic = |number, subleaf| if number <= max { leaf(number, subleaf) } else { [0; 4] };
    let extended = |number| if number <= max_extended { leaf(number, 0) } else { [0; 4] };
    let structured = |subleaf| if subleaf <= basic(7, 0)[0] { basic(7, subleaf) } else { [0; 4] };
    let mut set = [0; WORDS];
    for (index, value) in [
        (words::FEATURESET_1D, basic(1, 0)[3]),
        (words::FEATURESET_1C, basic(1, 0)[2]),
        (words::FEATURESET_E1D, extended(0x8000_0001)[3]),
        (words::FEATURESET_E1C, extended(0x8000_0001)[2]),
        (words::FEATURESET_DA1, basic(0xd, 1)[0]),
        (words::FEATURESET_7B0, structured(0)[1]),
        (words::FEATURESET_7C0, structured(0)[2]),
        (words::FEATURESET_E7D, extended(0x8000_0007)[3]),
        (words::FEATURESET_E8B, extended(0x8000_0008)[1]),
        (words::FEATURESET_7D0, structured(0)[3]),
        (words::FEATURESET_7A1, structured(1)[0]),
        (words::FEATURESET_E21A, extended(0x8000_0021)[0]),
        (words::FEATURESET_7B1, structured(1)[1]),
        (words::FEATURESET_7D2, structured(2)[3]),
        (words::FEATURESET_7D1, structured(1)[3]),
        (words::FEATURESET_E21C, extended(0x8000_0021)[2]),
    ] {
        set[index] = value;
    }
    set
}

/// Memory is not kept apart by address width, so a limit to it cannot be answered.
pub(super) fn availheap<M: Machine>(call: &Call<'_, M>, op: &mut AvailHeap) -> Result<()> {
    if op.min_bitwidth != 0 || op.max_bitwidth != 0 {
        refuse!(EOPNOTSUPP, "free memory of {} to {} address bits", op.min_bitwidth, op.max_bitwidth);
    }
    op.avail_bytes = match op.node {
        -1 | 0 => call.hv.machine.table().free_frames() * PAGE_SIZE as u64,
        _ => 0,
    };
    Ok(())
}
