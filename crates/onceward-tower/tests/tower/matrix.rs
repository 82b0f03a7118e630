//! Every ending of a handler under every preset, met by a retry, by a request at the same time and
//! by another payload, on both stores (H5, S1).

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use onceward_client::Client;
use onceward_http::{Disposition, Ending, disposition};
use onceward_tower::{Ambiguous, IdempotencyLayer, NoSideEffect, Outcome, Preset};
use tokio::sync::Semaphore;

use crate::call::{
    Answered, Error, Guarded, Handling, Reply, Runs, answer, call, guard, handler, post, send,
};
use crate::stores::on_each;

/// How the handler of one row ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Status(u16),
    Marked(u16),
    Truncated,
    Error,
    Panic,
}

/// A status of each class, and every one that a preset may treat in a way of its own.
const ENDS: [End; 26] = [
    End::Status(200),
    End::Status(201),
    End::Status(204),
    End::Status(303),
    End::Status(400),
    End::Status(401),
    End::Status(403),
    End::Status(404),
    End::Status(405),
    End::Status(406),
    End::Status(408),
    End::Status(409),
    End::Status(413),
    End::Status(415),
    End::Status(421),
    End::Status(422),
    End::Status(425),
    End::Status(429),
    End::Status(500),
    End::Status(503),
    End::Status(599),
    End::Marked(400),
    End::Marked(503),
    End::Truncated,
    End::Error,
    End::Panic,
];

impl End {
    fn ending(self) -> Ending {
        let status = |status| StatusCode::from_u16(status).expect("a status");
        match self {
            Self::Status(of) => Ending::Response { status: status(of), no_side_effect: false },
            Self::Marked(of) => Ending::Response { status: status(of), no_side_effect: true },
            Self::Truncated => Ending::Truncated,
            Self::Error => Ending::Failed,
            Self::Panic => Ending::Panicked,
        }
    }

    fn happen(self, run: usize) -> Result<Response<Body>, Error> {
        let body = match self {
            Self::Status(204) => String::new(),
            _ => format!("run {run}"),
        };
        match self {
            Self::Status(status) => Ok(answer(status, body)),
            Self::Marked(status) => {
                let mut answer = answer(status, body);
                answer.extensions_mut().insert(NoSideEffect);
                Ok(answer)
            }
            Self::Truncated => {
                let frames = [Ok(Frame::data(Bytes::from(body))), Err("broke off")];
                Ok(answer(200, Body::new(StreamBody::new(futures_util::stream::iter(frames)))))
            }
            Self::Error => Err("no answer"),
            Self::Panic => panic!("planted"),
        }
    }

    /// What a retry sees of an answer that is kept.
    fn kept(self) -> (u16, String) {
        match self {
            Self::Status(204) => (204, String::new()),
            Self::Status(status) | Self::Marked(status) => (status, "run 1".to_owned()),
            Self::Truncated => (502, "response-truncated".to_owned()),
            Self::Error | Self::Panic => (500, "handler-failed".to_owned()),
        }
    }
}

/// One row of the matrix: a guarded handler that ends so, once it is let go.
struct Row {
    service: Guarded,
    runs: Runs,
    entered: Arc<Semaphore>,
    go: Arc<Semaphore>,
}

