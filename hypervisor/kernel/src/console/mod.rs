//! The console: serial ports, the screen, and a memory of the last bytes.
//!
//! Everything written goes to every chosen output and into the ring. One lock guards it all; it is held for the
//! length of one message and taken by no interrupt handler but the serial port's. A panic breaks the lock.
#![allow(unsafe_code, reason = "a panic must get through even where the lock is held")]

use core::fmt::{self, Write};
use core::mem;
use core::sync::atomic::{AtomicBool, Ordering};

use spin::Once;
use tenon_core::console_ring::ConsoleRing;
use tenon_core::options::{Options, SerialConfig};
use tenon_core::sync::{Class, Lock};

mod framebuffer;
mod logger;
mod screen;
mod serial;
mod vga;

use crate::boot::{BootInfo, FramebufferInfo};
use framebuffer::Framebuffer;
use screen::Screen;
use serial::Serial;
use vga::TextBuffer;

/// Bytes that the ring remembers.
pub const RING_BYTES: usize = 64 * 1024;
/// Typed bytes that wait to be taken.
const INPUT_BYTES: usize = 256;

enum Output {
    None,
    Text(Screen<TextBuffer>),
    Graphics(Screen<Framebuffer>),
}

struct Console {
    ring: ConsoleRing<RING_BYTES>,
    serial: [Option<Serial>; 2],
    screen: Output,
    /// What was typed; bytes that nobody takes make room for later ones.
    input: ConsoleRing<INPUT_BYTES>,
    /// The position of the first byte of it that was not taken yet.
    taken: u64,
}

static CONSOLE: Lock<Console> = Lock::new(
    Class::Console,
    Console {
        ring: ConsoleRing::new(),
        serial: [None, None],
        screen: Output::None,
        input: ConsoleRing::new(),
        taken: 0,
    },
);
static INPUT_WAITS: AtomicBool = AtomicBool::new(false);
/// Who is told that there is input.
static LISTENER: Once<fn()> = Once::new();

impl Console {
    fn write(&mut self, bytes: &[u8]) {
        self.ring.write(bytes);
        for port in self.serial.iter_mut().flatten() {
            port.write(bytes);
        }
        match &mut self.screen {
            Output::None => {}
            Output::Text(screen) => screen.write(bytes),
            Output::Graphics(screen) => screen.write(bytes),
        }
    }
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}

/// Opens the outputs that the options choose. With a framebuffer, the screen stays dark until
/// [`init_framebuffer`], which needs memory; the ring keeps what it has to show.
pub fn init(options: &Options<'_>, framebuffer: Option<FramebufferInfo>) {
    let mut console = CONSOLE.lock();
    let chosen = [options.console.com1, options.console.com2];
    for ((slot, config), chosen) in console.serial.iter_mut().zip(options.com).zip(chosen) {
        *slot = if chosen { Serial::open(config) } else { None };
    }
    if options.console.vga && framebuffer.is_none() {
        console.screen = Output::Text(Screen::new(TextBuffer::open()));
    }
    drop(console);
    logger::init(options);
}

/// Moves the text screen from the boot tables' mapping to one of its own; without memory for that it stays as it is.
pub fn leave_boot_tables() {
    let screen = mem::replace(&mut CONSOLE.lock().screen, Output::None);
    // The console's lock is the last: nothing is mapped under it.
    if let Output::Text(mut screen) = screen
        && let Ok(cells) = TextBuffer::mapped()
    {
        screen.cells = cells;
        CONSOLE.lock().screen = Output::Text(screen);
    }
}

/// Lights the framebuffer and shows on it what the ring remembers.
pub fn init_framebuffer(info: &BootInfo) {
    let Some(framebuffer) = info.framebuffer.filter(|_| info.options.console.vga) else { return };
    let Some(mut screen) = Framebuffer::open(framebuffer).map(Screen::new) else {
        log::warn!("a framebuffer of {} bits per pixel is not drawn to", framebuffer.bpp);
        return;
    };
    let mut console = CONSOLE.lock();
    let mut text = [0; 256];
    let mut from = 0;
    loop {
        let (next, count) = console.ring.read(from, &mut text);
        if count == 0 {
            break;
        }
        screen.write(&text[..count]);
        from = next;
    }
    console.screen = Output::Graphics(screen);
}

/// Stops writing to the screen: domain 0 owns it now.
pub fn give_screen_away() {
    CONSOLE.lock().screen = Output::None;
}

/// Writes bytes as they are.
pub fn write(bytes: &[u8]) {
    CONSOLE.lock().write(bytes);
}

/// Writes formatted text as it is, in one piece.
pub fn write_fmt(text: fmt::Arguments<'_>) {
    // The console's own `write_str` never fails.
    let _ = CONSOLE.lock().write_fmt(text);
}

/// Writes formatted text even if the console's lock is held by a CPU that will never release it.
///
/// # Safety
/// All other CPUs are stopped or past caring: the output may be garbled.
pub unsafe fn write_fmt_emergency(text: fmt::Arguments<'_>) {
    const PATIENCE: u32 = 10_000_000;
    for _ in 0..PATIENCE {
        if let Some(mut console) = CONSOLE.raw.try_lock() {
            let _ = console.write_fmt(text);
            return;
        }
        core::hint::spin_loop();
    }
    // SAFETY: the caller's promise.
    unsafe { CONSOLE.raw.force_unlock() };
    let _ = CONSOLE.raw.lock().write_fmt(text);
}

/// Lets the serial ports interrupt the boot CPU when somebody types.
pub fn enable_input_interrupts() {
    match own_devices().try_for_each(|port| serial::route(&port, |_| received())) {
        Ok(()) => CONSOLE.lock().serial.iter_mut().flatten().for_each(Serial::enable_interrupts),
        Err(error) => log::warn!("console input is polled only: {error}"),
    }
}

/// Takes what the ports have received into the input queue.
fn receive() {
    let mut console = CONSOLE.lock();
    let Console { serial, input, .. } = &mut *console;
    for port in serial.iter_mut().flatten() {
        while let Some(byte) = port.receive() {
            input.write(&[byte]);
            INPUT_WAITS.store(true, Ordering::Release);
        }
    }
}

/// Sets who is told that there is input.
pub fn listen(listener: fn()) {
    LISTENER.call_once(|| listener);
}

/// The serial port has interrupted: takes what it has and tells the control domain.
fn received() {
    receive();
    if input_waits()
        && let Some(tell) = LISTENER.get()
    {
        tell();
    }
}

/// The serial ports in use: Tenon's, not domain 0's.
pub fn own_devices() -> impl Iterator<Item = SerialConfig> {
    let ports = CONSOLE.lock().serial.each_ref().map(|port| port.as_ref().map(|port| port.config));
    ports.into_iter().flatten()
}

/// Whether [`read_input`] is likely to have something; costs one load.
#[inline]
pub fn input_waits() -> bool {
    INPUT_WAITS.load(Ordering::Acquire)
}

/// Takes what somebody has typed on a serial port; returns the number of bytes.
pub fn read_input(into: &mut [u8]) -> usize {
    receive();
    let mut console = CONSOLE.lock();
    let (taken, count) = console.input.read(console.taken, into);
    console.taken = taken;
    INPUT_WAITS.store(taken < console.input.end(), Ordering::Release);
    count
}

/// Copies remembered bytes from position `from` on; returns the position after the last one and their number.
/// Positions count all bytes ever written.
pub fn read_ring(from: u64, into: &mut [u8]) -> (u64, usize) {
    CONSOLE.lock().ring.read(from, into)
}
