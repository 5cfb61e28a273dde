//! Reading and writing files without waiting for them: by io_uring, or by a few threads where the kernel has none (or
//! an administrator has switched it off).
//!
//! An operation owns its buffer until it is done, so nothing that was dropped is ever written to.

mod threads;
mod uring;

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use threads::Threads;
pub use threads::read;
use uring::Uring;

/// What is to be done.
#[derive(Debug)]
pub enum Op {
    /// Fills the buffer from an offset on; what is after the file's end is zeros.
    Read(u64, Vec<u8>),
    /// Writes the buffer at an offset.
    Write(u64, Vec<u8>),
    /// Makes what was written durable.
    Sync,
    /// Gives so many bytes from an offset on back to the file system; they read as zeros.
    Punch(u64, u64),
}

/// An operation on a file.
#[derive(Debug)]
pub struct Work {
    /// What tells it from others.
    pub token: u64,
    /// The file.
    pub file: Arc<File>,
    /// What is to be done.
    pub op: Op,
}

/// A finished operation.
#[derive(Debug)]
pub struct Done {
    /// What tells it from others.
    pub token: u64,
    /// How it went.
    pub result: io::Result<()>,
    /// The buffer that it had; empty if it had none.
    pub buffer: Vec<u8>,
}

/// A way of doing operations. It ends when it has none under way.
#[derive(Debug)]
pub enum Engine {
    /// The kernel's queue.
    Uring(Box<Uring>),
    /// Threads.
    Threads(Threads),
}

impl Engine {
    /// The best that there is.
    ///
    /// # Errors
    /// The system has neither.
    pub fn new() -> io::Result<Self> {
        match Uring::new() {
            Ok(uring) => Ok(Self::Uring(Box::new(uring))),
            Err(_) => Threads::new().map(Self::Threads),
        }
    }

    /// Starts an operation.
    ///
    /// # Errors
    /// The system takes no more.
    pub fn start(&mut self, work: Work) -> io::Result<()> {
        match self {
            Self::Uring(uring) => uring.start(work),
            Self::Threads(threads) => threads.start(work),
        }
    }

    /// Waits, if `patient`, until an operation is done or one of `others` can be read; then says what is done.
    ///
    /// # Errors
    /// As the system says.
    pub fn wait(&mut self, others: [BorrowedFd<'_>; 2], patient: bool) -> io::Result<Vec<Done>> {
        match self {
            Self::Uring(uring) => uring.wait(others, patient),
            Self::Threads(threads) => threads.wait(others, patient),
        }
    }
}

#[cfg(test)]
mod tests;
