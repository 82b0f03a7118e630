//! Bodies on their way in and out.

mod collect;
mod request;
mod response;

pub(crate) use collect::{Chunks, Collect, Collected, Whole};
pub use request::RequestBody;
pub(crate) use request::{Rest, Streamed};
pub use response::ResponseBody;
