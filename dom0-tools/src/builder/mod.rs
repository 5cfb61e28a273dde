//! The domain builder: from a guest file to a domain that can run.
//!
//! ```text
//! GuestConfig ── kernel::load ──> ELF ── Plan::new ──> what goes where ── build ──> a paused domain
//! ```

pub mod acpi;
mod build;
pub mod error;
pub mod kernel;
pub mod layout;
pub mod plan;
pub mod store;
pub mod vcpu;

pub(crate) use build::SLACK_KIB;
pub use build::{Built, build, publish_late};
