//! The 80 by 25 text screen of VGA.
#![allow(unsafe_code, reason = "maps the VGA text buffer")]

use tenon_core::frame::Maddr;

use super::screen::Cells;
use crate::mm::direct;
use crate::mm::mmio::Mmio;
use crate::mm::paging::MapError;
use crate::mm::vmap::{self, Caching};

const BUFFER: Maddr = Maddr(0xb_8000);
const WIDTH: usize = 80;
const HEIGHT: usize = 25;
const CELLS: usize = WIDTH * HEIGHT;
/// Light grey on black.
const ATTRIBUTE: u16 = 0x0700;

/// The text buffer: a character and its attribute in each cell.
pub struct TextBuffer(Mmio);

impl TextBuffer {
    /// The cleared buffer, through the boot tables.
    pub fn open() -> Self {
        // SAFETY: the VGA text buffer, in the first 4 GiB, which the boot tables map; [`Self::mapped`] comes before they go.
        let mut buffer = Self(unsafe { Mmio::new(direct::pointer(BUFFER), CELLS * 2) });
        for index in 0..CELLS {
            buffer.set(index, b' ');
        }
        buffer
    }

    /// The buffer as it is, mapped for good as device memory.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn mapped() -> Result<Self, MapError> {
        // SAFETY: the VGA text buffer; nothing but this screen is reached by it.
        unsafe { vmap::map_device(BUFFER, CELLS * 2, Caching::Uncached) }.map(Self)
    }
}

impl Cells for TextBuffer {
    fn size(&self) -> (usize, usize) {
        (WIDTH, HEIGHT)
    }

    fn set(&mut self, index: usize, character: u8) {
        self.0.write16(index * 2, ATTRIBUTE | u16::from(character));
    }

    fn scroll(&mut self) {
        for index in 0..CELLS - WIDTH {
            self.0.write16(index * 2, self.0.read16((index + WIDTH) * 2));
        }
        for index in CELLS - WIDTH..CELLS {
            self.set(index, b' ');
        }
    }
}
