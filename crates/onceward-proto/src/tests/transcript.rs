//! Conversations between the two state machines, without a socket.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use onceward_core::{
    BackendError, BeginOutcome, Body, Complete, CompleteOutcome, Completed, Fence, GetOutcome,
    ListEntry, ListPage, NotKept, Replay, ResultRef, ScopedKeyBuf, StateName, StoredResult, Token,
};
use proptest::prelude::*;

use super::samples::{begin, key};
use super::{ORDERS, encode_reply, hello, millis};
use crate::frame::{
    BODY_BYTES_MAX_DEFAULT, BODY_BYTES_MAX_FLOOR, FrameWriter, HEADER_SIZE, HELLO_BODY_BYTES_MAX,
};
use crate::{
    ClientConfig, ClientConn, ClientError, ErrorCode, ErrorReply, FrameError, Greeting, Incoming,
    Malformed, Opcode, ProtocolError, Received, Reply, Request, Rights, SendError, ServerConfig,
    ServerConn,
};

/// Both ends and what is on its way between them.
struct Pair {
    client: ClientConn,
    server: ServerConn,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
}

impl Pair {
    fn new(client_max: u32, server_max: u32) -> Self {
        Self {
            client: ClientConn::new(&ClientConfig { body_bytes_max: client_max }),
            server: ServerConn::new(&ServerConfig { body_bytes_max: server_max }),
            to_server: Vec::new(),
            to_client: Vec::new(),
        }
    }

    fn open(client_max: u32, server_max: u32) -> Self {
        let mut pair = Self::new(client_max, server_max);
        pair.client.hello(&hello(ORDERS), &mut pair.to_server);
        pair.serve(|_, _, _| panic!("nothing but HELLO was sent"));
        let reply = pair.received();
        assert!(matches!(reply[..], [(1, ref word)] if word == "welcome"), "{reply:?}");
        pair
    }

    fn ask(&mut self, request: Request<'_>) -> u64 {
        self.client.request(&request, &mut self.to_server).unwrap()
    }

    /// Lets the server read all there is; HELLO is accepted, the rest goes to `answer`.
    fn serve(&mut self, mut answer: impl FnMut(&ServerConn, Incoming<'_>, &mut Vec<u8>)) {
        let mut input = &self.to_server[..];
        while let Some((incoming, size)) = self.server.next(input).unwrap() {
            input = &input[size..];
            match incoming {
                Incoming::Hello { negotiated, .. } => {
                    self.server.accept(negotiated, &Greeting::default(), &mut self.to_client);
                }
                other => answer(&self.server, other, &mut self.to_client),
            }
        }
        assert!(input.is_empty(), "whole frames were sent");
        self.to_server.clear();
    }

    /// Correlation and kind of every reply on its way.
    fn received(&mut self) -> Vec<(u64, String)> {
        let mut all = Vec::new();
        let mut input = &self.to_client[..];
        while let Some((received, size)) = self.client.next(input).unwrap() {
            input = &input[size..];
            all.push(match received {
                Received::Reply { correlation, reply } => (correlation, kind(&reply)),
                Received::Closing(error) => (0, error.code.name().into()),
            });
        }
        self.to_client.clear();
        all
    }
}

fn kind(reply: &Reply<'_>) -> String {
    match reply {
        Reply::Welcome(_) => "welcome".into(),
        Reply::Pong { .. } => "pong".into(),
        Reply::Begin(outcome) => outcome.name().into(),
        Reply::Get(outcome) => outcome.name().into(),
        Reply::Complete(outcome) => outcome.name().into(),
        Reply::Error(error) => error.code.name().into(),
        other => panic!("not part of these conversations: {other:?}"),
    }
}

fn in_progress() -> BeginOutcome<&'static [u8]> {
    BeginOutcome::InProgress { retry_after: millis(1), age: millis(0), attempt_number: 1 }
}

