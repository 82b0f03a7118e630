//! One connection: its socket, its buffers, and a slot for each request that may be in flight.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};

use super::desk::{Desk, Next};
use super::dialect::{Answer, Dialect, Grant};
use super::script::Job;
use super::socket::{Address, Socket};
use super::tally::Kind;
use crate::engine::Fault;

/// Bytes that one read takes at most, unless one reply is larger.
const INPUT_BYTES: usize = 64 * 1024;

#[derive(Clone, Copy, Debug)]
struct Flight {
    job: Job,
    kind: Kind,
    /// Where its latency counts from, and in the open loop when it was to start.
    from_ns: u64,
    /// When the slot was free for it.
    free_ns: u64,
}

/// One connection of a thread.
#[derive(Debug)]
pub(super) struct Connection<D> {
    socket: Socket,
    dialect: D,
    input: Vec<u8>,
    filled: usize,
    output: Vec<u8>,
    written: usize,
    slots: Vec<Option<Flight>>,
    free: Vec<(u32, u64)>,
    /// Encoded since the last write.
    fresh: Vec<u32>,
}

impl<D: Dialect> Connection<D> {
    /// Connects and shakes hands, waiting for it.
    ///
    /// # Errors
    /// Nobody listens, or the server refuses.
    pub(super) fn open(address: &Address, mut dialect: D, pipeline: usize) -> Result<Self, Fault> {
        let socket = Socket::connect(address)?;
        let mut output = Vec::new();
        dialect.handshake(&mut output);
        let slots = vec![None; pipeline];
        let mut connection = Self {
            socket,
            dialect,
            input: vec![0; INPUT_BYTES],
            filled: 0,
            output,
            written: 0,
            slots,
            free: Vec::new(),
            fresh: Vec::new(),
        };
        connection.socket.greet(&connection.output)?;
        connection.output.clear();
        loop {
            let input = &connection.input[..connection.filled];
            if let Some(taken) = connection.dialect.greeted(input)? {
                connection.input.copy_within(taken..connection.filled, 0);
                connection.filled -= taken;
                connection.socket.make_ready()?;
                connection.release(0);
                return Ok(connection);
            }
            let got = connection.socket.read(&mut connection.input[connection.filled..])?;
            if got == 0 {
                return Err("the server closed the connection instead of greeting".into());
            }
            connection.filled += got;
        }
    }

    /// Makes every slot free, as of `now_ns`.
    pub(super) fn release(&mut self, now_ns: u64) {
        self.free = (0..self.slots.len() as u32).rev().map(|slot| (slot, now_ns)).collect();
    }

    /// Slots without a request.
    #[must_use]
    pub(super) fn free_slots(&self) -> usize {
        self.free.len()
    }

    /// Whether a write is due.
    #[must_use]
    pub(super) fn has_output(&self) -> bool {
        self.written < self.output.len()
    }

    /// Starts an operation on a free slot, which it gives. Nothing is written yet.
    ///
    /// # Errors
    /// The dialect's, or there is no free slot.
    pub(super) fn start(
        &mut self,
        desk: &mut Desk<'_>,
        job: Job,
        kind: Kind,
        intended_ns: u64,
    ) -> Result<u32, Fault> {
        let (slot, free_ns) = self.free.pop().ok_or("no slot is free")?;
        desk.begin(job, slot, kind, &mut self.dialect, &mut self.output)?;
        desk.in_flight += 1;
        desk.started += 1;
        self.take_off(slot, Flight { job, kind, from_ns: intended_ns, free_ns });
        Ok(slot)
    }

    /// Goes on with an operation whose slot was kept. Nothing is written yet.
    ///
    /// # Errors
    /// The dialect's.
    pub(super) fn complete(
        &mut self,
        desk: &mut Desk<'_>,
        job: Job,
        grant: Grant,
        slot: u32,
        now: u64,
    ) -> Result<(), Fault> {
        desk.complete(job, grant, slot, &mut self.dialect, &mut self.output)?;
        let kind = Kind::Complete;
        self.take_off(slot, Flight { job, kind, from_ns: now, free_ns: now });
        Ok(())
    }

    fn take_off(&mut self, slot: u32, flight: Flight) {
        self.slots[slot as usize] = Some(flight);
        self.fresh.push(slot);
    }

    /// Writes what was encoded, as far as the socket takes it, and gives the new requests their
    /// start.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn send(&mut self, desk: &mut Desk<'_>) -> Result<(), Fault> {
        if !self.fresh.is_empty() {
            let now = desk.now();
            let open = desk.source.is_open();
            for slot in self.fresh.drain(..) {
                let Some(flight) = &mut self.slots[slot as usize] else { continue };
                if open {
                    desk.tally.send_lag.record(now.saturating_sub(flight.from_ns));
                    let due = flight.from_ns.max(flight.free_ns);
                    desk.tally.lag.record(now.saturating_sub(due));
                } else {
                    flight.from_ns = now;
                }
            }
        }
        while self.has_output() {
            match self.socket.write(&self.output[self.written..]) {
                Ok(0) => return Err("the server closed the connection".into()),
                Ok(size) => self.written += size,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("a connection was lost: {error}").into()),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads once, has every whole reply judged, and encodes what follows from it: the complete of
    /// an acquired key; when a slot is free, the next operation that is due.
    ///
    /// # Errors
    /// The server hung up, or speaks otherwise.
    pub(super) fn receive(
        &mut self,
        desk: &mut Desk<'_>,
        mut judge: impl FnMut(&mut Desk<'_>, Kind, Job, &Answer<'_>) -> Next,
    ) -> Result<(), Fault> {
        match self.socket.read(&mut self.input[self.filled..]) {
            Ok(0) => return Err("the server closed the connection".into()),
            Ok(size) => self.filled += size,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(());
            }
            Err(error) => return Err(format!("a connection was lost: {error}").into()),
        }
        let now = desk.now();
        let mut at = 0;
        while let Some(reply) = self.dialect.decode(&self.input[at..self.filled])? {
            at += reply.consumed;
            let slot = reply.slot;
            let flight = self.slots.get_mut(slot as usize).and_then(Option::take);
            let Some(Flight { job, kind, from_ns, .. }) = flight else {
                return Err("the server answered what was not asked".into());
            };
            desk.tally.received(
                kind,
                reply.consumed,
                now.saturating_sub(desk.since(kind, from_ns)),
            );
            match judge(desk, kind, job, &reply.answer) {
                Next::Complete(grant) => self.complete(desk, job, grant, slot, now)?,
                Next::Keep => {}
                Next::Done => {
                    self.free.push((slot, now));
                    desk.in_flight -= 1;
                    if desk.follows
                        && let Some((step, intended)) = desk.source.take(now)
                    {
                        let job = desk.script.job(desk.phase, step);
                        self.start(desk, job, Kind::of(job.operation), intended)?;
                    }
                }
            }
        }
        self.input.copy_within(at..self.filled, 0);
        self.filled -= at;
        if self.filled == self.input.len() {
            self.input.resize(2 * self.filled, 0); // One reply is larger.
        }
        Ok(())
    }
}

impl<D> AsFd for Connection<D> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
