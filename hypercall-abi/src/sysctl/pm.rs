//! Power management of the CPUs.

use crate::abi::Handle64;
use crate::layout::{constants, structs};
use crate::plain::Union;

constants! {
    /// [`GetPmStat::kind`]: how many performance states.
    PMSTAT_GET_MAX_PX: u32 = 0x11, "PMSTAT_get_max_px";
    /// [`GetPmStat::kind`]: a [`PxStat`].
    PMSTAT_GET_PXSTAT: u32 = 0x12, "PMSTAT_get_pxstat";
    /// [`GetPmStat::kind`]: starts counting anew.
    PMSTAT_RESET_PXSTAT: u32 = 0x13, "PMSTAT_reset_pxstat";
    /// [`GetPmStat::kind`]: how many sleep states.
    PMSTAT_GET_MAX_CX: u32 = 0x21, "PMSTAT_get_max_cx";
    /// [`GetPmStat::kind`]: a [`CxStat`].
    PMSTAT_GET_CXSTAT: u32 = 0x22, "PMSTAT_get_cxstat";
    /// [`GetPmStat::kind`]: starts counting anew.
    PMSTAT_RESET_CXSTAT: u32 = 0x23, "PMSTAT_reset_cxstat";

    /// [`PmOp::cmd`]: frequency scaling.
    GET_CPUFREQ_PARA: u32 = 0x11, "GET_CPUFREQ_PARA";
    /// [`PmOp::cmd`]: chooses a governor.
    SET_CPUFREQ_GOV: u32 = 0x12, "SET_CPUFREQ_GOV";
    /// [`PmOp::cmd`]: sets a parameter.
    SET_CPUFREQ_PARA: u32 = 0x13, "SET_CPUFREQ_PARA";
    /// [`PmOp::cmd`]: the mean frequency (`u64`), kHz.
    GET_CPUFREQ_AVGFREQ: u32 = 0x14, "GET_CPUFREQ_AVGFREQ";
    /// [`PmOp::cmd`]: second threads run last.
    PM_OP_SET_SCHED_OPT_SMT: u32 = 0x21, "XEN_SYSCTL_pm_op_set_sched_opt_smt";
    /// [`PmOp::cmd`]: the deepest sleep state allowed.
    PM_OP_GET_MAX_CSTATE: u32 = 0x22, "XEN_SYSCTL_pm_op_get_max_cstate";
    /// [`PmOp::cmd`]: sets it.
    PM_OP_SET_MAX_CSTATE: u32 = 0x23, "XEN_SYSCTL_pm_op_set_max_cstate";
    /// [`PmOp::cmd`]: frequencies above the nominal one.
    PM_OP_ENABLE_TURBO: u32 = 0x26, "XEN_SYSCTL_pm_op_enable_turbo";
    /// [`PmOp::cmd`]: none of them.
    PM_OP_DISABLE_TURBO: u32 = 0x27, "XEN_SYSCTL_pm_op_disable_turbo";
    /// No limit to sleep states.
    CX_UNLIMITED: u32 = !0, "XEN_SYSCTL_CX_UNLIMITED";
}

structs! {
    /// A performance state.
    struct PxVal = "struct pm_px_val" {
        /// Megahertz.
        freq: u64,
        /// Nanoseconds in it.
        residency: u64,
        /// How often it was entered.
        count: u64,
    }

    /// Performance states.
    struct PxStat = "struct pm_px_stat" {
        /// How many.
        total: u8,
        /// How many may be used.
        usable: u8,
        /// The last one.
        last: u8,
        /// This one.
        cur: u8,
        _pad: [u8; 4],
        /// Array of transitions (`u64`), states × states.
        trans_pt: Handle64,
        /// Array of [`PxVal`].
        pt: Handle64,
    }

    /// Sleep states.
    struct CxStat = "struct pm_cx_stat" {
        /// How many.
        nr: u32,
        /// The last one.
        last: u32,
        /// Nanoseconds idle.
        idle_time: u64,
        /// Array of how often each was entered (`u64`).
        triggers: Handle64,
        /// Array of nanoseconds in each (`u64`).
        residencies: Handle64,
        /// In: room for package states; out: how many.
        nr_pc: u32,
        /// In: room for core states; out: how many.
        nr_cc: u32,
        /// Array of package residencies (`u64`).
        pc: Handle64,
        /// Array of core residencies (`u64`).
        cc: Handle64,
    }

    /// Asks what a CPU did.
    struct GetPmStat = "struct xen_sysctl_get_pmstat" {
        /// In: `PMSTAT_*`.
        kind: u32 = "type",
        /// In: the CPU.
        cpuid: u32,
        /// A [`PxStat`], a [`CxStat`] or a number (`u32`).
        u: Union<[u64; 7]>,
    }

    /// Frequency scaling of a CPU; frequencies in kHz.
    struct GetCpufreqPara = "struct xen_get_cpufreq_para" {
        cpu_num: u32,
        freq_num: u32,
        gov_num: u32,
        _pad0: [u8; 4],
        affected_cpus: Handle64,
        scaling_available_frequencies: Handle64,
        scaling_available_governors: Handle64,
        scaling_driver: [u8; 16],
        cpuinfo_cur_freq: u32,
        cpuinfo_max_freq: u32,
        cpuinfo_min_freq: u32,
        scaling_cur_freq: u32,
        scaling_governor: [u8; 16],
        scaling_max_freq: u32,
        scaling_min_freq: u32,
        /// The governor's parameters.
        u: Union<[u32; 4]>,
        turbo_enabled: i32,
        _pad1: [u8; 4],
    }

    /// Power management of a CPU.
    struct PmOp = "struct xen_sysctl_pm_op" {
        /// In: the command.
        cmd: u32,
        /// In: the CPU.
        cpuid: u32,
        /// As the command has it.
        u: Union<[u64; 15]>,
    }
}