#[test]
fn requests_may_follow_hello_at_once_and_replies_come_in_any_order() {
    let mut pair = Pair::new(BODY_BYTES_MAX_DEFAULT, BODY_BYTES_MAX_DEFAULT);
    let said = pair.client.hello(&hello(ORDERS), &mut pair.to_server);
    let first = pair.ask(Request::Ping { echo: 1 });
    let second = pair.ask(Request::Begin { key: key(), begin: begin() });
    let third = pair.ask(Request::Ping { echo: 3 });
    let numbers = [said, first, second, third];
    assert_eq!(numbers.map(|number| number as u32), [1, 2, 3, 4], "lower halves rise from 1");
    assert_eq!(numbers.map(ClientConn::slot), [0, 1, 2, 3], "each has a slot of its own");
    let mut late = Vec::new();
    pair.serve(|server, incoming, out| match incoming {
        Incoming::Request { correlation, request: Request::Ping { echo } } => {
            server.replies().pong(correlation, echo, out);
        }
        Incoming::Request { correlation, request: Request::Begin { key: asked, begin: got } } => {
            assert_eq!((asked, got), (key(), begin()));
            server.replies().begin(correlation, &in_progress(), &mut late);
        }
        other => panic!("{other:?}"),
    });
    pair.to_client.extend(late);
    let words = ["welcome", "pong", "pong", "in_progress"].map(String::from);
    let numbers = [said, first, third, second];
    assert_eq!(pair.received(), numbers.into_iter().zip(words).collect::<Vec<_>>());
    assert_eq!(pair.client.outstanding(), 0);
    assert!(pair.server.is_open());
}

#[test]
fn a_refused_hello_leaves_a_stranger_who_may_try_again() {
    let mut pair = Pair::new(BODY_BYTES_MAX_DEFAULT, BODY_BYTES_MAX_DEFAULT);
    let first = pair.client.hello(&hello(ORDERS), &mut pair.to_server);
    let Ok(Some((Incoming::Hello { hello: said, negotiated }, _))) =
        pair.server.next(&pair.to_server)
    else {
        panic!("HELLO was sent")
    };
    assert_eq!((said.namespace.as_str(), said.credential), (ORDERS, &b"credential"[..]));
    pair.server.refuse(negotiated, &ErrorReply::denied("who?"), &mut pair.to_client);
    pair.to_server.clear();
    assert_eq!(pair.received(), [(first, "denied".into())]);
    assert!(!pair.server.is_open() && pair.client.welcome().is_none());
    let second = pair.client.hello(&hello(ORDERS), &mut pair.to_server);
    pair.serve(|_, other, _| panic!("{other:?}"));
    assert_eq!(pair.received(), [(second, "welcome".into())]);
    assert!(pair.server.is_open());
}

#[test]
fn the_smaller_maximum_holds_for_both() {
    let (small, large) = (BODY_BYTES_MAX_FLOOR, BODY_BYTES_MAX_DEFAULT);
    for (client_max, server_max, agreed) in [
        (small, large, small),
        (large, small, small),
        (large, large, large),
        (0, large, small), // Held at the floor.
        (large, 0, small),
    ] {
        let mut pair = Pair::open(client_max, server_max);
        let welcome = pair.client.welcome().unwrap();
        assert_eq!(welcome.body_bytes_max, agreed);
        assert_eq!(pair.client.request_bytes_max(), agreed);
        assert_eq!((welcome.version, welcome.features), (1, 0), "no feature is known yet");
        assert!(welcome.rights.contains(Rights::OPERATE));

        // COMPLETE's body has 39 fixed bytes; one byte over the maximum is refused unsent.
        let token = Token { fence: Fence::new(1).unwrap(), attempt_id: begin().attempt_id };
        let fitting = agreed as usize - 39 - key().scope().len() - key().key().len();
        let body = vec![7; fitting + 1];
        let complete = |result| Request::Complete {
            key: key(),
            complete: Complete { token, result, fingerprint: None },
        };
        pair.ask(complete(ResultRef::of(200, &body[..fitting])));
        assert_eq!(pair.to_server.len(), HEADER_SIZE + agreed as usize);
        pair.serve(|server, incoming, out| {
            let Incoming::Request { correlation, .. } = incoming else { panic!() };
            let outcome = CompleteOutcome::Completed { not_kept: None };
            server.replies().complete(correlation, outcome, out);
        });
        assert_eq!(pair.received().len(), 1);
        let refused =
            pair.client.request(&complete(ResultRef::of(200, &body)), &mut pair.to_server);
        let (size, max) = (agreed as usize + 1, agreed);
        assert_eq!(refused, Err(SendError::TooLarge { size, max }));
        let (huge, size) = (vec![0; max as usize + 1], max as usize + 1);
        let refused =
            pair.client.request(&complete(ResultRef::of(200, &huge)), &mut pair.to_server);
        assert_eq!(refused, Err(SendError::TooLarge { size, max }), "before anything is copied");
        assert!(pair.to_server.is_empty(), "nothing was sent of what does not fit");

        // S20: the body is declined instead.
        let declined =
            StoredResult { status: 200, metadata: &[][..], body: Body::NotKept(NotKept::Declined) };
        pair.ask(complete(declined));
    }
}

