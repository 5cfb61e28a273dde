//! From the hypervisor's trace to a file that Perfetto opens.
//!
//! [`record`] reads the rings' words, [`timeline`] finds out who did what and when, [`perfetto`] writes that as JSON; none
//! of them touches anything. [`session`] switches tracing on and off and collects the words.

mod names;
pub mod perfetto;
pub mod record;
pub mod session;
pub mod timeline;
