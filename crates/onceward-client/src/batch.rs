//! Many operations in one call: pipelined, each with its own answer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bytes::Bytes;
use futures_util::stream::{StreamExt as _, iter};
use onceward_core::{Begin, BeginOutcome, Complete, CompleteOutcome, ScopedKey};

use crate::client::Client;
use crate::error::ClientError;

/// Most items of one [`Client::begin_many`] or [`Client::complete_many`]. More is bad input: split
/// the batch.
pub const BATCH_ITEMS_MAX: usize = 65_536;

/// Most items of one batch in flight at once; fewer where the connection allows fewer. Beyond it
/// a batch gains nothing, and its futures take memory.
pub(crate) const BATCH_IN_FLIGHT_MAX: usize = 1_024;

/// What each item of a batch came to, in the order of the items.
pub type Each<T> = Vec<Result<T, ClientError>>;

impl Client {
    /// [`Client::begin`] for every item, and each its own answer: an item that fails, or is bad
    /// input, is no matter to the others. Items of one key are asked one after the other, in order.
    ///
    /// Items of different keys share round trips: as many as the connection allows, and at most
    /// 1,024, are in flight at once, written together, so that a batch takes about one round trip
    /// for each 1,024 items. Memory: one future for each item in flight, one answer for each item.
    /// Retries and deadlines are each item's own, counted from when it is sent. Dropping the future
    /// gives up the answers that have not come, not their effect.
    ///
    /// # Errors
    /// [`ClientError::BadInput`] for more than [`BATCH_ITEMS_MAX`] items: nothing is asked.
    pub async fn begin_many(
        &self,
        items: &[(ScopedKey<'_>, Begin)],
    ) -> Result<Each<BeginOutcome<Bytes>>, ClientError> {
        self.many(items, async |key, begin| self.begin(key, begin).await).await
    }

    /// [`Client::complete`] for every item, otherwise as [`Client::begin_many`].
    ///
    /// # Errors
    /// [`ClientError::BadInput`] for more than [`BATCH_ITEMS_MAX`] items: nothing is asked.
    pub async fn complete_many(
        &self,
        items: &[(ScopedKey<'_>, Complete<'_>)],
    ) -> Result<Each<CompleteOutcome>, ClientError> {
        self.many(items, async |key, complete| self.complete(key, complete).await).await
    }

    async fn many<'a, Q, T>(
        &self,
        items: &'a [(ScopedKey<'a>, Q)],
        ask: impl AsyncFn(ScopedKey<'a>, &'a Q) -> Result<T, ClientError>,
    ) -> Result<Each<T>, ClientError> {
        if items.len() > BATCH_ITEMS_MAX {
            return Err(ClientError::BadInput {
                field: "batch".to_owned(),
                message: format!("batch has {} items: send at most {BATCH_ITEMS_MAX}", items.len()),
            });
        }
        let _gathers = self.gather();
        let chains = iter(chains(items.iter().map(|(key, _)| *key)));
        let mut asking = chains
            .map(async |chain: Vec<usize>| {
                let mut answers = Vec::with_capacity(chain.len());
                for index in chain {
                    let (key, request) = &items[index];
                    answers.push((index, ask(*key, request).await));
                }
                answers
            })
            .buffer_unordered(self.in_flight_max().await.clamp(1, BATCH_IN_FLIGHT_MAX));
        let mut each: Vec<_> = items.iter().map(|_| None).collect();
        while let Some(answers) = asking.next().await {
            for (index, answer) in answers {
                each[index] = Some(answer);
            }
        }
        Ok(each.into_iter().flatten().collect())
    }
}

/// The indices of the items of each key, in order; keys in the order of their first items.
fn chains<'a>(keys: impl Iterator<Item = ScopedKey<'a>>) -> Vec<Vec<usize>> {
    let mut chains: Vec<Vec<usize>> = Vec::new();
    let mut of_key = HashMap::new();
    for (index, key) in keys.enumerate() {
        match of_key.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(chains.len());
                chains.push(vec![index]);
            }
            Entry::Occupied(chain) => chains[*chain.get()].push(index),
        }
    }
    chains
}
