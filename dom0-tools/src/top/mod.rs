//! What `tenon top` shows: two readings of the hypervisor's counters become rates, and rates become lines of text.
//!
//! Only [`Reading::take`] asks anybody; the rest is arithmetic.

mod rates;
mod reading;
mod table;
#[cfg(test)]
mod tests;

pub use rates::{DomainRates, ExitRate, HostRates, Rates, Sort};
pub use reading::{DomainReading, Reading};
pub use table::{HEADING, View, lines};
