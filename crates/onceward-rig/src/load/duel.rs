//! Two parties at one key while the daemon stands still for longer than the lease.

use std::sync::Arc;
use std::time::Duration;

use onceward_client::Client;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::call::{Asked, Call, Owner, Told};
use crate::load::Shared;
use crate::load::caller::{Question, ask};
use crate::load::content::Content;
use crate::load::kind::Kind;

const LEASE: Duration = Duration::from_millis(300);

/// Longer than the lease, and than any cached time should last.
const STILL: Duration = Duration::from_millis(700);

/// For requests to be written to the sockets, in the order in which they are to be read.
const WRITTEN: Duration = Duration::from_millis(25);

fn begin(shared: &Shared, key: u32) -> Asked {
    let attempt = shared.notebook().new_attempt();
    let print = Kind { later: false, ..Kind::of(key) }.print(key);
    let retention = Duration::from_secs(3_600);
    Asked::Begin { attempt, print, lease: LEASE, retention, in_doubt: false }
}

struct Duel {
    shared: Arc<Shared>,
    under_way: JoinSet<Call>,
}

impl Duel {
    fn send(&mut self, client: &Client, key: u32, question: Question) {
        let client = client.clone();
        self.under_way.spawn(async move { ask(&client, key, question).await });
    }

    fn note(&self, call: &Call) {
        self.shared.notebook().write(call);
        self.shared.record(call.clone());
    }
}

/// Owners of the keys' first half and rivals wait in the sockets of a daemon that stands still; so
/// do first begins and rivals of the second half. `pause` stops the daemon, or lets it go on.
pub(crate) async fn duel(
    clients: &[Client],
    shared: Arc<Shared>,
    keys: &[u32],
    mut pause: impl FnMut(bool),
) {
    let (held, fresh) = keys.split_at(keys.len() / 2);
    let mut owners = Vec::new();
    for &key in held {
        let call = ask(&clients[0], key, Question::of(begin(&shared, key))).await;
        if let (Asked::Begin { attempt, .. }, Some(Told::Acquired { fence, .. })) =
            (&call.asked, call.told)
        {
            owners.push((key, Owner { fence, attempt: *attempt }));
        }
        shared.notebook().write(&call);
        shared.record(call);
    }
    let mut duel = Duel { shared: Arc::clone(&shared), under_way: JoinSet::new() };
    pause(true);
    for (number, &(key, owner)) in owners.iter().enumerate() {
        let rival = Question::of(begin(&shared, key));
        let content = Content::of(key, owner.attempt, 0);
        let complete = Asked::Complete { owner, result: content.digest(), print: None };
        let complete = Question { content, ..Question::of(complete) };
        let renew = Question::of(Asked::Renew { owner, lease: LEASE, print: None });
        let own = if number.is_multiple_of(3) { renew } else { complete };
        // Both on one connection in either order, or on two.
        let (one, two) = (&clients[0], &clients[1]);
        if number.is_multiple_of(2) {
            duel.send(one, key, own);
            duel.send(if number.is_multiple_of(4) { one } else { two }, key, rival);
        } else {
            duel.send(one, key, rival);
            duel.send(two, key, own);
        }
    }
    sleep(STILL).await;
    for &key in fresh {
        duel.send(&clients[0], key, Question::of(begin(&shared, key)));
    }
    sleep(WRITTEN).await;
    for &key in fresh {
        duel.send(&clients[0], key, Question::of(begin(&shared, key)));
    }
    sleep(WRITTEN).await;
    pause(false);
    while let Some(call) = duel.under_way.join_next().await {
        if let Ok(call) = call {
            duel.note(&call);
        }
    }
    // A lease that was granted by an old time would have ended by now.
    for &key in fresh {
        duel.send(&clients[1], key, Question::of(begin(&shared, key)));
    }
    while let Some(call) = duel.under_way.join_next().await {
        if let Ok(call) = call {
            duel.note(&call);
        }
    }
}
