//! Scheduling as a guest asks for it (`public/sched.h`): `sched_op(op, argument)`.

use crate::layout::{constants, structs};

constants! {
    /// Lets others run; no argument.
    OP_YIELD: u32 = 0, "SCHEDOP_yield";
    /// Waits for an event, with events enabled; no argument.
    OP_BLOCK: u32 = 1, "SCHEDOP_block";
    /// [`Shutdown`] of the caller's domain.
    OP_SHUTDOWN: u32 = 2, "SCHEDOP_shutdown";
    /// [`Poll`].
    OP_POLL: u32 = 3, "SCHEDOP_poll";
    /// [`RemoteShutdown`].
    OP_REMOTE_SHUTDOWN: u32 = 4, "SCHEDOP_remote_shutdown";
    /// Sets the reason that a later shutdown reports: a [`Shutdown`].
    OP_SHUTDOWN_CODE: u32 = 5, "SCHEDOP_shutdown_code";
    /// [`Watchdog`].
    OP_WATCHDOG: u32 = 6, "SCHEDOP_watchdog";
    /// [`PinOverride`].
    OP_PIN_OVERRIDE: u32 = 7, "SCHEDOP_pin_override";

    /// The domain ended.
    SHUTDOWN_POWEROFF: u32 = 0, "SHUTDOWN_poweroff";
    /// The domain wants to start again.
    SHUTDOWN_REBOOT: u32 = 1, "SHUTDOWN_reboot";
    /// The domain is ready to be saved.
    SHUTDOWN_SUSPEND: u32 = 2, "SHUTDOWN_suspend";
    /// The domain crashed.
    SHUTDOWN_CRASH: u32 = 3, "SHUTDOWN_crash";
    /// The domain's watchdog ran out.
    SHUTDOWN_WATCHDOG: u32 = 4, "SHUTDOWN_watchdog";
    /// The domain wants its state to be reset, memory kept.
    SHUTDOWN_SOFT_RESET: u32 = 5, "SHUTDOWN_soft_reset";
    /// The highest reason.
    SHUTDOWN_MAX: u32 = 5, "SHUTDOWN_MAX";
}

structs! {
    /// Ends the caller's domain.
    struct Shutdown = "struct sched_shutdown" {
        /// `SHUTDOWN_*`.
        reason: u32,
    }

    /// Waits until one of some ports is pending, or for a time.
    struct Poll<A> = "struct sched_poll" {
        /// Array of ports (`u32`).
        ports: A::Handle,
        /// Its length.
        nr_ports: u32,
        _pad: A::Pick<[u8; 4], [u8; 0]>,
        /// Absolute system time in ns; 0 means no limit.
        timeout: A::U64,
    }

    /// Ends another domain.
    struct RemoteShutdown = "struct sched_remote_shutdown" {
        /// The domain.
        domain_id: u16,
        _pad: [u8; 2],
        /// `SHUTDOWN_*`.
        reason: u32,
    }

    /// Sets, feeds or stops a watchdog.
    struct Watchdog = "struct sched_watchdog" {
        /// Which one; 0 asks for a new one.
        id: u32,
        /// Seconds until it acts; 0 stops it.
        timeout: u32,
    }

    /// Pins the calling vCPU to a physical CPU for a while.
    struct PinOverride = "struct sched_pin_override" {
        /// The CPU; negative ends it.
        pcpu: i32,
    }
}
