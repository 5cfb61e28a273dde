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

    /// Reads a register of so many bytes; one that no device has reads as all ones.
    #[must_use]
    pub fn read(&self, offset: usize, bytes: u64) -> u64 {
        match bytes {
            1 => self.read8(offset).into(),
            2 => self.read16(offset).into(),
            4 => self.read32(offset).into(),
            8 => self.read64(offset),
            _ => u64::MAX,
        }
    }

    /// Writes a register of so many bytes.
    pub fn write(&self, offset: usize, bytes: u64, value: u64) {
        match bytes {
            1 => self.write8(offset, value as u8),
            2 => self.write16(offset, value as u16),
            4 => self.write32(offset, value as u32),
            8 => self.write64(offset, value),
            _ => {}
        }
    }
}
