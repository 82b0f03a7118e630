//! The Onceward wire protocol, drawn to the byte in `docs/protocol.md`.
//!
//! Sans-IO: [`ServerConn`] and [`ClientConn`] are plain state machines over buffers that the
//! caller owns. They hold no socket, no clock and no runtime. Decoded messages borrow from the
//! input; encoded ones are appended to a `Vec<u8>`, so a stored result travels from the store's
//! memory into the send buffer in one copy.
//!
//! ```
//! use onceward_core::{AttemptId, Begin, BeginOutcome, Fingerprint, Namespace, ScopedKey};
//! use onceward_proto::{
//!     ClientConfig, ClientConn, Greeting, Hello, Incoming, Received, Reply, Request, ServerConfig,
//!     ServerConn,
//! };
//!
//! let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
//! let mut client = ClientConn::new(&ClientConfig::default());
//! client.hello(&Hello::new(Namespace::DEFAULT, b""), &mut to_server);
//! let begin = Begin::new(Fingerprint::None, AttemptId::from_bytes([7; 16]));
//! let key = ScopedKey::new(b"", b"order-1").unwrap();
//! let asked = client.request(&Request::Begin { key, begin }, &mut to_server).unwrap();
//!
//! let mut server = ServerConn::new(&ServerConfig::default());
//! let mut input = &to_server[..];
//! while let Some((incoming, size)) = server.next(input).unwrap() {
//!     input = &input[size..];
//!     match incoming {
//!         Incoming::Hello { negotiated, .. } => {
//!             server.accept(negotiated, &Greeting::default(), &mut to_client);
//!         }
//!         Incoming::Request { correlation, request: Request::Begin { .. } } => {
//!             let outcome = BeginOutcome::<&[u8]>::Mismatch;
//!             server.replies().begin(correlation, &outcome, &mut to_client);
//!         }
//!         _ => unreachable!(),
//!     }
//! }
//!
//! let mut input = &to_client[..];
//! let (welcome, size) = client.next(input).unwrap().unwrap();
//! assert!(matches!(welcome, Received::Reply { reply: Reply::Welcome(_), .. }));
//! input = &input[size..];
//! let (answer, _) = client.next(input).unwrap().unwrap();
//! let Received::Reply { correlation, reply: Reply::Begin(outcome) } = answer else { panic!() };
//! assert_eq!((correlation, outcome.name()), (asked, "mismatch"));
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod client_conn;
mod code;
mod cursor;
mod error;
mod error_reply;
mod field;
mod fixed;
pub mod frame;
mod hello;
mod opcode;
mod operator;
mod reply;
mod reply_encoder;
mod request;
mod result_reply;
mod server_conn;
mod token_reply;
mod unread;

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

pub use client_conn::{ClientConfig, ClientConn, ClientError, Received, SendError};
pub use code::{ErrorCode, OutcomeCode};
pub use error::{BadField, DecodeError, FrameError, Malformed, ProtocolError};
pub use error_reply::ErrorReply;
pub use hello::{Hello, Rights, ServerLimits, VERSION_MAX, VERSION_MIN, Welcome};
pub use opcode::Opcode;
pub use operator::StatsRows;
pub use reply::Reply;
pub use reply_encoder::ReplyEncoder;
pub use request::Request;
pub use server_conn::{Greeting, Incoming, Negotiated, Rejection, ServerConfig, ServerConn};
pub use unread::Unread;

/// Port of a server that was told no other.
pub const TCP_PORT_DEFAULT: u16 = 7977;
