//! A vCPU's registers as save records (`public/arch-x86/hvm/save.h`), there and back.

use hypercall_abi::hvm::{HwCpu, HwCpuFlags, HwMtrr};
use hypercall_abi::plain::Plain;

use super::{Machine, Result, ensure, refuse};
use crate::domain::Context;
use crate::guest_cpu::{Gpr, Gprs, GuestCpu, Segment, SystemState};

const RFLAGS_SET: u64 = 2;
const RFLAGS_KNOWN: u64 = 0x3f_7fd7;
const ATTRIBUTES: u32 = 0xfff;
/// Memory types: UC, WC, WT, WP, WB, and UC- in PAT only.
const MEMORY_TYPES: [u8; 5] = [0, 1, 4, 5, 6];
const PAT_UC_MINUS: u8 = 7;
/// MTRRs on, fixed ranges on, default type.
const MTRR_DEF_TYPE_KNOWN: u64 = 0xcff;

/// The other registers by their names in the record and in [`SystemState`].
macro_rules! system_registers {
    ($with:ident) => {
        $with! {
            cr0: cr0, cr2: cr2, cr3: cr3, cr4: cr4, msr_efer: efer, dr6: dr6, dr7: dr7,
            msr_star: entry.star, msr_lstar: entry.lstar, msr_cstar: entry.cstar, msr_syscall_mask: entry.sfmask,
            shadow_gs: entry.kernel_gs_base, sysenter_cs: entry.sysenter_cs, sysenter_esp: entry.sysenter_esp,
            sysenter_eip: entry.sysenter_eip,
        }
    };
}

/// The segments with the record's field names.
macro_rules! segments {
    ($with:ident) => {
        $with! {
            cs: cs_sel cs_limit cs_base cs_arbytes,
            ds: ds_sel ds_limit ds_base ds_arbytes,
            es: es_sel es_limit es_base es_arbytes,
            fs: fs_sel fs_limit fs_base fs_arbytes,
            gs: gs_sel gs_limit gs_base gs_arbytes,
            ss: ss_sel ss_limit ss_base ss_arbytes,
            tr: tr_sel tr_limit tr_base tr_arbytes,
            ldtr: ldtr_sel ldtr_limit ldtr_base ldtr_arbytes,
        }
    };
}

/// The record of a stopped vCPU. Floating-point state and DR0 to DR3 stay with the vCPU: the record says that they are
/// in their initial state.
pub(super) fn save_cpu<M: Machine>(context: &Context<M>, tsc: u64) -> HwCpu {
    let gprs = *context.guest.gprs();
    let system = context.guest.system();
    let mut record = HwCpu::zeroed();
    macro_rules! save_gprs {
        ($($field:ident: $reg:ident,)*) => { $(record.$field = gprs.get(Gpr::$reg);)* };
    }
    gprs!(save_gprs);
    record.rip = gprs.rip;
    record.rflags = gprs.rflags;
    macro_rules! save_segments {
        ($($seg:ident: $sel:ident $limit:ident $base:ident $attributes:ident,)*) => {
            $(
                let segment = system.segments.$seg;
                record.$sel = segment.selector.into();
                record.$limit = segment.limit;
                record.$base = segment.base;
                record.$attributes = segment.attributes.into();
            )*
        };
    }
    segments!(save_segments);
    (record.gdtr_base, record.gdtr_limit) = (system.segments.gdtr.base, system.segments.gdtr.limit);
    (record.idtr_base, record.idtr_limit) = (system.segments.idtr.base, system.segments.idtr.limit);
    macro_rules! save_system {
        ($($field:ident: $($reg:ident).+,)*) => { $(record.$field = system.$($reg).+;)* };
    }
    system_registers!(save_system);
    record.tsc = tsc;
    record
}

/// The registers that a record describes, whether or not a CPU can have them. `pat` is not in it and stays.
pub(super) fn load_cpu(record: &HwCpu, pat: u64) -> Result<(Gprs, SystemState)> {
    check_cpu(record)?;
    let mut gprs =
        Gprs { rip: record.rip, rflags: record.rflags & RFLAGS_KNOWN | RFLAGS_SET, ..Gprs::default() };
    macro_rules! load_gprs {
        ($($field:ident: $reg:ident,)*) => { $(gprs.set(Gpr::$reg, record.$field);)* };
    }
    gprs!(load_gprs);
    let mut system = SystemState { pat, ..SystemState::default() };
    let table = |base, limit| Segment { base, limit: limit & 0xffff, ..Segment::default() };
    system.segments.gdtr = table(record.gdtr_base, record.gdtr_limit);
    system.segments.idtr = table(record.idtr_base, record.idtr_limit);
    macro_rules! load_system {
        ($($field:ident: $($reg:ident).+,)*) => { $(system.$($reg).+ = record.$field;)* };
    }
    system_registers!(load_system);
    macro_rules! load_segments {
        ($($seg:ident: $sel:ident $limit:ident $base:ident $attributes:ident,)*) => {
            $(system.segments.$seg = Segment {
                selector: record.$sel as u16,
                attributes: (record.$attributes & ATTRIBUTES) as u16,
                limit: record.$limit,
                base: record.$base,
            };)*
        };
    }
    segments!(load_segments);
    Ok((gprs, system))
}

/// Refuses state that this record can carry and a vCPU here cannot.
fn check_cpu(record: &HwCpu) -> Result<()> {
    let flags = record.flags;
    if flags.contains(HwCpuFlags::FPU_INITIALISED)
        || [record.dr0, record.dr1, record.dr2, record.dr3, record.msr_tsc_aux] != [0; 5]
        || record.pending_event != 0
    {
        refuse!(
            EOPNOTSUPP,
            "a CPU record with FPU state, breakpoints, TSC_AUX or a pending event: domains cannot be moved"
        );
    }
    ensure!(flags.is_empty() && record.pad0 == 0, EINVAL, "flags {:#x} in a CPU record", flags.bits());
    Ok(())
}

pub(super) fn save_mtrr<M: Machine>(context: &Context<M>) -> HwMtrr {
    HwMtrr { msr_pat_cr: context.guest.system().pat, ..context.msrs.mtrrs() }
}

pub(super) fn load_mtrr<M: Machine>(context: &mut Context<M>, record: &HwMtrr) -> Result<()> {
    let is_type = |byte: &u8| MEMORY_TYPES.contains(byte);
    let pat = record.msr_pat_cr.to_le_bytes();
    if !pat.iter().all(|byte| is_type(byte) || *byte == PAT_UC_MINUS) {
        refuse!(EINVAL, "PAT = {:#x} in an MTRR record", record.msr_pat_cr);
    }
    let default = record.msr_mtrr_def_type;
    if default & !MTRR_DEF_TYPE_KNOWN != 0 || !is_type(&(default as u8)) {
        refuse!(EINVAL, "MTRR default type {default:#x} in an MTRR record");
    }
    if !record.msr_mtrr_fixed.iter().all(|ranges| ranges.to_le_bytes().iter().all(is_type)) {
        refuse!(EINVAL, "an unknown memory type in an MTRR record");
    }
    let mut system = context.guest.system();
    system.pat = record.msr_pat_cr;
    context.guest.set_system(&system);
    context.msrs.set_mtrrs(record);
    Ok(())
}
