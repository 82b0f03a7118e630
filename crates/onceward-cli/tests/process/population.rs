//! Entries for operators to look at, more of them than commands could begin one by one.

use onceward_client::{Abandon, Begin, BeginOutcome, Body, Certainty, Client, Complete};
use onceward_client::{Fingerprint, Millis, ScopedKeyBuf, StoredResult, Token, attempt_id};

/// What becomes of an entry after its begin.
#[derive(Clone, Copy)]
pub(crate) enum Fate {
    /// Its lease of an hour runs.
    Reserved,
    Completed,
    InDoubt,
}

/// Begins each (scope, key), and leaves it to its fate.
pub(crate) fn populate<S, K>(url: &str, fate: Fate, entries: impl IntoIterator<Item = (S, K)>)
where
    S: AsRef<[u8]>,
    K: AsRef<[u8]>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let client = Client::builder(url).request_timeout(crate::daemon::PATIENCE);
        let client = client.open().expect("a URL");
        for (scope, key) in entries {
            let key = ScopedKeyBuf::new(scope, key).expect("within limits");
            let token = begin(&client, &key).await;
            match fate {
                Fate::Reserved => {}
                Fate::Completed => {
                    let body = Body::Kept(&b"done"[..]);
                    let result = StoredResult { status: 201, metadata: &[][..], body };
                    let complete = Complete { token, result, fingerprint: None };
                    let outcome = client.complete(key.as_ref(), &complete).await;
                    assert_eq!(outcome.expect("an answer").name(), "completed");
                }
                Fate::InDoubt => {
                    let abandon = Abandon { token, certainty: Certainty::InDoubt };
                    client.abandon(key.as_ref(), &abandon).await.expect("an answer");
                }
            }
        }
    });
}

async fn begin(client: &Client, key: &ScopedKeyBuf) -> Token {
    let begin =
        Begin { lease: Millis::from_secs(3_600), ..Begin::new(Fingerprint::None, attempt_id()) };
    match client.begin(key.as_ref(), &begin).await.expect("an answer") {
        BeginOutcome::Acquired(acquired) => acquired.token,
        other => panic!("nobody else begins it: {}", other.name()),
    }
}
