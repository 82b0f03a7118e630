//! The bodies of LIST and STATS replies.

use alloc::vec::Vec;
use core::fmt;

use onceward_core::{Fence, ListEntry, ListPage, PageCursor, ScopedKeyBuf, Stats};

use crate::code::OutcomeCode;
use crate::cursor::Cursor;
use crate::error::Malformed;
use crate::field::{
    KeySizes, decode_millis, decode_state, encode_key, encode_key_sizes, encode_state,
};
use crate::frame::FrameWriter;

/// LIST: where the next page starts.
const TAG_NEXT: u8 = 1;
/// Bytes of one listed entry before its scope and key.
const ENTRY_FIXED_SIZE: usize = 37;

pub(crate) fn encode_page(page: &ListPage, frame: &mut FrameWriter<'_>) {
    // Pages have at most 1,000 entries; what a store gives beyond a u16 would be its defect.
    let entries = &page.entries[..page.entries.len().min(u16::MAX.into())];
    frame.u8(OutcomeCode::Ok.as_u8()).size16(entries.len());
    for entry in entries {
        let key = entry.scoped_key.as_ref();
        frame
            .u8(encode_state(entry.state))
            .u64(entry.age.get())
            .u32(entry.attempt_number)
            .u64(entry.fence.get())
            .u32(entry.doubt_number)
            .u64(entry.retention_left.get());
        encode_key_sizes(key, frame);
        encode_key(key, frame);
    }
    if let Some(next) = page.next {
        frame.option_u64(TAG_NEXT, next.0);
    }
}

/// Reads what follows the code byte.
pub(crate) fn decode_page(mut body: Cursor<'_>) -> Result<ListPage, Malformed> {
    let count = usize::from(body.u16("count")?);
    let mut entries = Vec::with_capacity(entries_room(count, body.left()));
    for _ in 0..count {
        entries.push(decode_entry(&mut body)?);
    }
    let mut next = None;
    let mut options = body.options();
    while let Some((tag, value)) = options.next()? {
        if tag == TAG_NEXT {
            next = Some(PageCursor(value.only_u64("next")?));
        }
    }
    Ok(ListPage { entries, next })
}

/// Room for no more entries than the bytes at hand can hold, whatever the peer says of `count`.
pub(crate) fn entries_room(count: usize, bytes: usize) -> usize {
    count.min(bytes / ENTRY_FIXED_SIZE)
}

fn decode_entry(body: &mut Cursor<'_>) -> Result<ListEntry, Malformed> {
    let state = decode_state(body.u8("state")?).ok_or(Malformed::Value { field: "state" })?;
    let age = decode_millis(body, "age")?;
    let attempt_number = body.u32("attempt number")?;
    let fence = Fence::new(body.u64("fence")?).ok_or(Malformed::Value { field: "fence" })?;
    let doubt_number = body.u32("doubt number")?;
    let retention_left = decode_millis(body, "retention left")?;
    let (scope, key) = KeySizes::decode(body)?.decode_bytes(body)?;
    let scoped_key =
        ScopedKeyBuf::new(scope, key).map_err(|_| Malformed::Value { field: "key" })?;
    Ok(ListEntry { scoped_key, state, age, attempt_number, fence, doubt_number, retention_left })
}

pub(crate) fn encode_stats(stats: &Stats, frame: &mut FrameWriter<'_>) {
    let rows = stats.rows();
    encode_rows(rows.iter().map(|row| (row.name, row.value)), frame);
}

pub(crate) fn encode_rows<'r>(
    rows: impl ExactSizeIterator<Item = (&'r str, u64)>,
    frame: &mut FrameWriter<'_>,
) {
    frame.u8(OutcomeCode::Ok.as_u8()).size16(rows.len());
    for (name, value) in rows {
        debug_assert!(name.len() <= usize::from(u8::MAX));
        frame.u8(name.len() as u8).bytes(name.as_bytes()).u64(value);
    }
}

/// The rows of a STATS reply, in the order of the server, names of later versions included.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct StatsRows<'a> {
    /// Invariant: holds `count` whole rows with names in UTF-8. Established by `decode`.
    rows: &'a [u8],
    count: u16,
}

impl<'a> StatsRows<'a> {
    /// Reads what follows the code byte.
    pub(crate) fn decode(mut body: Cursor<'a>) -> Result<Self, Malformed> {
        let count = body.u16("count")?;
        let rows = body.rest();
        for _ in 0..count {
            let size = usize::from(body.u8("name length")?);
            let name = body.bytes(size, "name")?;
            core::str::from_utf8(name).map_err(|_| Malformed::Value { field: "name" })?;
            body.u64("value")?;
        }
        body.skip_options()?;
        Ok(Self { rows, count })
    }

    /// Name and value of each row.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, u64)> + use<'a> {
        let mut rest = Cursor::new(self.rows);
        (0..self.count).map_while(move |_| {
            let size = usize::from(rest.u8("name length").ok()?);
            let name = core::str::from_utf8(rest.bytes(size, "name").ok()?).ok()?;
            Some((name, rest.u64("value").ok()?))
        })
    }

    /// The figures that this version knows; the others are left out.
    #[must_use]
    pub fn to_stats(&self) -> Stats {
        let mut stats = Stats::default();
        for (name, value) in self.iter() {
            if let Some(figure) = stats.row_mut(name) {
                *figure = value;
            }
        }
        stats
    }
}

impl fmt::Debug for StatsRows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
