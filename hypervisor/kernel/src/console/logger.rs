//! The `log` crate's back end: level, prefix, one message in one piece.
//!
//! Lines that guests write use the target `"guest"`, obey `guest_loglvl=` and have their domain's mark instead of ours.

use core::fmt;

use log::{Level, LevelFilter, Log, Metadata, Record};
use spin::Once;
use tenon_core::options::{LogLevel, Options};

struct Logger {
    own: LevelFilter,
    guest: LevelFilter,
    timestamps: bool,
}

static LOGGER: Once<Logger> = Once::new();

pub fn init(options: &Options<'_>) {
    let logger = LOGGER.call_once(|| Logger {
        own: filter(options.loglvl),
        guest: filter(options.guest_loglvl),
        timestamps: options.console_timestamps,
    });
    // Fails only if a logger is there already, which is this one.
    let _ = log::set_logger(logger);
    log::set_max_level(logger.own.max(logger.guest));
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::None => LevelFilter::Off,
        LogLevel::Error => LevelFilter::Error,
        LogLevel::Warning => LevelFilter::Warn,
        LogLevel::Info => LevelFilter::Info,
        LogLevel::All => LevelFilter::Trace,
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let limit = if metadata.target() == "guest" { self.guest } else { self.own };
        metadata.level() <= limit
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let mark = if record.target() == "guest" { "" } else { "(tenon) " };
            let stamp = fmt::from_fn(|f| {
                if self.timestamps { write!(f, "[{:016x}] ", crate::time::own_tsc()) } else { Ok(()) }
            });
            let level = match record.level() {
                Level::Error => "error: ",
                Level::Warn => "warning: ",
                Level::Info | Level::Debug | Level::Trace => "",
            };
            super::write_fmt(format_args!("{mark}{stamp}{level}{}\n", record.args()));
        }
    }

    fn flush(&self) {}
}
