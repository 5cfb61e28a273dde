//! What domains say to each other through shared pages (`public/io/`). The hypervisor has no part in it.

pub mod blkif;
pub mod console;
pub mod netif;
pub mod ring;
pub mod xenbus;
pub mod xs_wire;