impl Row {
    fn new(layer: &IdempotencyLayer<Client>, end: End) -> Self {
        let runs = Runs::default();
        let (entered, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let service = {
            let (runs, entered, go) = (runs.clone(), Arc::clone(&entered), Arc::clone(&go));
            handler(move |_: Handling| {
                let (run, go) = (runs.add(), Arc::clone(&go));
                entered.add_permits(1);
                async move {
                    go.acquire().await.expect("never closed").forget();
                    end.happen(run)
                }
            })
        };
        Self { service: guard(layer, service), runs, entered, go }
    }

    /// A request that may run: what its caller sees, if it sees an answer.
    async fn run(&self, key: &str, body: &'static str) -> Option<Reply> {
        self.go.add_permits(1);
        finish(call(&self.service, post(key, body))).await
    }
}

async fn finish(call: impl Future<Output = Answered> + Send + 'static) -> Option<Reply> {
    // In a task of its own, for a handler's panic goes on to its caller.
    let answer = tokio::spawn(call).await.ok()?.ok()?;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    let outcome = parts.extensions.get().copied();
    Some(Reply { status: parts.status.as_u16(), headers: parts.headers, body, outcome })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_ending_under_every_preset_h5() {
    std::panic::set_hook(Box::new(|panic| {
        if panic.payload().downcast_ref() != Some(&"planted") {
            eprintln!("{panic}");
        }
    }));
    on_each(async |store, client| {
        let mut cells = 0;
        for preset in Preset::ALL {
            for ambiguous in Ambiguous::ALL {
                let layer = IdempotencyLayer::new(client.clone())
                    .global()
                    .with_policy(|policy| policy.with_preset(preset).with_ambiguous(ambiguous));
                for end in ENDS {
                    let key = format!("{}-{}-{end:?}", preset.name(), ambiguous.name());
                    let key: String = key.replace(['(', ')'], "-");
                    let cell = format!("{store}: {key}");
                    let want = disposition(preset, ambiguous, &end.ending());
                    check(&Row::new(&layer, end), &key, end, want, &cell).await;
                    cells += 4;
                }
            }
        }
        assert_eq!(cells, 4 * 3 * ENDS.len() * 4, "{store}");
    })
    .await;
}

async fn check(row: &Row, key: &str, end: End, want: Disposition, cell: &str) {
    // While the first runs.
    let first = tokio::spawn(finish(call(&row.service, post(key, "one"))));
    row.entered.acquire().await.expect("never closed").forget();
    let concurrent = send(&row.service, post(key, "one")).await;
    assert_eq!(concurrent.shown(), (409, "in-progress".to_owned()), "{cell}: concurrent");
    assert!(concurrent.headers.contains_key("retry-after"), "{cell}: concurrent");
    let other = send(&row.service, post(key, "two")).await;
    assert_eq!(other.shown(), (422, "mismatch".to_owned()), "{cell}: concurrent, other payload");
    assert_eq!(row.runs.count(), 1, "{cell}: concurrent requests run nothing");

    // The first is answered by its handler, or as without the layer.
    row.go.add_permits(1);
    let first = first.await.expect("the caller's task ends");
    match end {
        End::Status(status) | End::Marked(status) => {
            let first = first.expect("an answer");
            assert_eq!((first.status, first.outcome), (status, Some(Outcome::Fresh)), "{cell}");
            assert!(!first.headers.contains_key("idempotency-replayed"), "{cell}: fresh");
        }
        End::Truncated | End::Error | End::Panic => assert!(first.is_none(), "{cell}: fresh"),
    }

    // A retry, and then another payload.
    match want {
        Disposition::Keep => {
            let replay = send(&row.service, post(key, "one")).await;
            assert_eq!(replay.shown(), end.kept(), "{cell}: replay");
            assert_eq!(replay.outcome, Some(Outcome::Replayed), "{cell}: replay");
            assert_eq!(replay.headers["idempotency-replayed"], "true", "{cell}: replay");
            let other = send(&row.service, post(key, "two")).await;
            assert_eq!(other.shown(), (422, "mismatch".to_owned()), "{cell}: other payload");
            assert_eq!(row.runs.count(), 1, "{cell}: ran once");
        }
        Disposition::NotDone => {
            row.run(key, "one").await;
            assert_eq!(row.runs.count(), 2, "{cell}: a retry runs");
            row.run(key, "two").await;
            assert_eq!(row.runs.count(), 3, "{cell}: a payload that is put right runs");
        }
        Disposition::InDoubt => {
            let retry = send(&row.service, post(key, "one")).await;
            assert_eq!(retry.shown(), (409, "in-doubt".to_owned()), "{cell}: retry");
            let other = send(&row.service, post(key, "two")).await;
            assert_eq!(other.shown(), (422, "mismatch".to_owned()), "{cell}: other payload");
            assert_eq!(row.runs.count(), 1, "{cell}: ran once");
        }
    }
}
