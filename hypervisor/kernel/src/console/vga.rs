//! The 80 by 25 text screen of VGA.
#![allow(unsafe_code, reason = "writes to the VGA text buffer")]

use tenon_core::frame::Maddr;

use crate::mm::direct;
use crate::mm::vmap::{self, Caching};

const BUFFER: Maddr = Maddr(0xb_8000);
const WIDTH: usize = 80;
const HEIGHT: usize = 25;
/// Light grey on black.
const ATTRIBUTE: u16 = 0x0700;
const BLANK: u16 = ATTRIBUTE | b' ' as u16;

/// The screen; the cursor is ours, the hardware's is left alone.
pub struct TextScreen {
    cells: *mut u16,
    column: usize,
    row: usize,
}

// SAFETY: the pointer is to device memory that is mapped for good; the console's lock orders its users.
unsafe impl Send for TextScreen {}

impl TextScreen {
    /// A cleared screen.
    pub fn new() -> Self {
        let mut screen = Self { cells: direct::pointer(BUFFER).cast(), column: 0, row: 0 };
        for index in 0..WIDTH * HEIGHT {
            screen.put(index, BLANK);
        }
        screen
    }

    /// Maps the text buffer for good, as device memory.
    pub fn remap(&mut self) {
        // SAFETY: the VGA text buffer; nothing but this screen is reached by it.
        if let Ok(buffer) = unsafe { vmap::map_device(BUFFER, WIDTH * HEIGHT * 2, Caching::Uncached) } {
            self.cells = buffer.pointer().cast();
        }
    }

    fn put(&mut self, index: usize, cell: u16) {
        if index < WIDTH * HEIGHT {
            // SAFETY: within the buffer, which is mapped for as long as the console uses it.
            unsafe { self.cells.add(index).write_volatile(cell) };
        }
    }

    /// Writes text; what is not ASCII shows as a question mark.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.new_line(),
                b'\r' => self.column = 0,
                _ => {
                    let shown = if byte.is_ascii_graphic() || *byte == b' ' { *byte } else { b'?' };
                    self.put(self.row * WIDTH + self.column, ATTRIBUTE | u16::from(shown));
                    self.column += 1;
                    if self.column == WIDTH {
                        self.new_line();
                    }
                }
            }
        }
    }

    fn new_line(&mut self) {
        self.column = 0;
        if self.row + 1 < HEIGHT {
            self.row += 1;
            return;
        }
        for index in 0..WIDTH * (HEIGHT - 1) {
            // SAFETY: one line further on is within the buffer.
            let below = unsafe { self.cells.add(index + WIDTH).read_volatile() };
            self.put(index, below);
        }
        for index in WIDTH * (HEIGHT - 1)..WIDTH * HEIGHT {
            self.put(index, BLANK);
        }
    }
}
