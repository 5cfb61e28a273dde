//! `tenon top`.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::termios::isatty;

use super::exit::{Exit, Failure};
use super::screen::{Input, Key, Screen, end_by};
use super::{TopArgs, output};
use crate::host::Host;
use crate::top::{HEADING, Rates, Reading, Sort, View, lines};

/// Seconds that an interval may have.
const INTERVALS: std::ops::RangeInclusive<f64> = 0.1..=3600.0;
/// The first interval of the live screen is no longer: there is nothing to see before its end.
const FIRST: Duration = Duration::from_millis(500);
/// The last line of the live screen.
const KEYS: &str = "q quit  c w m e n sort by CPU, waiting, memory, exits, number  x kinds of exits";
/// Ctrl-C. In a raw terminal it is a key like others.
const INTERRUPT: char = '\x03';

/// Takes an interval from the command line.
pub fn interval(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if INTERVALS.contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("not a number of seconds from {} to {}", INTERVALS.start(), INTERVALS.end())),
    }
}

/// Shows what the domains do, once or until the user has seen enough.
pub fn run(args: &TopArgs, json: bool) -> Result<(), Failure> {
    let view = if args.exits { View::Exits } else { View::Domains };
    if !json && !args.once {
        if !isatty(io::stdout()) {
            let message = "standard output is no terminal; `tenon top --once` prints one table";
            return Err(Failure::new(Exit::Usage, message));
        }
        return live(args, view);
    }
    let host = Host::open()?;
    let before = Reading::take(&host)?;
    thread::sleep(args.interval);
    let mut rates = Rates::between(&before, &Reading::take(&host)?);
    rates.sort(args.sort);
    if json {
        return output::json(&rates);
    }
    lines(&rates, view).iter().try_for_each(|line| output::line(line))
}

/// What the user sees and chose.
struct Live {
    rates: Option<Rates>,
    view: View,
    sort: Sort,
    /// Domains above the first one that is shown.
    skipped: usize,
}

fn live(args: &TopArgs, view: View) -> Result<(), Failure> {
    let host = Host::open()?;
    let mut reading = Reading::take(&host)?;
    let mut live = Live { rates: None, view, sort: args.sort, skipped: 0 };
    let mut screen = Screen::open()?;
    let mut due = Instant::now() + args.interval.min(FIRST);
    loop {
        let (_, rows) = screen.size();
        screen.draw(&live.lines(rows))?;
        match screen.wait(due)? {
            Input::Time => {
                let next = Reading::take(&host)?;
                live.rates = Some(Rates::between(&reading, &next));
                reading = next;
                due = Instant::now() + args.interval;
            }
            Input::Resized => {}
            Input::Keys(keys) => {
                if !keys.into_iter().all(|key| live.press(key)) {
                    return Ok(());
                }
            }
            Input::Closed => return Ok(()),
            Input::Signal(signal) => {
                drop(screen);
                return Ok(end_by(signal)?);
            }
        }
    }
}

impl Live {
    /// Does what a key asks for; false if it ends the program.
    fn press(&mut self, key: Key) -> bool {
        match key {
            Key::Char('q' | INTERRUPT) => return false,
            Key::Char('c') => self.sort = Sort::Cpu,
            Key::Char('w') => self.sort = Sort::Waiting,
            Key::Char('m') => self.sort = Sort::Memory,
            Key::Char('e') => self.sort = Sort::Exits,
            Key::Char('n') => self.sort = Sort::Id,
            Key::Char('x') => {
                self.view = if self.view == View::Exits { View::Domains } else { View::Exits };
            }
            Key::Char(_) => {}
            Key::Up => self.skipped = self.skipped.saturating_sub(1),
            Key::Down => self.skipped += 1,
        }
        true
    }

    /// What a window with that many rows shows.
    fn lines(&mut self, rows: usize) -> Vec<String> {
        let Some(rates) = &mut self.rates else { return vec!["measuring...".to_owned()] };
        rates.sort(self.sort);
        let mut shown = lines(rates, self.view);
        let room = rows.saturating_sub(HEADING + 1);
        self.skipped = self.skipped.min(rates.domains.len().saturating_sub(room));
        shown.drain(HEADING..HEADING + self.skipped);
        shown.truncate(HEADING + room);
        shown.resize(HEADING + room, String::new());
        shown.push(KEYS.to_owned());
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::HostRates;

    #[test]
    fn intervals() {
        assert_eq!(interval("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["0", "-1", "NaN", "inf", "1e9", "two", ""] {
            assert_eq!(interval(bad), Err("not a number of seconds from 0.1 to 3600".to_owned()), "{bad}");
        }
    }

    #[test]
    fn keys_and_scrolling() {
        let host = HostRates { cpus: 1, cpu_percent: 0.0, memory_mib: 1, free_memory_mib: 1 };
        let rates = Rates { interval_seconds: 1.0, host, domains: Vec::new() };
        let mut live = Live { rates: None, view: View::Domains, sort: Sort::Cpu, skipped: 0 };
        assert_eq!(live.lines(24), ["measuring..."]);
        live.rates = Some(rates);
        assert!([Key::Down, Key::Char('x'), Key::Char('m')].into_iter().all(|key| live.press(key)));
        assert_eq!((live.view, live.sort, live.skipped), (View::Exits, Sort::Memory, 1));
        let lines = live.lines(5);
        assert_eq!((lines.len(), lines[4].as_str(), live.skipped), (5, KEYS, 0), "nothing to scroll");
        assert_eq!(live.lines(1).len(), HEADING + 1, "too small a window: the screen cuts");
        assert!(!live.press(Key::Char('q')) && !live.press(Key::Char(INTERRUPT)));
    }
}
