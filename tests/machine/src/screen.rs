//! Reading a machine's screen, in text and in graphics mode.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use crate::channel::Line;
use crate::machine::Machine;

/// The hypervisor's font (`hypervisor/kernel/src/console/framebuffer.rs`).
const HEIGHT: RasterHeight = RasterHeight::Size16;
const WEIGHT: FontWeight = FontWeight::Regular;
const PRINTABLE: std::ops::RangeInclusive<char> = ' '..='~';

/// The buffer of VGA's text mode: 80 characters a line, 25 lines, each with a byte of attributes.
const TEXT_BUFFER: usize = 0xb8000;
const TEXT_LINE: usize = 80 * 2;
const TEXT_BYTES: usize = 25 * TEXT_LINE;

impl Machine {
    /// The lines of VGA's text screen.
    pub fn text_screen(&mut self) -> Result<Vec<String>> {
        let bytes = self.dumped(&format!("pmemsave {TEXT_BUFFER:#x} {TEXT_BYTES}"))?;
        ensure!(bytes.len() == TEXT_BYTES, "the text buffer has {} bytes", bytes.len());
        let line = |line: &[u8]| line.chunks(2).map(|cell| char::from(cell[0])).collect();
        Ok(bytes.chunks(TEXT_LINE).map(line).collect())
    }

    /// The lines that the hypervisor has drawn on a screen of pixels; what is not its own drawing is left out.
    pub fn graphics_screen(&mut self) -> Result<Vec<String>> {
        Picture::parse(&self.dumped("screendump")?).context("the screen's picture")?.lines()
    }

    /// What the monitor writes to a file, whose name it takes as the last argument.
    fn dumped(&mut self, command: &str) -> Result<Vec<u8>> {
        let path = self.scratch.join("dump");
        self.monitor(&format!("{command} \"{}\"", path.display()))?;
        // The monitor does one command after the other, and the echo has the number in hexadecimal only.
        self.monitor("print /d 0xd09e")?;
        let done = "53406";
        self.wait(Line::Monitor, done, Duration::from_secs(30), |monitor| monitor.take_through(done))?;
        fs::read(&path).with_context(|| format!("the monitor wrote no file for {command}"))
    }
}

/// A picture in binary PPM format.
struct Picture<'a> {
    width: usize,
    height: usize,
    /// Red, green and blue of each pixel.
    pixels: &'a [u8],
}

impl<'a> Picture<'a> {
    fn parse(file: &'a [u8]) -> Result<Self> {
        let mut parts = file.splitn(4, |byte| *byte == b'\n');
        let mut header = || parts.next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
        ensure!(header() == "P6", "not a PPM file");
        let (width, height) = header().split_once(' ').context("no size")?;
        let (width, height) = (width.parse()?, height.parse()?);
        ensure!(header() == "255", "not a byte per colour");
        let pixels = parts.next().unwrap_or_default();
        ensure!(pixels.len() == width * height * 3, "{} bytes for {width} x {height}", pixels.len());
        Ok(Self { width, height, pixels })
    }

    fn lines(&self) -> Result<Vec<String>> {
        let mut glyphs = Vec::new();
        for character in PRINTABLE {
            let glyph = get_raster(character, WEIGHT, HEIGHT).context("a character without a picture")?;
            glyphs.push((character, glyph));
        }
        let (width, height) = (get_raster_width(WEIGHT, HEIGHT), HEIGHT.val());
        let character = |column: usize, row: usize| {
            let matches = |raster: &[&[u8]]| {
                raster.iter().enumerate().all(|(y, line)| {
                    line.iter().enumerate().all(|(x, intensity)| {
                        self.pixel(column * width + x, row * height + y) == Some([*intensity; 3])
                    })
                })
            };
            glyphs.iter().find(|(_, glyph)| matches(glyph.raster())).map(|(character, _)| *character)
        };
        let line = |row| (0..self.width / width).filter_map(|column| character(column, row)).collect();
        Ok((0..self.height / height).map(line).collect())
    }

    fn pixel(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        self.pixels.get((y * self.width + x) * 3..)?.first_chunk().copied()
    }
}
