//! One serial line of a machine: what came out, what is not yet looked at, a log of everything.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};

/// Which line of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// com1: the hypervisor's log with domain 0's console in it.
    Console,
    /// com2: the agent in domain 0.
    Agent,
    /// The emulator's monitor.
    Monitor,
}

/// Something that a line's reader noticed.
pub enum Event {
    Bytes(Line, Vec<u8>),
    /// A line's other end is gone. The emulator has ended once all of them are.
    Closed,
}

/// How many lines of a line's past are kept for the report of a failure.
const KEPT: usize = 400;

/// A connected line.
pub struct Channel {
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    log: File,
    /// Output that no expectation has taken yet.
    pending: String,
    past: VecDeque<String>,
    unfinished: String,
}

impl Channel {
    /// Starts a reader for `stream` that reports to `events`.
    pub fn start<S>(line: Line, stream: S, writer: S, log: &Path, events: Sender<Event>) -> Result<Self>
    where
        S: Read + Write + Send + 'static,
    {
        let log = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        thread::Builder::new().name(format!("{line:?}")).spawn(move || read(line, stream, &events))?;
        Ok(Self {
            writer: Arc::new(Mutex::new(Box::new(writer))),
            log,
            pending: String::new(),
            past: VecDeque::new(),
            unfinished: String::new(),
        })
    }

    /// Takes new output in; returns the lines that it completes.
    pub fn take_in(&mut self, bytes: &[u8]) -> Result<Vec<String>> {
        self.log.write_all(bytes)?;
        let text: String = String::from_utf8_lossy(bytes).chars().filter(|c| *c != '\r').collect();
        self.pending.push_str(&text);
        self.unfinished.push_str(&text);
        let mut lines = Vec::new();
        while let Some((line, rest)) = self.unfinished.split_once('\n') {
            lines.push(line.to_owned());
            self.unfinished = rest.to_owned();
        }
        self.past.extend(lines.iter().cloned());
        let excess = self.past.len().saturating_sub(KEPT);
        self.past.drain(..excess);
        Ok(lines)
    }

    /// If `needle` has come, takes everything up to the end of the line with it.
    pub fn take_line_with(&mut self, needle: &str) -> Option<Taken> {
        let at = self.pending.find(needle)?;
        let end = at + self.pending[at..].find('\n')?;
        let start = self.pending[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let taken =
            Taken { before: self.pending[..start].to_owned(), line: self.pending[start..end].to_owned() };
        self.pending.drain(..=end);
        Some(taken)
    }

    /// If `needle` has come, takes everything up to its end: for prompts, which end no line.
    pub fn take_through(&mut self, needle: &str) -> Option<String> {
        let end = self.pending.find(needle)? + needle.len();
        Some(self.pending.drain(..end).collect())
    }

    pub fn send(&mut self, text: &str) -> Result<()> {
        let mut writer = self.writer();
        writer.write_all(text.as_bytes())?;
        writer.flush()?;
        Ok(())
    }

    /// A handle to type with, for another thread.
    pub fn writer(&self) -> Keyboard {
        Keyboard(Arc::clone(&self.writer))
    }

    /// The last `count` lines that satisfy `filter`.
    pub fn tail(&self, count: usize, filter: impl Fn(&str) -> bool) -> Vec<&str> {
        let unfinished = Some(self.unfinished.as_str()).filter(|line| !line.is_empty());
        let lines = self.past.iter().map(String::as_str).chain(unfinished).filter(|line| filter(line));
        let lines: Vec<&str> = lines.collect();
        lines[lines.len().saturating_sub(count)..].to_vec()
    }
}

/// The input side of a line; handles share it.
pub struct Keyboard(Arc<Mutex<Box<dyn Write + Send>>>);

impl Write for Keyboard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

/// What an expectation found.
pub struct Taken {
    /// The output before the line, from where the last expectation ended.
    pub before: String,
    pub line: String,
}

fn read(line: Line, mut stream: impl Read, events: &Sender<Event>) {
    let mut buffer = [0; 4096];
    loop {
        let event = match stream.read(&mut buffer) {
            Ok(0) | Err(_) => Event::Closed,
            Ok(count) => Event::Bytes(line, buffer[..count].to_vec()),
        };
        let closed = matches!(event, Event::Closed);
        // Nobody listens any more when the machine is dropped.
        if events.send(event).is_err() || closed {
            return;
        }
    }
}