#[test]
fn before_the_welcome_only_the_least_maximum_is_sure() {
    let mut client = ClientConn::new(&ClientConfig::default());
    let mut out = Vec::new();
    let ping = Request::Ping { echo: 0 };
    assert_eq!(client.request(&ping, &mut out), Err(SendError::HelloFirst));
    assert!(out.is_empty());
    client.hello(&hello(ORDERS), &mut out);
    assert_eq!(client.request_bytes_max(), BODY_BYTES_MAX_FLOOR);
}

#[test]
fn a_stranger_is_held_to_8_kib() {
    let mut server = ServerConn::new(&ServerConfig::default());
    let mut bytes = Vec::new();
    let mut frame =
        FrameWriter::new(crate::frame::Direction::Request, Opcode::Hello.as_u8(), 1, &mut bytes);
    frame.bytes(&vec![0; HELLO_BODY_BYTES_MAX as usize + 1]);
    frame.finish();
    let rejection = server.next(&bytes[..HEADER_SIZE]).unwrap_err();
    let (got, max) = (HELLO_BODY_BYTES_MAX + 1, HELLO_BODY_BYTES_MAX);
    assert_eq!(rejection.error, ProtocolError::Frame(FrameError::TooLarge { got, max }));
    assert_eq!(server.next(&bytes).unwrap_err(), rejection, "nothing is read after it");
    assert!(!server.is_open());
}

#[test]
fn a_result_beyond_the_frame_is_unavailable_and_never_absent_s23() {
    let mut pair = Pair::open(BODY_BYTES_MAX_FLOOR, BODY_BYTES_MAX_DEFAULT);
    let body = vec![1; BODY_BYTES_MAX_FLOOR as usize];
    let result = ResultRef::of(200, &body);
    // Just over with its fixed fields, and over by itself.
    for result in [result, ResultRef::of(200, &body[..body.len() - 31])] {
        let (age, retention_left, attempt_number) = (millis(1), millis(2), 1);
        let asked = pair.ask(Request::Begin { key: key(), begin: begin() });
        let read = pair.ask(Request::Get { key: key(), get: Default::default() });
        pair.serve(|server, incoming, out| match incoming {
            Incoming::Request { correlation, request: Request::Begin { .. } } => {
                let replay = Replay { result, age, attempt_number, retention_left };
                server.replies().begin(correlation, &BeginOutcome::Replay(replay), out);
            }
            Incoming::Request { correlation, request: Request::Get { .. } } => {
                let completed =
                    Completed { result, age, attempt_number, retention_left, fence: None };
                server.replies().get(correlation, &GetOutcome::Completed(completed), out);
            }
            other => panic!("{other:?}"),
        });
        let word = || String::from("result_unavailable");
        assert_eq!(pair.received(), [(asked, word()), (read, word())]);
    }
}

#[test]
fn a_page_beyond_the_frame_asks_for_fewer_entries() {
    let mut pair = Pair::open(BODY_BYTES_MAX_FLOOR, BODY_BYTES_MAX_DEFAULT);
    let entry = ListEntry {
        scoped_key: ScopedKeyBuf::new([1; 255], [2; 255]).unwrap(),
        state: StateName::Reserved,
        age: millis(0),
        attempt_number: 1,
        fence: Fence::new(1).unwrap(),
        doubt_number: 0,
        retention_left: millis(0),
    };
    let page = ListPage { entries: vec![entry; 1_000], next: None };
    let asked = pair.ask(Request::List(Default::default()));
    pair.serve(|server, incoming, out| {
        let Incoming::Request { correlation, .. } = incoming else { panic!() };
        server.replies().list(correlation, &page, out);
    });
    assert_eq!(pair.received(), [(asked, "bad_input".into())]);
    let mut bytes = Vec::new();
    crate::reply_encoder::ReplyEncoder::new(BODY_BYTES_MAX_DEFAULT).list(1, &page, &mut bytes);
    assert!(bytes.len() > 500_000, "the largest page fits the default frame");
}

