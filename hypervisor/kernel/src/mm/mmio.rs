//! Mapped device memory.
#![allow(unsafe_code, reason = "accesses device registers")]

/// A device's registers. Copies share the mapping, which stays for good.
///
/// Offsets past the end, and misaligned ones, read as all ones and write nothing, as on a bus with nobody there.
#[derive(Clone, Copy, Debug)]
pub struct Mmio {
    base: *mut u8,
    len: usize,
}

// SAFETY: every access is one volatile instruction on memory that is mapped on all CPUs for good; ordering several
// is the driver's business.
unsafe impl Send for Mmio {}
// SAFETY: as above.
unsafe impl Sync for Mmio {}

macro_rules! access {
    ($read:ident, $write:ident, $type:ty) => {
        /// Reads a register.
        #[must_use]
        pub fn $read(&self, offset: usize) -> $type {
            match self.place::<$type>(offset) {
                // SAFETY: inside the mapping and aligned.
                Some(place) => unsafe { place.read_volatile() },
                None => <$type>::MAX,
            }
        }

        /// Writes a register.
        pub fn $write(&self, offset: usize, value: $type) {
            if let Some(place) = self.place::<$type>(offset) {
                // SAFETY: inside the mapping and aligned.
                unsafe { place.write_volatile(value) }
            }
        }
    };
}

impl Mmio {
    /// # Safety
    /// `len` bytes at `base` are device memory, mapped for good, that may be read and written at will.
    pub unsafe fn new(base: *mut u8, len: usize) -> Self {
        Self { base, len }
    }

    fn place<T>(&self, offset: usize) -> Option<*mut T> {
        let inside = offset.checked_add(size_of::<T>()).is_some_and(|end| end <= self.len);
        let place = self.base.wrapping_add(offset).cast::<T>();
        (inside && place.is_aligned()).then_some(place)
    }

    access!(read8, write8, u8);
    access!(read16, write16, u16);
    access!(read32, write32, u32);
    access!(read64, write64, u64);

    /// The first byte's address.
    pub fn pointer(&self) -> *mut u8 {
        self.base
    }
}
