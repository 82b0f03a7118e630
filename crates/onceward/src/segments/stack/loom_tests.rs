//! Every interleaving, within a bound of preemptions, of threads on one stack: a node is in one
//! place, and whoever takes it sees what was written to it.

use loom::sync::Arc;
use loom::thread;

use super::*;
use crate::segments::atomic::model;
use crate::segments::mutant::fails_for;

const NODES: usize = 3;
const IN_ONE_PLACE: &str = "a node is in one place";
const AS_WRITTEN: &str = "a node is seen as it was written";

struct Bench {
    stack: Stack,
    nodes: Nodes,
}

struct Nodes {
    links: [AtomicU64; NODES],
    contents: [loom::sync::atomic::AtomicU64; NODES],
}

impl Links for Nodes {
    fn link(&self, number: u64) -> &AtomicU64 {
        &self.links[number as usize - 1]
    }
}

impl Bench {
    /// With these nodes, the last one first.
    fn new(there: &[u64]) -> Arc<Self> {
        let nodes = Nodes {
            links: std::array::from_fn(|_| AtomicU64::new(0)),
            contents: std::array::from_fn(|_| loom::sync::atomic::AtomicU64::new(0)),
        };
        let bench = Self { stack: Stack::new(), nodes };
        there.iter().for_each(|&number| bench.push(number));
        Arc::new(bench)
    }

    fn push(&self, number: u64) {
        self.nodes.contents[number as usize - 1].store(number + 40, Relaxed);
        self.stack.push(&self.nodes, number);
    }

    fn see(&self, number: u64) {
        let content = self.nodes.contents[number as usize - 1].load(Relaxed);
        assert_eq!(content, number + 40, "{AS_WRITTEN}");
    }

    fn pop(&self) -> Option<u64> {
        let popped = self.stack.pop(&self.nodes);
        popped.iter().for_each(|&number| self.see(number));
        popped
    }

    fn take(&self) -> Vec<u64> {
        let (mut taken, mut number) = (Vec::new(), self.stack.take());
        while number != 0 {
            self.see(number);
            taken.push(number);
            assert!(taken.len() <= NODES, "{IN_ONE_PLACE}, and no list ends in itself");
            number = self.nodes.link(number).load(Relaxed);
        }
        taken
    }

    /// These and what is left on the stack are `all`.
    fn settle(&self, held: impl IntoIterator<Item = u64>, all: &[u64]) {
        let mut found: Vec<_> = held.into_iter().chain(self.take()).collect();
        found.sort_unstable();
        assert_eq!(found, all, "{IN_ONE_PLACE}");
    }
}

fn beside<T: 'static>(
    bench: &Arc<Bench>,
    act: impl FnOnce(&Bench) -> T + 'static,
) -> thread::JoinHandle<T> {
    let bench = Arc::clone(bench);
    thread::spawn(move || act(&bench))
}

fn push_beside_push() {
    model(3, || {
        let bench = Bench::new(&[]);
        let pushing = beside(&bench, |bench| bench.push(1));
        bench.push(2);
        let popped = bench.pop();
        pushing.join().unwrap();
        bench.settle(popped, &[1, 2]);
    });
}

#[test]
fn of_two_pushes_none_is_lost() {
    push_beside_push();
    fails_for(Mutant::PushRelaxed, AS_WRITTEN, push_beside_push);
}

fn pops_beside_push() {
    model(3, || {
        let bench = Bench::new(&[1]);
        let pushing = beside(&bench, |bench| bench.push(2));
        let popping = beside(&bench, Bench::pop);
        let popped = bench.pop();
        pushing.join().unwrap();
        let other = popping.join().unwrap();
        bench.settle(popped.into_iter().chain(other), &[1, 2]);
    });
}

#[test]
fn each_node_is_popped_once_and_as_it_was_written() {
    pops_beside_push();
    fails_for(Mutant::PushRelaxed, AS_WRITTEN, pops_beside_push);
}

/// As a slot of the wheel: some push segments, and the reclaimer takes what there is.
fn take_beside_pushes() {
    model(3, || {
        let bench = Bench::new(&[1]);
        let pushes = [2, 3].map(|number| beside(&bench, move |bench| bench.push(number)));
        let taken = bench.take();
        for push in pushes {
            push.join().unwrap();
        }
        bench.settle(taken, &[1, 2, 3]);
    });
}

#[test]
fn what_is_pushed_beside_a_take_is_taken_or_left() {
    take_beside_pushes();
    fails_for(Mutant::TakeStores, IN_ONE_PLACE, take_beside_pushes);
    fails_for(Mutant::PushRelaxed, AS_WRITTEN, take_beside_pushes);
}

/// One pop pauses with the head and its link; the other takes both nodes and puts the head back.
fn pop_beside_the_head_coming_back() {
    model(3, || {
        let bench = Bench::new(&[3, 2, 1]);
        let popping = beside(&bench, Bench::pop);
        let first = bench.pop();
        let second = bench.pop();
        let back = first == Some(1);
        if back {
            bench.push(1);
        }
        let popped = popping.join().unwrap();
        bench.settle(first.filter(|_| !back).into_iter().chain(second).chain(popped), &[1, 2, 3]);
    });
}

#[test]
fn a_head_that_came_back_is_not_mistaken_for_itself() {
    pop_beside_the_head_coming_back();
    fails_for(Mutant::TagStands, IN_ONE_PLACE, pop_beside_the_head_coming_back);
}