#[test]
fn cancel_is_not_answered_and_leaves_its_target_outstanding() {
    let mut pair = Pair::open(BODY_BYTES_MAX_DEFAULT, BODY_BYTES_MAX_DEFAULT);
    let waiting = pair.ask(Request::Begin { key: key(), begin: begin() });
    pair.client.cancel(waiting, &mut pair.to_server);
    pair.client.cancel(waiting + 99, &mut pair.to_server);
    let mut targets = Vec::new();
    pair.serve(|server, incoming, out| match incoming {
        Incoming::Cancel { target } => {
            targets.push(target);
            server.replies().begin(target, &in_progress(), out);
        }
        Incoming::Request { .. } => {} // It waits.
        other => panic!("{other:?}"),
    });
    assert_eq!(targets, [waiting], "what is not outstanding is not cancelled");
    assert_eq!(pair.client.outstanding(), 1);
    assert_eq!(pair.received(), [(waiting, "in_progress".into())], "one request, one reply");
    assert_eq!(pair.client.outstanding(), 0);
}

#[test]
fn a_closing_word_reaches_the_client_even_before_hello_is_answered() {
    let mut pair = Pair::new(BODY_BYTES_MAX_DEFAULT, BODY_BYTES_MAX_DEFAULT);
    pair.client.hello(&hello(ORDERS), &mut pair.to_server);
    let error = ErrorReply::too_many_connections(7);
    pair.server.replies().closing(&error, &mut pair.to_client);
    let (received, size) = pair.client.next(&pair.to_client).unwrap().unwrap();
    assert_eq!(received, Received::Closing(error));
    assert_eq!(size, pair.to_client.len());
}

#[test]
fn a_server_that_breaks_the_protocol_is_named() {
    let pong = Reply::Pong { echo: 1 };
    let request_bit = {
        let mut bytes = encode_reply(Opcode::Ping, &pong, 2);
        bytes[5] = 0;
        bytes
    };
    let of = |opcode: Opcode| {
        let mut bytes = encode_reply(Opcode::Ping, &pong, 2);
        bytes[4] = opcode.as_u8();
        bytes
    };
    let mut cut = encode_reply(Opcode::Ping, &pong, 2);
    cut.truncate(cut.len() - 1);
    cut[0] -= 1;
    #[rustfmt::skip]
    let cases = [
        ("answers what was not asked", encode_reply(Opcode::Ping, &pong, 9), ClientError::Unasked { correlation: 9 }),
        ("answers with another opcode", of(Opcode::Stats), ClientError::Opcode { got: Opcode::Stats.as_u8(), asked: Opcode::Ping }),
        ("answers CANCEL", of(Opcode::Cancel), ClientError::Unasked { correlation: 2 }),
        ("speaks of the connection without an error", encode_reply(Opcode::Ping, &pong, 0), ClientError::Unasked { correlation: 0 }),
        ("sends a request", request_bit, ClientError::Frame(FrameError::Direction)),
        ("cuts a body", cut, ClientError::Malformed(Malformed::Cut { field: "echo" })),
    ];
    for (why, bytes, want) in cases {
        let mut pair = Pair::open(BODY_BYTES_MAX_DEFAULT, BODY_BYTES_MAX_DEFAULT);
        assert_eq!(pair.ask(Request::Ping { echo: 1 }), 2);
        assert_eq!(pair.client.next(&bytes), Err(want), "{why}");
    }
}

#[test]
fn a_server_may_choose_only_what_was_offered() {
    for (version, body_bytes_max) in [(0, 131_072), (2, 131_072), (1, 131_071), (1, 131_073)] {
        let mut pair = Pair::new(BODY_BYTES_MAX_FLOOR, BODY_BYTES_MAX_FLOOR);
        pair.client.hello(&hello(ORDERS), &mut pair.to_server);
        let welcome = crate::Welcome {
            version,
            features: 0,
            body_bytes_max,
            server_time_ms: 0,
            boot_epoch: 0,
            rights: Rights::USE,
            limits: Default::default(),
        };
        let bytes = encode_reply(Opcode::Hello, &Reply::Welcome(welcome), 1);
        assert_eq!(pair.client.next(&bytes), Err(ClientError::Negotiation));
    }
}

