//! How often a vCPU left its guest, by kind: what `tenon top` shows.

use core::sync::atomic::{AtomicU64, Ordering};

use hypercall_abi::tenon::ExitKind;

/// Counters since the vCPU was made. In cache lines of their own: whoever posts a request to the vCPU does not wait for
/// them.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct ExitCounts([AtomicU64; ExitKind::COUNT]);

impl ExitCounts {
    /// Counts an exit. Only the CPU that holds the vCPU's context may: an addition in two steps loses nothing then.
    #[inline]
    pub(crate) fn count(&self, kind: ExitKind) {
        if let Some(count) = self.0.get(kind as usize) {
            count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// The counters as they are now, in the order of the kinds' numbers. The vCPU may run meanwhile.
    pub fn read(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().map(|count| count.load(Ordering::Relaxed))
    }
}
