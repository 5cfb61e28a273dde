//! One ring of one disk: requests are taken, done and answered, in whatever order they finish.
//!
//! A request that cannot be done is answered with an error and costs nobody else anything; a ring that is broken ends
//! the queue. What a guest can have under way is bounded by bytes, so that one guest's flood is its own.

use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::{io, mem};

use hypercall_abi::io::blkif::{RSP_EOPNOTSUPP, RSP_ERROR, RSP_OKAY, RequestSegment};

use super::engine::{Done, Engine, Op, Work};
use super::image::{Image, Source, Target};
use super::ledger::{Ledger, Slot};
use super::memory::GuestMemory;
use super::request::{self, Body, Claim, Memory, Request, SECTOR, Transfer};
use super::ring::{Overrun, Ring};
use crate::xen::error::XenError;
use crate::xen::grant_copy::Part;
use crate::xen::mapping::SharedPage;

/// Bytes of data under way, beyond which no more requests are taken.
const BYTES_UNDER_WAY: usize = 4 << 20;
/// Bytes of a discard that are looked up at once.
const DISCARD_STEP: u64 = 64 << 20;
/// Complaints that are told one by one; then only when their number has doubled.
const COMPLAINTS: u64 = 8;

/// The disk that a queue serves.
#[derive(Clone)]
pub struct Disk {
    /// What is in it.
    pub image: Arc<dyn Image>,
    /// Whether the guest may only read.
    pub read_only: bool,
    /// Whether the guest may discard.
    pub discard: bool,
    /// What to call it in messages.
    pub name: String,
}

/// What is being done for a request.
enum Step {
    Read,
    /// What was written before is made durable first.
    FlushFirst {
        then: bool,
    },
    Write {
        durable: bool,
    },
    Flush,
    Discard {
        next: u64,
        end: u64,
    },
}

/// A request under way.
struct Job {
    id: u64,
    operation: u8,
    step: Step,
    /// Where on the disk its data are.
    start: u64,
    parts: Vec<Part>,
    buffer: Vec<u8>,
    bytes: usize,
    /// Operations that are not done.
    waiting: usize,
    status: i16,
    is_barrier: bool,
}

/// A queue.
pub struct Queue<P: SharedPage, M: GuestMemory> {
    ring: Ring<P>,
    ledger: Ledger,
    memory: M,
    disk: Disk,
    engine: Engine,
    jobs: HashMap<Slot, Job>,
    bytes: usize,
    /// Taken, but not begun.
    again: VecDeque<Slot>,
    /// Answered, but perhaps not visible to the guest.
    answered: Vec<Slot>,
    complaints: u64,
}