#[test]
fn what_a_later_version_answers_concludes_nothing() {
    let mut pair = Pair::open(BODY_BYTES_MAX_DEFAULT, BODY_BYTES_MAX_DEFAULT);
    let asked = pair.ask(Request::Begin { key: key(), begin: begin() });
    let unknown = Reply::Unknown { code: 0x77 };
    let bytes = encode_reply(Opcode::Begin, &unknown, asked);
    let want = Received::Reply { correlation: asked, reply: unknown };
    assert_eq!(pair.client.next(&bytes).unwrap().unwrap().0, want);
    let error = ErrorReply::new(ErrorCode::Other(0x9f), "of a later version");
    let BackendError::Unavailable { message } = error.to_backend_error() else { panic!() };
    assert!(message.contains("0x9f") && message.contains("later"), "{message}");
}

#[test]
fn errors_of_the_port_survive_the_wire_s23() {
    let all = [
        BackendError::BadInput { field: "key".into(), message: "too long".into() },
        BackendError::Unavailable { message: "closing".into() },
        BackendError::Denied,
        BackendError::NotLeader { address: "localhost:1".into(), epoch: 7 },
        BackendError::NotLeader { address: String::new(), epoch: 0 },
        BackendError::ResultUnavailable,
    ];
    for error in all {
        let reply = Reply::Error(ErrorReply::from(&error));
        let bytes = encode_reply(Opcode::Begin, &reply, 1);
        let body = &bytes[HEADER_SIZE..];
        let Ok(Reply::Error(read)) = Reply::decode(Opcode::Begin, body) else { panic!() };
        assert_eq!(read.to_backend_error(), error);
    }
}

#[test]
fn a_long_message_is_cut_between_characters() {
    let long: String = core::iter::repeat_n('ß', 1_000).collect();
    let error = ErrorReply::unavailable(long.as_str());
    let bytes = encode_reply(Opcode::Ping, &Reply::Error(error), 1);
    let Ok(Reply::Error(read)) = Reply::decode(Opcode::Ping, &bytes[HEADER_SIZE..]) else {
        panic!()
    };
    assert_eq!(read.message, Cow::from(&long[..1_024]));
}

#[test]
fn bytes_that_are_no_text_are_shown_as_such() {
    let body = b"\x80\x02\x00\xff!";
    let Ok(Reply::Error(error)) = Reply::decode(Opcode::Ping, body) else { panic!() };
    assert_eq!(error.message, "\u{fffd}!");
    let without_field = b"\x84\x00\x00";
    let missing = Malformed::Missing { field: "field" };
    assert_eq!(Reply::decode(Opcode::Ping, without_field), Err(missing));
    let missing = Malformed::Missing { field: "epoch" };
    assert_eq!(Reply::decode(Opcode::Ping, b"\x82\x00\x00"), Err(missing));
}

proptest! {
    /// However the network cuts the stream, the same frames come out.
    #[test]
    fn pieces_make_no_difference(sizes in proptest::collection::vec(1_usize..40, 1..200)) {
        let mut client = ClientConn::new(&ClientConfig::default());
        let mut sent = Vec::new();
        client.hello(&hello(ORDERS), &mut sent);
        let mut asked = Vec::new();
        for echo in 0..20 {
            let begin = Request::Begin { key: key(), begin: begin() };
            asked.push(client.request(&Request::Ping { echo }, &mut sent).unwrap());
            asked.push(client.request(&begin, &mut sent).unwrap());
        }
        let mut server = ServerConn::new(&ServerConfig::default());
        let (mut buffer, mut out, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        let mut rest = &sent[..];
        for size in sizes.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at(size.min(rest.len()));
            rest = after;
            buffer.extend_from_slice(piece);
            while let Some((incoming, size)) = server.next(&buffer).unwrap() {
                match incoming {
                    Incoming::Hello { negotiated, .. } => {
                        server.accept(negotiated, &Greeting::default(), &mut out);
                    }
                    Incoming::Request { correlation, .. } => seen.push(correlation),
                    other => panic!("{other:?}"),
                }
                buffer.drain(..size);
            }
            prop_assert!(buffer.len() < server.frame_size(&buffer), "a whole frame is read at once");
        }
        prop_assert_eq!(seen, asked);
        prop_assert!(server.end_of_input(&buffer).is_ok());
    }
}
