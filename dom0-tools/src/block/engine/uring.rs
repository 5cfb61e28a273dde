//! Operations by io_uring (`linux/io_uring.h`).
#![allow(unsafe_code, reason = "the kernel reads and writes buffers that we promise to keep")]

use std::collections::HashMap;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::{fmt, io, mem};

use io_uring::types::{Fd, FsyncFlags};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::fs::FallocateFlags;

use super::{Done, Op, Work};

/// Operations that are handed to the kernel at once.
const ENTRIES: u32 = 64;
/// The kernel's tokens from here on are for files that are waited for.
const WATCH: u64 = 1 << 63;

/// An operation that the kernel has, and how many bytes of it are done.
#[derive(Debug)]
struct UnderWay {
    work: Work,
    done: usize,
}

/// The queue.
pub struct Uring {
    ring: IoUring,
    /// Invariant: the kernel uses a buffer only while it is in here.
    under_way: HashMap<u64, UnderWay>,
    next: u64,
    /// Whether the kernel watches each of the other files.
    watched: [bool; 2],
}

impl fmt::Debug for Uring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uring").field("under_way", &self.under_way).finish_non_exhaustive()
    }
}

impl Uring {
    /// Sets it up.
    ///
    /// # Errors
    /// The kernel has none, or gives us none.
    pub fn new() -> io::Result<Self> {
        let ring = IoUring::new(ENTRIES)?;
        Ok(Self { ring, under_way: HashMap::new(), next: 0, watched: [false; 2] })
    }

    pub(super) fn start(&mut self, work: Work) -> io::Result<()> {
        let key = self.next;
        self.next = (self.next + 1) % WATCH;
        self.under_way.insert(key, UnderWay { work, done: 0 });
        self.submit(key).inspect_err(|_| drop(self.under_way.remove(&key)))
    }

    /// Gives the kernel what is left to do of an operation.
    fn submit(&mut self, key: u64) -> io::Result<()> {
        let Some(UnderWay { work, done }) = self.under_way.get_mut(&key) else { return Ok(()) };
        let (file, done) = (Fd(work.file.as_raw_fd()), *done);
        let entry = match &mut work.op {
            Op::Read(offset, buffer) => {
                let rest = &mut buffer[done..];
                let entry = opcode::Read::new(file, rest.as_mut_ptr(), rest.len() as u32);
                entry.offset(*offset + done as u64).build()
            }
            Op::Write(offset, buffer) => {
                let rest = &buffer[done..];
                let entry = opcode::Write::new(file, rest.as_ptr(), rest.len() as u32);
                entry.offset(*offset + done as u64).build()
            }
            Op::Sync => opcode::Fsync::new(file).flags(FsyncFlags::DATASYNC).build(),
            Op::Punch(offset, len) => {
                let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                opcode::Fallocate::new(file, *len).offset(*offset).mode(how.bits().cast_signed()).build()
            }
        };
        self.push(&entry.user_data(key))
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: an entry's buffer and file are in `under_way`, under its token, until the kernel is done with
            // them; a watched file is the caller's, and the kernel only looks at whether it can be read.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return Ok(());
            }
            self.ring.submit()?;
        }
    }

    pub(super) fn wait(&mut self, others: [BorrowedFd<'_>; 2], patient: bool) -> io::Result<Vec<Done>> {
        for (number, other) in others.into_iter().enumerate() {
            if !mem::replace(&mut self.watched[number], true) {
                let readable = rustix::event::PollFlags::IN.bits().into();
                let entry = opcode::PollAdd::new(Fd(other.as_raw_fd()), readable).build();
                self.push(&entry.user_data(WATCH + number as u64))?;
            }
        }
        self.collect(patient)
    }

    fn collect(&mut self, patient: bool) -> io::Result<Vec<Done>> {
        match self.ring.submit_and_wait(patient.into()) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
            _ => {}
        }
        let finished: Vec<cqueue::Entry> = self.ring.completion().collect();
        let mut all = Vec::new();
        for entry in finished {
            let (key, result) = (entry.user_data(), entry.result());
            match usize::try_from(key.wrapping_sub(WATCH)) {
                Ok(number) if number < self.watched.len() => self.watched[number] = false,
                _ => all.extend(self.finish(key, result)?),
            }
        }
        Ok(all)
    }

    /// Takes note of what the kernel said of an operation, which may not be done by that.
    fn finish(&mut self, key: u64, result: i32) -> io::Result<Option<Done>> {
        let Some(UnderWay { work, done }) = self.under_way.get_mut(&key) else { return Ok(None) };
        let moved = usize::try_from(result).unwrap_or(0);
        let again = match &mut work.op {
            Op::Read(_, buffer) if moved == 0 && result == 0 => {
                buffer[*done..].fill(0);
                false
            }
            Op::Read(_, buffer) | Op::Write(_, buffer) => {
                *done += moved;
                moved > 0 && *done < buffer.len()
            }
            Op::Sync | Op::Punch(..) => false,
        };
        if again || matches!(-result, INTERRUPTED | LATER) {
            return self.submit(key).map(|()| None);
        }
        let Some(UnderWay { work, done }) = self.under_way.remove(&key) else { return Ok(None) };
        let (wrote_all, buffer) = match work.op {
            Op::Write(_, buffer) => (done == buffer.len(), buffer),
            Op::Read(_, buffer) => (true, buffer),
            Op::Sync | Op::Punch(..) => (true, Vec::new()),
        };
        let result = match result {
            ..0 => Err(io::Error::from_raw_os_error(-result)),
            _ if !wrote_all => Err(io::ErrorKind::WriteZero.into()),
            _ => Ok(()),
        };
        Ok(Some(Done { token: work.token, result, buffer }))
    }
}

const INTERRUPTED: i32 = rustix::io::Errno::INTR.raw_os_error();
const LATER: i32 = rustix::io::Errno::AGAIN.raw_os_error();

impl Drop for Uring {
    fn drop(&mut self) {
        while !self.under_way.is_empty() {
            if self.collect(true).is_err() {
                // The kernel may still write to the buffers: they are given up, not freed.
                mem::forget(mem::take(&mut self.under_way));
            }
        }
    }
}
