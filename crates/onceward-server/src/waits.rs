//! The requests of one connection that wait.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use onceward::{BeginTicket, GetTicket};
use onceward_proto::Opcode;

use crate::mailbox::Mailbox;

/// A place in the store's line.
#[derive(Debug)]
pub(crate) enum Ticket {
    Begin(BeginTicket),
    Get(GetTicket),
}

/// One request that waits.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) correlation: u64,
    pub(crate) ticket: Ticket,
}

#[derive(Debug)]
struct Place {
    waker: Waker,
    wait: Option<Wait>,
}

/// The waits of one connection. Entering, ending and cancelling cost the same however many there
/// are; no memory is held while there are none, once [`Waits::release_memory`] was called.
#[derive(Debug)]
pub(crate) struct Waits {
    mailbox: Arc<Mailbox>,
    places: Vec<Place>,
    /// Places that nobody waits in.
    vacant: Vec<u32>,
    /// Place by correlation, for CANCEL. Of two waits under one correlation, which the peer may
    /// not send, the later one.
    by_correlation: HashMap<u64, u32>,
    /// Places taken from the mailbox and not looked at yet.
    ended: VecDeque<u32>,
}

impl Waits {
    pub(crate) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self {
            mailbox,
            places: Vec::new(),
            vacant: Vec::new(),
            by_correlation: HashMap::new(),
            ended: VecDeque::new(),
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.vacant.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The waker of the place that [`Waits::enter`] will take next.
    pub(crate) fn next_waker(&mut self) -> &Waker {
        let number = match self.vacant.last() {
            Some(&number) => number,
            None => {
                // Bounded by `in_flight_max`, which fits.
                let number = self.places.len() as u32;
                let waker = self.mailbox.waker(number);
                self.places.push(Place { waker, wait: None });
                self.vacant.push(number);
                number
            }
        };
        &self.places[number as usize].waker
    }

    /// Takes the place whose waker the ticket has.
    pub(crate) fn enter(&mut self, wait: Wait) {
        self.next_waker();
        let Some(number) = self.vacant.pop() else { return };
        self.by_correlation.insert(wait.correlation, number);
        self.places[number as usize].wait = Some(wait);
    }

    /// Whether [`Waits::next_ended`] may find one.
    pub(crate) fn may_have_ended(&self) -> bool {
        !self.ended.is_empty() || self.mailbox.has_ended()
    }

    /// The next wait that may have an answer, with its place and waker.
    pub(crate) fn next_ended(&mut self) -> Option<(u32, &mut Wait, &Waker)> {
        loop {
            if self.ended.is_empty() {
                self.mailbox.take(&mut self.ended);
            }
            let number = self.ended.pop_front()?;
            // A call for whoever waited here before finds nobody, or finds its successor unanswered.
            let occupied =
                self.places.get(number as usize).is_some_and(|place| place.wait.is_some());
            if occupied {
                let Place { waker, wait } = &mut self.places[number as usize];
                return wait.as_mut().map(|wait| (number, wait, &*waker));
            }
        }
    }

    /// Leaves a place.
    pub(crate) fn leave(&mut self, number: u32) {
        let Some(wait) = self.places[number as usize].wait.take() else { return };
        if self.by_correlation.get(&wait.correlation) == Some(&number) {
            self.by_correlation.remove(&wait.correlation);
        }
        self.vacant.push(number);
    }

    /// The wait of the request numbered `correlation`.
    pub(crate) fn find(&mut self, correlation: u64) -> Option<&mut Wait> {
        let number = *self.by_correlation.get(&correlation)?;
        self.places[number as usize].wait.as_mut()
    }

    /// Takes everybody out of their places; whoever is dropped then leaves the line.
    pub(crate) fn take_all(&mut self) -> Vec<Wait> {
        self.vacant = Vec::new();
        self.by_correlation = HashMap::new();
        self.ended = VecDeque::new();
        std::mem::take(&mut self.places).into_iter().filter_map(|place| place.wait).collect()
    }

    /// Gives the memory back, if nobody waits.
    pub(crate) fn release_memory(&mut self) {
        if self.is_empty() {
            self.places = Vec::new();
            self.vacant = Vec::new();
            self.by_correlation = HashMap::new();
            self.ended = VecDeque::new();
        }
    }
}

impl Wait {
    /// The request's operation.
    pub(crate) const fn opcode(&self) -> Opcode {
        match self.ticket {
            Ticket::Begin(_) => Opcode::Begin,
            Ticket::Get(_) => Opcode::Get,
        }
    }
}
