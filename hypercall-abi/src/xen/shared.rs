//! What guest and hypervisor share for good: the shared info page, per-vCPU info, time.
//!
//! The hypervisor never forms one of these over shared memory: they give offsets, and the shape of copies.

use super::PvclockFlags;
use crate::abi::Abi;
use crate::layout::structs;

structs! {
    /// A vCPU's clock: system time in ns is
    /// `system_time + ((tsc - tsc_timestamp) << tsc_shift) * tsc_to_system_mul >> 32`.
    struct VcpuTimeInfo = "struct vcpu_time_info" {
        /// Odd while an update is under way; changes with every update.
        version: u32,
        /// Zero.
        pad0: u32,
        /// The TSC at the last update.
        tsc_timestamp: u64,
        /// The system time at the last update, in ns.
        system_time: u64,
        /// Multiplier of the shifted TSC difference, a 32-bit binary fraction.
        tsc_to_system_mul: u32,
        /// Left shift of the TSC difference; right if negative.
        tsc_shift: i8,
        /// Properties of the clock.
        flags: PvclockFlags,
        /// Zero.
        pad1: [u8; 2],
    }

    /// The architecture's part of a [`VcpuInfo`] (`public/arch-x86/xen-x86_*.h`); used by PV guests.
    struct ArchVcpuInfo<A> = "struct arch_vcpu_info" {
        /// The address of a page fault.
        cr2: A::Ulong,
        /// Zero.
        pad: A::Pick<[u64; 1], [u32; 5]>,
    }

    /// What hypervisor and guest share about one vCPU. 64 bytes in both layouts.
    struct VcpuInfo<A> = "struct vcpu_info" {
        /// Not 0: an upcall is due.
        evtchn_upcall_pending: u8,
        /// PV guests' interrupt flag.
        evtchn_upcall_mask: u8,
        _pad: A::Pick<[u8; 6], [u8; 2]>,
        /// Which words of `SharedInfo::evtchn_pending` have something for this vCPU.
        evtchn_pending_sel: A::Ulong,
        /// The architecture's part.
        arch: ArchVcpuInfo<A>,
        /// The vCPU's clock.
        time: VcpuTimeInfo,
    }

    /// The architecture's part of the [`SharedInfo`] (`public/arch-x86/xen.h`).
    struct ArchSharedInfo<A> = "struct arch_shared_info" {
        /// Entries of the guest's p2m list.
        max_pfn: A::Ulong,
        /// The frame of the list of lists of the p2m; 0 or all ones if there is none.
        pfn_to_mfn_frame_list_list: A::Ulong,
        /// Why there was an NMI.
        nmi_reason: A::Ulong,
        /// CR3 under which `p2m_vaddr` is valid; 0 if the next two are unused.
        p2m_cr3: A::Ulong,
        /// The p2m list's linear address.
        p2m_vaddr: A::Ulong,
        /// Odd while the guest changes the p2m list.
        p2m_generation: A::Ulong,
        /// In the 32-bit layout, the wall clock's high half. See [`SharedInfo::wc_sec_hi_offset`].
        _pad_wc_sec_hi: A::Pick<[u32; 0], u32>,
    }

    /// The shared info page of a domain.
    struct SharedInfo<A> = "struct shared_info" {
        /// The first vCPUs' information.
        vcpu_info: [VcpuInfo<A>; 32],
        /// 2-level event channels: which ports are pending.
        evtchn_pending: A::Pick<[u64; 64], [u32; 32]>,
        /// 2-level event channels: which ports are masked.
        evtchn_mask: A::Pick<[u64; 64], [u32; 32]>,
        /// Odd while the wall clock is updated.
        wc_version: u32,
        /// Seconds since 1970 at system time 0, low half.
        wc_sec: u32,
        /// Nanoseconds of the wall clock.
        wc_nsec: u32,
        /// The high half in the 64-bit layout. See [`SharedInfo::wc_sec_hi_offset`].
        _pad_wc_sec_hi: A::Pick<u32, [u32; 0]>,
        /// The architecture's part.
        arch: ArchSharedInfo<A>,
    }

    /// One call of a multicall.
    struct MulticallEntry<A> = "struct multicall_entry" {
        /// The hypercall's number.
        op: A::Ulong,
        /// Its result.
        result: A::Ulong,
        /// Its arguments.
        args: [A::Ulong; 6],
    }

    /// A bitmap of a domctl or sysctl caller.
    struct CtlBitmap = "struct xenctl_bitmap" {
        /// The bytes, least significant bit first.
        bitmap: crate::abi::Handle64,
        /// How many bits the buffer has room for.
        nr_bits: u32,
        _pad: [u8; 4],
    }
}

const _: () = {
    use crate::abi::{X32, X64};
    assert!(size_of::<VcpuInfo<X64>>() == 64 && size_of::<VcpuInfo<X32>>() == 64);
    assert!(size_of::<SharedInfo<X64>>() == 3136 && size_of::<SharedInfo<X32>>() == 2344);
};

impl<A: Abi> SharedInfo<A> {
    /// Where the wall clock's high half lies, in bytes from the start: the 32-bit layout has it at its end.
    #[must_use]
    pub const fn wc_sec_hi_offset() -> usize {
        match A::BITS {
            32 => {
                core::mem::offset_of!(Self, arch) + core::mem::offset_of!(ArchSharedInfo<A>, _pad_wc_sec_hi)
            }
            _ => core::mem::offset_of!(Self, _pad_wc_sec_hi),
        }
    }
}
