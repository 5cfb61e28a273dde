//! The domain builder: from a guest file to a running guest.

pub mod acpi;
pub mod layout;
