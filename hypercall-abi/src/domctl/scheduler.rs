//! How a domain's vCPUs are scheduled.

use crate::abi::Handle64;
use crate::layout::{constants, flags, structs};
use crate::plain::Union;

constants! {
    /// The credit scheduler.
    SCHEDULER_CREDIT: u32 = 5, "XEN_SCHEDULER_CREDIT";
    /// The credit2 scheduler.
    SCHEDULER_CREDIT2: u32 = 6, "XEN_SCHEDULER_CREDIT2";
    /// The ARINC 653 scheduler.
    SCHEDULER_ARINC653: u32 = 7, "XEN_SCHEDULER_ARINC653";
    /// The real-time scheduler.
    SCHEDULER_RTDS: u32 = 8, "XEN_SCHEDULER_RTDS";
    /// The null scheduler.
    SCHEDULER_NULL: u32 = 9, "XEN_SCHEDULER_NULL";
    /// [`SchedulerOp::cmd`]: sets the domain's parameters.
    SCHEDOP_PUTINFO: u32 = 0, "XEN_DOMCTL_SCHEDOP_putinfo";
    /// [`SchedulerOp::cmd`]: reads the domain's parameters.
    SCHEDOP_GETINFO: u32 = 1, "XEN_DOMCTL_SCHEDOP_getinfo";
    /// [`SchedulerOp::cmd`]: sets vCPUs' parameters.
    SCHEDOP_PUTVCPUINFO: u32 = 2, "XEN_DOMCTL_SCHEDOP_putvcpuinfo";
    /// [`SchedulerOp::cmd`]: reads vCPUs' parameters.
    SCHEDOP_GETVCPUINFO: u32 = 3, "XEN_DOMCTL_SCHEDOP_getvcpuinfo";
}

flags! {
    /// [`SchedRtds::flags`].
    struct RtdsFlags: u32 {
        /// May use more than its budget.
        const EXTRA = 1 << 0, "XEN_DOMCTL_SCHEDRT_extra";
    }
}

structs! {
    /// Parameters of the credit scheduler.
    struct SchedCredit = "struct xen_domctl_sched_credit" {
        /// Share; 256 is normal.
        weight: u16,
        /// Percent of a CPU at most; 0 means no limit.
        cap: u16,
    }

    /// Parameters of the credit2 scheduler.
    struct SchedCredit2 = "struct xen_domctl_sched_credit2" {
        /// Share; 256 is normal.
        weight: u16,
        /// Percent of a CPU at most; 0 means no limit.
        cap: u16,
    }

    /// Parameters of the real-time scheduler.
    struct SchedRtds = "struct xen_domctl_sched_rtds" {
        /// Microseconds.
        period: u32,
        /// Microseconds.
        budget: u32,
        flags: RtdsFlags,
    }

    /// Parameters of a vCPU.
    struct SchedParamVcpu = "struct xen_domctl_schedparam_vcpu" {
        /// As the scheduler has them.
        u: Union<[u32; 3]>,
        vcpuid: u32,
    }

    /// Reads or sets scheduling parameters.
    struct SchedulerOp = "struct xen_domctl_scheduler_op" {
        /// `SCHEDULER_*`.
        sched_id: u32,
        /// `SCHEDOP_*`.
        cmd: u32,
        /// A [`SchedCredit`], [`SchedCredit2`], [`SchedRtds`] or [`SchedVcpus`].
        u: Union<[u64; 2]>,
    }

    /// vCPUs with their parameters.
    struct SchedVcpus = "typeof(((struct xen_domctl_scheduler_op *)0)->u.v)" {
        /// Array of [`SchedParamVcpu`].
        vcpus: Handle64,
        nr_vcpus: u32,
        padding: u32,
    }
}
