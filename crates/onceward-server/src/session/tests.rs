//! The session over buffers, without a socket.

use onceward::{BootClock, StoreConfig};
use onceward_core::{
    AttemptId, Begin, Fence, Fingerprint, Forget, Get, GetOutcome, ListQuery, Resolve, ScopedKey,
    Verdict,
};
use onceward_proto::{ClientConfig, ClientConn, ErrorCode, Received, Reply};

use super::*;

/// A client and a session that talk without a socket.
struct Talk {
    session: Session,
    client: ClientConn,
}

impl Talk {
    fn start() -> Self {
        let store =
            Store::new(StoreConfig::default(), Arc::new(BootClock::new())).expect("a store");
        let config = ServerConfig::default();
        let session = Session::new(&store, &config, Arc::default(), Arc::default(), None);
        let mut client = ClientConn::new(&ClientConfig::default());
        let mut input = Vec::new();
        client.hello(&Hello::new(Namespace::DEFAULT, b""), &mut input);
        let mut talk = Self { session, client };
        talk.exchange(&input, |reply| assert!(matches!(reply, Reply::Welcome(_))));
        talk
    }

    fn exchange(&mut self, input: &[u8], look: impl FnOnce(Reply<'_>)) {
        assert_eq!(self.session.receive(input), (input.len(), Stop::NeedMore));
        let output = self.session.out.flat();
        self.session.left(output.len());
        let (received, size) = self.client.next(&output).expect("good").expect("whole");
        assert_eq!(size, output.len(), "one reply");
        let Received::Reply { reply, .. } = received else { panic!("a reply") };
        look(reply);
    }

    fn ask(&mut self, request: &Request<'_>, look: impl FnOnce(Reply<'_>)) {
        let mut input = Vec::new();
        self.client.request(request, &mut input).expect("it fits");
        self.exchange(&input, look);
    }
}

#[test]
fn without_the_operate_right_fences_are_hidden_and_operators_requests_denied() {
    let mut talk = Talk::start();
    let key = ScopedKey::new(b"", b"k").expect("a key");
    let begin = Begin::new(Fingerprint::None, AttemptId::from_bytes([1; 16]));
    let get = Request::Get { key, get: Get { wait: Millis::ZERO } };
    talk.ask(&Request::Begin { key, begin }, |_| ());
    let fence_of = |reply: Reply<'_>| match reply {
        Reply::Get(GetOutcome::Reserved { fence, .. }) => fence,
        other => panic!("reserved: {other:?}"),
    };
    talk.ask(&get, |reply| assert!(fence_of(reply).is_some(), "both rights"));

    talk.session.rights = Rights::USE;
    talk.ask(&get, |reply| assert_eq!(fence_of(reply), None, "hidden"));
    let fence = Fence::new(1).expect("a fence");
    let verdict = Verdict::NeverDone;
    let denied = [
        Request::Resolve { key, resolve: Resolve { fence, doubt_number: 1, verdict } },
        Request::Forget { key, forget: Forget { fence } },
        Request::List(ListQuery::default()),
        Request::Stats,
    ];
    let is_denied = |reply: Reply<'_>| match reply {
        Reply::Error(error) => assert_eq!(error.code, ErrorCode::Denied),
        other => panic!("denied: {other:?}"),
    };
    for request in &denied {
        talk.ask(request, is_denied);
    }

    talk.session.rights = Rights(0);
    talk.ask(&Request::Begin { key, begin }, is_denied);
    talk.ask(&get, is_denied);
    talk.ask(&Request::Ping { echo: 3 }, |reply| assert_eq!(reply, Reply::Pong { echo: 3 }));
}

#[test]
fn a_full_outbox_stops_the_reading_and_loses_nothing() {
    let mut talk = Talk::start();
    talk.session.config.unsent_bytes_max = 100; // Four pongs of 25 bytes.
    let mut input = Vec::new();
    for echo in 0..10 {
        talk.client.request(&Request::Ping { echo }, &mut input).expect("it fits");
    }
    let frame = input.len() / 10;
    let mut done = 0;
    for (round, frames) in [4, 4, 2].into_iter().enumerate() {
        let (size, stop) = talk.session.receive(&input[done..]);
        assert_eq!(size, frames * frame, "round {round}");
        assert_eq!(stop == Stop::NoRoom, frames == 4, "round {round}");
        done += size;
        let unsent = talk.session.out.unsent();
        assert_eq!(unsent, frames * 25);
        talk.session.left(unsent);
    }
    assert_eq!(done, input.len());
}

/// Whatever the sizes of bodies and of writes, the peer reads what would have been sent whole.
#[test]
fn large_bodies_leave_from_where_they_lie_in_order() {
    let mut talk = Talk::start();
    let sizes = [0, 10, 16 * 1024, 16 * 1024 - 1, 70_000, 20_000, 0, 17_000, 40_000];
    let body = |number: usize| vec![number as u8 + 1; sizes[number]];
    let names: Vec<_> = (0..sizes.len()).map(|number| format!("key {number}")).collect();
    let key = |number: usize| ScopedKey::new(b"", names[number].as_bytes()).expect("a key");
    let begin = |attempt| Begin::new(Fingerprint::None, AttemptId::from_bytes([attempt; 16]));
    for number in 0..sizes.len() {
        let mut token = None;
        talk.ask(&Request::Begin { key: key(number), begin: begin(1) }, |reply| match reply {
            Reply::Begin(onceward_core::BeginOutcome::Acquired(acquired)) => {
                token = Some(acquired.token);
            }
            other => panic!("acquired: {other:?}"),
        });
        let bytes = body(number);
        let result = onceward_core::ResultRef::of(200, &bytes);
        let token = token.expect("acquired");
        let complete = onceward_core::Complete { token, result, fingerprint: None };
        talk.ask(&Request::Complete { key: key(number), complete }, |_| ());
    }
    for step in [1_000, 7, 16 * 1024, 50_000, usize::MAX] {
        let mut input = Vec::new();
        for number in 0..sizes.len() {
            let begin = begin(2);
            talk.client.request(&Request::Begin { key: key(number), begin }, &mut input).unwrap();
            talk.client.request(&Request::Ping { echo: number as u64 }, &mut input).unwrap();
        }
        assert_eq!(talk.session.receive(&input), (input.len(), Stop::NeedMore));
        let total: usize = sizes.iter().sum();
        assert!(talk.session.out.unsent() > total);
        assert!(talk.session.out.sendable().is_none(), "large ones are apart");
        assert!(talk.session.out.encode_into().len() < total / 2, "and were not copied");
        let mut output = Vec::new();
        while !talk.session.out.is_empty() {
            let flat = talk.session.out.flat();
            let size = flat.len().min(step);
            output.extend_from_slice(&flat[..size]);
            talk.session.left(size);
        }
        let mut at = 0;
        for number in 0..sizes.len() {
            let mut next = || {
                let (received, size) =
                    talk.client.next(&output[at..]).expect("good").expect("whole");
                at += size;
                let Received::Reply { reply, .. } = received else { panic!("a reply") };
                match reply {
                    Reply::Begin(onceward_core::BeginOutcome::Replay(replay)) => {
                        assert_eq!(replay.result.body.kept().copied(), Some(&body(number)[..]));
                    }
                    Reply::Pong { echo } => assert_eq!(echo, number as u64),
                    other => panic!("a replay or a pong: {other:?}"),
                }
            };
            next();
            next();
        }
        assert_eq!(at, output.len());
    }
}
