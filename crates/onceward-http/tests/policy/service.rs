//! A service without sockets: the policy between requests and the naive model of a store. What a
//! layer does with bytes and tasks, in the fewest steps.

use bytes::Bytes;
use http::{Request, Response, StatusCode, request};
use onceward_core::{
    Abandon, Acquired, AttemptId, BeginOutcome, Certainty, Limits, Millis, Replay, ScopedKeyBuf,
    Timestamp, Token,
};
use onceward_http::{
    Admission, Disposition, Ending, HttpPolicy, Step, after_abandon, after_complete,
};
use onceward_testkit::{Model, Operation, Outcome};

pub(crate) struct Service {
    pub(crate) policy: HttpPolicy,
    model: Model,
    /// An identity's place in the list is its number in the model.
    identities: Vec<ScopedKeyBuf>,
    attempts: u64,
}

/// A request whose handler runs.
#[derive(Debug)]
pub(crate) struct Running {
    identity: u32,
    token: Token,
}

pub(crate) fn order(key: &str, body: &'static str) -> Request<Bytes> {
    Request::post("/orders")
        .header("idempotency-key", key)
        .body(Bytes::from_static(body.as_bytes()))
        .unwrap()
}

impl Service {
    pub(crate) fn new(policy: HttpPolicy) -> Self {
        let model = Model::new(Limits::DEFAULT, Timestamp::from_millis(1_000));
        Self { policy, model, identities: Vec::new(), attempts: 0 }
    }

    pub(crate) fn pass(&mut self, time: Millis) {
        self.model.move_clock(self.model.now().after(time));
    }

    /// Up to the handler, or to the answer that stands in for it.
    pub(crate) fn begin(
        &mut self,
        request: &Request<Bytes>,
    ) -> Result<Running, Box<Response<Bytes>>> {
        let (parts, ()) = copy_of_head(request);
        let key = match self.policy.admit(&parts) {
            Admission::Guard(key) => key,
            Admission::Reject(problem) => return Err(Box::new(self.policy.respond(&problem).0)),
            Admission::Bypass => panic!("every request of this suite is guarded"),
        };
        let fingerprint = self.policy.fingerprint().of(&parts, request.body()).expect("raw");
        self.attempts += 1;
        let attempt_id = AttemptId::from_bytes(u128::from(self.attempts).to_le_bytes());
        let begin = self.policy.begin(fingerprint, attempt_id);
        let identity = match self.identities.iter().position(|held| *held == key) {
            Some(at) => at,
            None => {
                self.identities.push(key.clone());
                self.identities.len() - 1
            }
        } as u32;
        let Outcome::Begin(outcome) = self.model.apply(identity, &Operation::Begin(begin)) else {
            panic!("a begin within its limits")
        };
        match self.policy.answer(key.as_ref(), in_bytes(outcome)) {
            Step::Run(acquired) => Ok(Running { identity, token: acquired.token }),
            Step::Respond(response, _) => Err(Box::new(response)),
            other => panic!("neither asked for nor set: {other:?}"),
        }
    }

    /// From the handler's end to the answer, with what became of the key.
    pub(crate) fn end(
        &mut self,
        running: &Running,
        ending: &Ending,
        response: Response<Bytes>,
    ) -> (Response<Bytes>, Disposition) {
        let response = match ending.problem() {
            Some(problem) => self.policy.respond(&problem).0,
            None => response,
        };
        let disposition = self.policy.disposition(ending);
        let left = match disposition {
            Disposition::Keep => self.complete(running, &response, true),
            Disposition::NotDone => self.abandon(running, Certainty::NotDone),
            Disposition::InDoubt => self.abandon(running, Certainty::InDoubt),
        };
        match left {
            Ok(()) => (response, disposition),
            Err(problem) => (self.policy.respond(&problem).0, disposition),
        }
    }

    pub(crate) fn complete(
        &mut self,
        running: &Running,
        response: &Response<Bytes>,
        keeps_body: bool,
    ) -> Result<(), onceward_http::Problem> {
        let (head, ()) = {
            let mut head = Response::new(());
            *head.status_mut() = response.status();
            *head.headers_mut() = response.headers().clone();
            head.into_parts()
        };
        let kept = self.policy.keep(&head);
        let result = kept.result(keeps_body.then_some(&response.body()[..])).map(<[u8]>::to_vec);
        let complete = Operation::Complete { token: running.token, result, fingerprint: None };
        match self.model.apply(running.identity, &complete) {
            Outcome::Complete(outcome) => after_complete(&outcome),
            other => panic!("{other:?}"),
        }
    }

    fn abandon(
        &mut self,
        running: &Running,
        certainty: Certainty,
    ) -> Result<(), onceward_http::Problem> {
        let abandon = Operation::Abandon(Abandon { token: running.token, certainty });
        match self.model.apply(running.identity, &abandon) {
            Outcome::Abandon(outcome) => after_abandon(&outcome, certainty),
            other => panic!("{other:?}"),
        }
    }
}

fn copy_of_head(request: &Request<Bytes>) -> (request::Parts, ()) {
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = request.uri().clone();
    *head.headers_mut() = request.headers().clone();
    head.into_parts()
}

fn in_bytes(outcome: BeginOutcome<Vec<u8>>) -> BeginOutcome<Bytes> {
    match outcome {
        BeginOutcome::Acquired(Acquired {
            token,
            attempt_number,
            checkpoint: None,
            lease_left,
            retention_left,
        }) => BeginOutcome::Acquired(Acquired {
            token,
            attempt_number,
            checkpoint: None,
            lease_left,
            retention_left,
        }),
        BeginOutcome::Acquired(_) => panic!("nobody leaves checkpoints"),
        BeginOutcome::Replay(Replay { result, age, attempt_number, retention_left }) => {
            let result = result.map(Bytes::from);
            BeginOutcome::Replay(Replay { result, age, attempt_number, retention_left })
        }
        BeginOutcome::InProgress { retry_after, age, attempt_number } => {
            BeginOutcome::InProgress { retry_after, age, attempt_number }
        }
        BeginOutcome::Mismatch => BeginOutcome::Mismatch,
        BeginOutcome::NeedFingerprint => BeginOutcome::NeedFingerprint,
        BeginOutcome::InDoubt { since } => BeginOutcome::InDoubt { since },
        BeginOutcome::Refused { reason, retry_after } => {
            BeginOutcome::Refused { reason, retry_after }
        }
        BeginOutcome::Gone => BeginOutcome::Gone,
        BeginOutcome::Expired { since } => BeginOutcome::Expired { since },
    }
}

/// The `type` of a problem's document, without its beginning; none of another answer.
pub(crate) fn problem(response: &Response<Bytes>) -> Option<String> {
    let is_problem = response.headers().get("content-type")? == "application/problem+json";
    let document: serde_json::Value =
        is_problem.then(|| serde_json::from_slice(response.body()).expect("a document of JSON"))?;
    let name = document["type"].as_str().expect("a type").strip_prefix("urn:onceward:problem:");
    assert_eq!(document["status"], response.status().as_u16(), "status and document agree");
    Some(name.expect("the default beginning").to_owned())
}

pub(crate) fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap()
}
