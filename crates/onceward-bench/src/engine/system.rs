//! What every measured system does.

use std::error::Error;

use crate::workload::Workload;

/// Why a measurement means nothing: an answer was wrong, or the machine lacks something.
pub type Fault = Box<dyn Error + Send + Sync>;

/// Operations in one batch.
pub const BATCH: usize = 16;

/// One entry that is asked for. Made for every system alike, and within what is timed.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Which entry.
    pub number: u64,
    /// Its key: 36 bytes of UUID text.
    pub key: [u8; 36],
}

impl Request {
    /// The request for this entry.
    #[must_use]
    pub fn of(workload: &Workload, number: u64) -> Self {
        Self { number, key: workload.key(number) }
    }
}

/// How a system got rid of entries whose time had ended.
#[derive(Clone, Copy, Debug)]
pub struct Expiry {
    /// Entries that went.
    pub entries: u64,
    /// Nanoseconds that it took for each.
    pub nanos_each: f64,
    /// Longest single slice of that work, in microseconds.
    pub slice_micros_max: f64,
}

/// A system under measurement. An answer other than the right one is a fault: what is broken is
/// not measured.
pub trait System: Sync {
    /// What a begin hands to its complete.
    type Token: Copy + Send + Sync;

    /// Claims a key that is new.
    ///
    /// # Errors
    /// The key was not new.
    fn begin(&self, request: &Request) -> Result<Self::Token, Fault>;

    /// Stores the value of a claimed key.
    ///
    /// # Errors
    /// The claim was not found.
    fn complete(&self, request: &Request, token: Self::Token, value: &[u8]) -> Result<(), Fault>;

    /// Asks for a key whose value is stored, and copies the value out: `into` is emptied first.
    ///
    /// # Errors
    /// There is no value.
    fn replay(&self, request: &Request, into: &mut Vec<u8>) -> Result<(), Fault>;

    /// Asks for a key that is claimed and has no value yet.
    ///
    /// # Errors
    /// It is something else.
    fn duplicate(&self, request: &Request) -> Result<(), Fault>;

    /// Looks a stored key up without asking to run, and copies its value out. `Ok(false)` where
    /// that is the same as [`System::replay`].
    ///
    /// # Errors
    /// There is no value.
    fn get(&self, _: &Request, _: &mut Vec<u8>) -> Result<bool, Fault> {
        Ok(false)
    }

    /// [`System::begin`] for each; pushes one token for each.
    ///
    /// # Errors
    /// As for one.
    fn begin_batch(
        &self,
        requests: &[Request; BATCH],
        tokens: &mut Vec<Self::Token>,
    ) -> Result<(), Fault> {
        for request in requests {
            tokens.push(self.begin(request)?);
        }
        Ok(())
    }

    /// [`System::complete`] for each.
    ///
    /// # Errors
    /// As for one.
    fn complete_batch(
        &self,
        requests: &[Request; BATCH],
        tokens: &[Self::Token; BATCH],
        values: &[&[u8]; BATCH],
    ) -> Result<(), Fault> {
        for at in 0..BATCH {
            self.complete(&requests[at], tokens[at], values[at])?;
        }
        Ok(())
    }

    /// [`System::replay`] for each, into a buffer for each.
    ///
    /// # Errors
    /// As for one.
    fn replay_batch(
        &self,
        requests: &[Request; BATCH],
        into: &mut [Vec<u8>; BATCH],
    ) -> Result<(), Fault> {
        for at in 0..BATCH {
            self.replay(&requests[at], &mut into[at])?;
        }
        Ok(())
    }

    /// Ends the time of all entries and waits until they are gone; `None` where the system has no
    /// expiry, or none whose clock could be moved. The system is empty afterwards.
    ///
    /// # Errors
    /// Entries stayed, or went uncounted.
    fn expire(&self) -> Result<Option<Expiry>, Fault> {
        Ok(None)
    }
}