impl<P: SharedPage, M: GuestMemory> Queue<P, M> {
    /// The queue of a ring; `again` was taken from it before, by a daemon that is no more.
    ///
    /// # Errors
    /// The system gives us no means of I/O.
    pub fn new(
        mut ring: Ring<P>,
        ledger: Ledger,
        again: Vec<Slot>,
        memory: M,
        disk: Disk,
    ) -> io::Result<Self> {
        ring.skip(again.len() as u32);
        Ok(Self {
            ring,
            ledger,
            memory,
            disk,
            engine: Engine::new()?,
            jobs: HashMap::new(),
            bytes: 0,
            again: again.into(),
            answered: Vec::new(),
            complaints: 0,
        })
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Begins as many requests as may be under way.
    ///
    /// # Errors
    /// The guest broke the ring.
    pub fn begin(&mut self) -> Result<(), Overrun> {
        // At most as many as the ring holds, so that responses are pushed now and then.
        for _ in 0..self.ring.size() {
            if self.bytes >= BYTES_UNDER_WAY || self.jobs.values().any(|job| job.is_barrier) {
                break;
            }
            let Some(slot) = self.next()? else { break };
            let request = self.ring.layout().decode(&self.ledger.request(slot));
            let is_barrier = matches!(request.body, Ok(Body::Transfer(Transfer::Barrier, ..)));
            if is_barrier && !self.is_idle() {
                self.again.push_front(slot);
                break;
            }
            self.start(slot, request);
        }
        Ok(())
    }

    /// The next request, which is in the ledger.
    fn next(&mut self) -> Result<Option<Slot>, Overrun> {
        if let Some(slot) = self.again.pop_front() {
            return Ok(Some(slot));
        }
        let Some((index, entry)) = self.ring.peek()? else { return Ok(None) };
        let slot = self.ledger.take(index, &entry);
        if slot.is_some() {
            self.ring.take();
        }
        Ok(slot)
    }

    /// Shows the guest what was answered. Returns whether it wants to be notified.
    pub fn push(&mut self) -> bool {
        let notify = self.ring.push();
        self.answered.drain(..).for_each(|slot| self.ledger.free(slot));
        notify
    }

    /// Waits until there is something to do, and takes note of what is done; `others` are files that are waited for,
    /// too. With `and_requests`, new requests are something to do.
    ///
    /// # Errors
    /// The guest broke the ring, or the system does no I/O any more.
    pub fn wait(&mut self, others: [BorrowedFd<'_>; 2], and_requests: bool) -> Result<(), Broken> {
        let can_begin = and_requests && self.bytes < BYTES_UNDER_WAY && !self.is_held();
        let has_more = can_begin && (!self.again.is_empty() || self.ring.arm()?);
        for done in self.engine.wait(others, !has_more).map_err(Broken::Io)? {
            self.finish(done);
        }
        Ok(())
    }

    /// Whether a barrier is under way, or next.
    fn is_held(&self) -> bool {
        self.jobs.values().any(|job| job.is_barrier) || !(self.again.is_empty() || self.is_idle())
    }

    fn start(&mut self, slot: Slot, request: Request) {
        let mut job = Job {
            id: request.id,
            operation: request.operation,
            step: Step::Flush,
            start: 0,
            parts: Vec::new(),
            buffer: Vec::new(),
            bytes: 0,
            waiting: 0,
            status: RSP_OKAY,
            is_barrier: false,
        };
        if let Err(claim) = request.body.and_then(|body| self.prepare(&mut job, body)) {
            self.complain(&claim);
            job.status = if matches!(claim, Claim::Operation(_)) { RSP_EOPNOTSUPP } else { RSP_ERROR };
            return self.answer(slot, &job);
        }
        self.bytes += job.bytes;
        let began = match job.step {
            Step::Read => self.read(slot, &mut job),
            Step::Write { .. } => self.write(slot, &mut job),
            Step::Flush | Step::FlushFirst { .. } => {
                self.work(slot, &mut job, 0, &self.disk.image.file().clone(), Op::Sync)
            }
            Step::Discard { .. } => self.discard(slot, &mut job),
        };
        self.proceed(slot, job, began);
    }

    /// Checks what is asked for.
    fn prepare(&self, job: &mut Job, body: Body) -> Result<(), Claim> {
        let size = self.disk.image.sectors();
        match body {
            Body::Flush => job.step = Step::Flush,
            Body::Discard { .. } if !self.disk.discard => return Err(Claim::Operation(job.operation)),
            Body::Discard { .. } if self.disk.read_only => return Err(Claim::ReadOnly),
            Body::Discard { sector, count } => {
                let next = request::place(sector, count, size)?;
                job.step = Step::Discard { next, end: next + count * SECTOR };
            }
            Body::Transfer(transfer, sector, memory) => {
                job.step = match transfer {
                    Transfer::Read => Step::Read,
                    _ if self.disk.read_only => return Err(Claim::ReadOnly),
                    Transfer::Write => Step::Write { durable: false },
                    Transfer::FlushWrite => Step::FlushFirst { then: false },
                    Transfer::Barrier => Step::FlushFirst { then: true },
                };
                job.is_barrier = transfer == Transfer::Barrier;
                job.parts = self.parts(memory)?;
                job.bytes = job.parts.iter().map(|part| usize::from(part.len)).sum();
                job.start = request::place(sector, job.bytes as u64 / SECTOR, size)?;
            }
        }
        Ok(())
    }

    fn parts(&self, memory: Memory) -> Result<Vec<Part>, Claim> {
        let (count, pages) = match memory {
            Memory::Parts(parts) => return Ok(parts),
            Memory::Indirect { segments, pages } => (segments, pages),
        };
        const PER_PAGE: usize = 4096 / size_of::<RequestSegment>();
        let mut segments = vec![RequestSegment::default(); count.into()];
        for (chunk, page) in segments.chunks_mut(PER_PAGE).zip(pages) {
            let bytes = hypercall_abi::plain::bytes_of_mut(chunk);
            let part = Part { reference: page, offset: 0, len: bytes.len() as u16 };
            self.memory.read(&[part], bytes).map_err(|_| Claim::Grant(page))?;
        }
        request::parts(&segments)
    }

    fn read(&mut self, slot: Slot, job: &mut Job) -> io::Result<()> {
        job.buffer = vec![0; job.bytes];
        let mut at = 0;
        for (len, source) in self.disk.image.read(job.start, job.bytes)? {
            match source {
                Source::Zeros => {}
                Source::Bytes(bytes) => job.buffer[at..at + len].copy_from_slice(&bytes),
                Source::File(file, offset) => {
                    // A whole buffer goes and comes back as it is.
                    let whole = len == job.bytes;
                    let buffer = if whole { mem::take(&mut job.buffer) } else { vec![0; len] };
                    self.work(slot, job, at, &file, Op::Read(offset, buffer))?;
                }
            }
            at += len;
        }
        Ok(())
    }

    fn write(&mut self, slot: Slot, job: &mut Job) -> io::Result<()> {
        let mut buffer = vec![0; job.bytes];
        self.memory.read(&job.parts, &mut buffer).map_err(io::Error::other)?;
        let (mut at, image) = (0, Arc::clone(&self.disk.image));
        for (len, target) in image.write(job.start, job.bytes)? {
            match target {
                Target::New => image.write_new(job.start + at as u64, &buffer[at..at + len])?,
                Target::Place(offset) => {
                    let whole = len == job.bytes;
                    let data = if whole { mem::take(&mut buffer) } else { buffer[at..at + len].to_vec() };
                    self.work(slot, job, at, image.file(), Op::Write(offset, data))?;
                }
            }
            at += len;
        }
        Ok(())
    }

    fn discard(&mut self, slot: Slot, job: &mut Job) -> io::Result<()> {
        let image = Arc::clone(&self.disk.image);
        // What has no place takes none.
        while let Step::Discard { next, end } = job.step {
            if job.waiting > 0 || next == end {
                break;
            }
            let len = (end - next).min(DISCARD_STEP);
            job.step = Step::Discard { next: next + len, end };
            for (run, target) in image.write(next, len as usize)? {
                if let Target::Place(offset) = target {
                    self.work(slot, job, 0, image.file(), Op::Punch(offset, run as u64))?;
                }
            }
        }
        Ok(())
    }

    fn work(
        &mut self,
        slot: Slot,
        job: &mut Job,
        at: usize,
        file: &Arc<std::fs::File>,
        op: Op,
    ) -> io::Result<()> {
        let token = u64::from(slot.number()) << 32 | at as u64;
        self.engine.start(Work { token, file: Arc::clone(file), op })?;
        job.waiting += 1;
        Ok(())
    }

    fn finish(&mut self, done: Done) {
        let (slot, at) = (Slot::of_number((done.token >> 32) as u32), done.token as u32 as usize);
        let Some(mut job) = self.jobs.remove(&slot) else { return };
        job.waiting -= 1;
        if matches!(job.step, Step::Read) {
            if done.buffer.len() == job.bytes {
                job.buffer = done.buffer;
            } else {
                job.buffer[at..at + done.buffer.len()].copy_from_slice(&done.buffer);
            }
        }
        self.proceed(slot, job, done.result);
    }

    /// Does the next step of a job, if the last one is over.
    fn proceed(&mut self, slot: Slot, mut job: Job, mut result: io::Result<()>) {
        loop {
            if let Err(e) = result {
                let unsupported = e.kind() == io::ErrorKind::Unsupported;
                job.status = if unsupported { RSP_EOPNOTSUPP } else { RSP_ERROR };
                self.complain(&e);
            }
            if job.waiting > 0 {
                self.jobs.insert(slot, job);
                return;
            }
            if job.status != RSP_OKAY {
                break;
            }
            result = match job.step {
                Step::Read => {
                    let buffer = mem::take(&mut job.buffer);
                    match self.memory.write(&job.parts, &buffer) {
                        Ok(()) => break,
                        Err(e) => Err(io::Error::other(e)),
                    }
                }
                Step::FlushFirst { then } => {
                    job.step = Step::Write { durable: then };
                    self.write(slot, &mut job)
                }
                Step::Write { durable: true } => {
                    job.step = Step::Flush;
                    let file = Arc::clone(self.disk.image.file());
                    self.work(slot, &mut job, 0, &file, Op::Sync)
                }
                Step::Discard { next, end } if next < end => self.discard(slot, &mut job),
                Step::Write { .. } | Step::Flush | Step::Discard { .. } => break,
            };
        }
        self.bytes -= job.bytes;
        self.answer(slot, &job);
    }

    fn answer(&mut self, slot: Slot, job: &Job) {
        self.ledger.answer(slot, self.ring.next_response());
        self.ring.respond(job.id, job.operation, job.status);
        self.answered.push(slot);
    }

    fn complain(&mut self, about: &impl Display) {
        self.complaints += 1;
        if self.complaints <= COMPLAINTS || self.complaints.is_power_of_two() {
            eprintln!("tenon-blockd: {}: {about} (complaint {})", self.disk.name, self.complaints);
        }
    }
}

/// Why a queue ended.
#[derive(Debug)]
pub enum Broken {
    /// The guest broke the ring.
    Overrun(Overrun),
    /// The hypervisor refused.
    Xen(XenError),
    /// The system refused.
    Io(io::Error),
}

impl Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Overrun(Overrun { claimed }) => {
                write!(f, "the guest claims {claimed} requests without an answer, more than its ring holds")
            }
            Self::Xen(e) => e.fmt(f),
            Self::Io(e) => e.fmt(f),
        }
    }
}

impl From<Overrun> for Broken {
    fn from(e: Overrun) -> Self {
        Self::Overrun(e)
    }
}

impl From<XenError> for Broken {
    fn from(e: XenError) -> Self {
        Self::Xen(e)
    }
}

impl From<io::Error> for Broken {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

#[cfg(test)]
mod tests;
