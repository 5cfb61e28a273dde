//! Characters on a linear framebuffer.
//!
//! The characters are kept beside the pixels, so that scrolling redraws what changed and never reads the
//! framebuffer, which is slow.
#![allow(unsafe_code, reason = "maps the framebuffer")]

use alloc::vec::Vec;

use multiboot2::FramebufferField;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use tenon_core::fallible;

use super::screen::Cells;
use crate::boot::FramebufferInfo;
use crate::mm::mmio::Mmio;
use crate::mm::vmap::{self, Caching};

const HEIGHT: RasterHeight = RasterHeight::Size16;
const WEIGHT: FontWeight = FontWeight::Regular;

/// Characters made of pixels.
pub struct Framebuffer {
    info: FramebufferInfo,
    pixels: Mmio,
    shown: Vec<u8>,
    wanted: Vec<u8>,
    columns: usize,
    rows: usize,
}

impl Framebuffer {
    /// A dark screen. `None` for a format that is not drawn to, or where memory is short.
    pub fn open(info: FramebufferInfo) -> Option<Self> {
        if !matches!(info.bpp, 16 | 24 | 32) || info.width * u32::from(info.bpp / 8) > info.pitch {
            return None;
        }
        let columns = info.width as usize / get_raster_width(WEIGHT, HEIGHT);
        let rows = info.height as usize / HEIGHT.val();
        if columns == 0 || rows == 0 {
            return None;
        }
        // Zero is not a character: the first drawing covers everything.
        let shown = fallible::filled(columns * rows, || 0).ok()?;
        let wanted = fallible::filled(columns * rows, || b' ').ok()?;
        let len = info.pitch as usize * info.height as usize;
        // SAFETY: the loader says that this is the framebuffer.
        let pixels = unsafe { vmap::map_device(info.address, len, Caching::WriteCombining) }.ok()?;
        let mut screen = Self { info, pixels, shown, wanted, columns, rows };
        screen.show();
        Some(screen)
    }

    fn draw(&mut self, column: usize, row: usize, character: u8) {
        let Some(glyph) = get_raster(char::from(character), WEIGHT, HEIGHT) else { return };
        for (y, line) in glyph.raster().iter().enumerate() {
            for (x, intensity) in line.iter().enumerate() {
                self.pixel(column * glyph.width() + x, row * glyph.height() + y, *intensity);
            }
        }
    }

    fn pixel(&mut self, x: usize, y: usize, intensity: u8) {
        if x >= self.info.width as usize || y >= self.info.height as usize {
            return;
        }
        let place = |field: FramebufferField| {
            let level = u32::from(intensity) >> 8u8.saturating_sub(field.size);
            level.checked_shl(u32::from(field.position)).unwrap_or(0)
        };
        let value = self.info.fields.into_iter().fold(0, |value, field| value | place(field));
        let bytes = usize::from(self.info.bpp / 8);
        let offset = y * self.info.pitch as usize + x * bytes;
        for (i, byte) in value.to_le_bytes().into_iter().take(bytes).enumerate() {
            self.pixels.write8(offset + i, byte);
        }
    }
}

impl Cells for Framebuffer {
    fn size(&self) -> (usize, usize) {
        (self.columns, self.rows)
    }

    fn set(&mut self, index: usize, character: u8) {
        if let Some(cell) = self.wanted.get_mut(index) {
            *cell = character;
        }
    }

    fn scroll(&mut self) {
        self.wanted.copy_within(self.columns.., 0);
        let last = (self.rows - 1) * self.columns;
        self.wanted[last..].fill(b' ');
    }

    fn show(&mut self) {
        for index in 0..self.wanted.len() {
            let character = self.wanted[index];
            if self.shown[index] != character {
                self.shown[index] = character;
                self.draw(index % self.columns, index / self.columns, character);
            }
        }
    }
}
