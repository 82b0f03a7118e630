//! A store in this process.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use onceward::{BootClock, Store, StoreConfig, Ticker, Waitable};
use onceward_core::{Begin, BeginOutcome, Get, GetOutcome, Identity};

use crate::error::{ClientError, OpenError};

pub(crate) struct Embedded {
    pub(crate) store: Store,
    /// Ends waits and leases of a store that belongs to this client; stops with it.
    _ticker: Option<Ticker>,
}

impl Embedded {
    /// Somebody else's store, which somebody else ticks.
    pub(crate) const fn over(store: Store) -> Self {
        Self { store, _ticker: None }
    }

    /// A store of the client's own, with a thread that ticks it.
    pub(crate) fn start() -> Result<Self, OpenError> {
        let failed = |error: onceward::StartError| OpenError::Store { message: error.to_string() };
        let store =
            Store::new(StoreConfig::default(), Arc::new(BootClock::new())).map_err(failed)?;
        let ticker = Ticker::start(&store).map_err(failed)?;
        Ok(Self { store, _ticker: Some(ticker) })
    }

    /// Dropping the future gives up the place in line.
    pub(crate) async fn begin(
        &self,
        identity: Identity<'_>,
        request: &Begin,
    ) -> Result<BeginOutcome<Bytes>, ClientError> {
        let own = |outcome: BeginOutcome<&[u8]>| outcome.map(Bytes::copy_from_slice);
        let mut ticket = None;
        let answer = poll_fn(|context| {
            let waker = context.waker();
            if let Some(ticket) = &mut ticket {
                return onceward::BeginTicket::poll(ticket, waker, own);
            }
            match self.store.begin_or_wait(identity, request, waker, own) {
                Ok(Waitable::Answered(answer)) => Poll::Ready(Ok(answer)),
                Ok(Waitable::Waiting(waiting)) => {
                    ticket = Some(waiting);
                    Poll::Pending
                }
                Err(error) => Poll::Ready(Err(error)),
            }
        });
        Ok(answer.await?.value)
    }

    /// Dropping the future gives up the place in line.
    pub(crate) async fn get(
        &self,
        identity: Identity<'_>,
        request: &Get,
    ) -> Result<GetOutcome<Bytes>, ClientError> {
        let own = |outcome: GetOutcome<&[u8]>| outcome.map(Bytes::copy_from_slice);
        let mut ticket = None;
        let answer = poll_fn(|context| {
            let waker = context.waker();
            if let Some(ticket) = &mut ticket {
                return onceward::GetTicket::poll(ticket, waker, own);
            }
            match self.store.get_or_wait(identity, request, waker, own) {
                Ok(Waitable::Answered(answer)) => Poll::Ready(Ok(answer)),
                Ok(Waitable::Waiting(waiting)) => {
                    ticket = Some(waiting);
                    Poll::Pending
                }
                Err(error) => Poll::Ready(Err(error)),
            }
        });
        Ok(answer.await?.value)
    }
}
