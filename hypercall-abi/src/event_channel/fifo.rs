//! FIFO event channels: one word per port and one control block per vCPU, both in guest memory.

use crate::layout::{constants, structs};

constants! {
    /// The first priority.
    FIFO_PRIORITY_MAX: u32 = 0, "EVTCHN_FIFO_PRIORITY_MAX";
    /// A new port's priority.
    FIFO_PRIORITY_DEFAULT: u32 = 7, "EVTCHN_FIFO_PRIORITY_DEFAULT";
    /// The last priority.
    FIFO_PRIORITY_MIN: u32 = 15, "EVTCHN_FIFO_PRIORITY_MIN";
    /// Queues per vCPU, one for each priority.
    FIFO_MAX_QUEUES: u32 = 16, "EVTCHN_FIFO_MAX_QUEUES";
    /// Bit of an event word: the event happened.
    FIFO_PENDING: u32 = 31, "EVTCHN_FIFO_PENDING";
    /// Bit of an event word: it is not to be delivered.
    FIFO_MASKED: u32 = 30, "EVTCHN_FIFO_MASKED";
    /// Bit of an event word: it is in a queue.
    FIFO_LINKED: u32 = 29, "EVTCHN_FIFO_LINKED";
    /// Bit of an event word: the guest is changing it.
    FIFO_BUSY: u32 = 28, "EVTCHN_FIFO_BUSY";
    /// Bits of the link to the next port, the low ones of an event word.
    FIFO_LINK_BITS: u32 = 17, "EVTCHN_FIFO_LINK_BITS";
    /// The link's mask.
    FIFO_LINK_MASK: u32 = (1 << 17) - 1, "EVTCHN_FIFO_LINK_MASK";
    /// Ports that a domain can have.
    FIFO_NR_CHANNELS: u32 = 1 << 17, "EVTCHN_FIFO_NR_CHANNELS";
}

structs! {
    /// A vCPU's queues.
    struct FifoControlBlock = "struct evtchn_fifo_control_block" {
        /// Which queues have something, a bit for each.
        ready: u32,
        /// Zero.
        reserved: u32 = "_rsvd",
        /// Each queue's first port.
        head: [u32; 16],
    }
}
