//! The first vCPU's registers at the PVH entry, as the records that `sethvmcontext` takes.
//!
//! The entry (docs/misc/pvh.pandoc of Xen) is 32-bit protected mode with flat segments, paging off, interrupts
//! off, and the address of the start information in EBX.

use hypercall_abi::Plain;
use hypercall_abi::hvm::{
    HwCpu, SAVE_CODE_END, SAVE_MAGIC, SAVE_VERSION, SaveDescriptor, SaveHeader, SaveRecord,
};

/// CR0: protected mode; extension type, which is always set.
const CR0: u64 = 1 | 1 << 4;
/// Reserved bits of DR6 and DR7 that read as ones.
const DR6: u64 = 0xffff_0ff0;
const DR7: u64 = 0x400;
/// RFLAGS: the bit that is always set.
const RFLAGS: u64 = 2;
/// Segment attributes: a present, flat, 4 GiB, 32-bit code and data segment, and a busy 32-bit task.
const CODE: u32 = 0xc9b;
const DATA: u32 = 0xc93;
const TASK: u32 = 0x8b;
const FLAT: u32 = u32::MAX;
const TASK_LIMIT: u32 = 0x67;

/// The records that start a vCPU at `entry` with `start_info` in EBX. `cpuid1_eax` is the CPU's signature,
/// which the header carries.
#[must_use]
pub fn records(entry: u64, start_info: u64, cpuid1_eax: u32) -> Vec<u8> {
    let header =
        SaveHeader { magic: SAVE_MAGIC, version: SAVE_VERSION, cpuid: cpuid1_eax, ..SaveHeader::default() };
    let cpu = HwCpu {
        rip: entry,
        rbx: start_info,
        rflags: RFLAGS,
        cr0: CR0,
        dr6: DR6,
        dr7: DR7,
        cs_limit: FLAT,
        ds_limit: FLAT,
        es_limit: FLAT,
        ss_limit: FLAT,
        tr_limit: TASK_LIMIT,
        cs_arbytes: CODE,
        ds_arbytes: DATA,
        es_arbytes: DATA,
        ss_arbytes: DATA,
        tr_arbytes: TASK,
        ..HwCpu::default()
    };
    let mut records = Vec::new();
    add(&mut records, &header);
    add(&mut records, &cpu);
    let end = SaveDescriptor { typecode: SAVE_CODE_END, instance: 0, length: 0 };
    records.extend_from_slice(end.as_bytes());
    records
}

fn add<R: SaveRecord>(records: &mut Vec<u8>, record: &R) {
    let descriptor = SaveDescriptor { typecode: R::CODE, instance: 0, length: size_of::<R>() as u32 };
    records.extend_from_slice(descriptor.as_bytes());
    records.extend_from_slice(record.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_are_a_header_a_cpu_and_an_end() {
        let records = records(0x100_0000, 0x5000, 7);
        let mut rest = records.as_slice();
        let mut codes = Vec::new();
        while let Some(descriptor) = SaveDescriptor::read_from(rest) {
            rest = &rest[size_of::<SaveDescriptor>()..];
            if descriptor.typecode == HwCpu::CODE {
                let cpu = HwCpu::read_from(rest).unwrap();
                assert_eq!((cpu.rip, cpu.rbx, cpu.cr0), (0x100_0000, 0x5000, 0x11));
            }
            rest = &rest[descriptor.length as usize..];
            codes.push(descriptor.typecode);
        }
        assert_eq!((codes, rest.len()), (vec![1, 2, 0], 0));
    }
}
