//! The `log` crate's back end: level, prefix, one message in one piece.
//!
//! Messages that a guest's doing causes use the target `"guest"` and obey `guest_loglvl=`.

use core::fmt;

use log::{Level, LevelFilter, Log, Metadata, Record};
use spin::Once;
use tenon_core::options::{LogLevel, Options};

struct Logger {
    own: LevelFilter,
    guest: LevelFilter,
}

static LOGGER: Once<Logger> = Once::new();

pub fn init(options: &Options<'_>) {
    let logger =
        LOGGER.call_once(|| Logger { own: filter(options.loglvl), guest: filter(options.guest_loglvl) });
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
            super::write_fmt(format_args!("(tenon) {}{}\n", Prefix(record.level()), record.args()));
        }
    }

    fn flush(&self) {}
}

struct Prefix(Level);

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            Level::Info | Level::Debug | Level::Trace => "",
        })
    }
}
