//! A serial port as an output and an input.
#![allow(unsafe_code, reason = "owns a serial port's I/O ports")]

use tenon_core::acpi::SourceOverride;
use tenon_core::options::{self, SerialConfig};
use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::{IER, Parity, WordLength};
use uart_16550::{BaudRate, Config, Uart16550};

use crate::acpi::acpi;
use crate::apic::io::{self, NoSuchLine, Route};
use crate::apic::local;
use crate::irq;

const DEFAULT_BAUD: u32 = 115_200;
/// Polls of a busy transmitter before a byte is dropped: a dead port must not stop the machine.
const SEND_PATIENCE: u32 = 1_000_000;

/// An open port.
pub struct Serial {
    uart: Uart16550<PioBackend>,
    /// Its settings, place and ISA interrupt.
    pub config: SerialConfig,
}

impl Serial {
    /// Sets the port up; `None` if nothing answers there.
    pub fn open(config: SerialConfig) -> Option<Self> {
        // SAFETY: the ports are a serial port's by PC convention or by the administrator's word; the console owns
        // them, and domain 0 is not given them.
        let mut uart = unsafe { Uart16550::new_port(config.io_base) }.ok()?;
        let parity = match config.parity {
            options::Parity::None => Parity::Disabled,
            options::Parity::Odd => Parity::Odd,
            options::Parity::Even => Parity::Even,
            options::Parity::Mark => Parity::Forced1,
            options::Parity::Space => Parity::Forced0,
        };
        let data_bits = match config.data_bits {
            5 => WordLength::FiveBits,
            6 => WordLength::SixBits,
            7 => WordLength::SevenBits,
            _ => WordLength::EightBits,
        };
        let baud = config.baud.unwrap_or_else(|| {
            let set = uart.config_register_dump().baud_rate(&Config::DEFAULT).to_integer();
            if set == 0 { DEFAULT_BAUD } else { set }
        });
        let settings = Config {
            baud_rate: BaudRate::from_integer(baud),
            data_bits,
            extra_stop_bits: config.stop_bits == 2,
            parity,
            ..Config::DEFAULT
        };
        uart.init(settings).ok()?;
        Some(Self { uart, config })
    }

    /// Writes text, a carriage return before every line feed.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                self.send(b'\r');
            }
            self.send(*byte);
        }
    }

    fn send(&mut self, byte: u8) {
        for _ in 0..SEND_PATIENCE {
            if self.uart.try_send_byte(byte).is_ok() {
                return;
            }
            core::hint::spin_loop();
        }
    }

    /// Lets received bytes raise the interrupt.
    pub fn enable_interrupts(&mut self) {
        self.uart.enable_interrupts(IER::DATA_READY);
    }

    /// The next received byte.
    pub fn receive(&mut self) -> Option<u8> {
        self.uart.try_receive_byte().ok()
    }
}

/// Routes a port's interrupt to the CPU that runs this.
///
/// # Errors
/// [`NoSuchLine`]; a lack of vectors shows as that too.
pub fn route(port: &SerialConfig, handler: irq::Handler) -> Result<(), NoSuchLine> {
    let SourceOverride { gsi, trigger, polarity, .. } = acpi().isa_line(port.irq);
    let vector = irq::allocate(handler).ok_or(NoSuchLine(gsi))?;
    io::route(gsi, Route { vector, apic_id: local::id() as u8, trigger, polarity, masked: false })
}
