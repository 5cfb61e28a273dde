//! The domain builder: from a guest file to a running guest.

pub mod acpi;
pub mod layout;
pub mod start_info;
