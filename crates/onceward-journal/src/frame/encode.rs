//! A fact as a frame's bytes.

use onceward::lifecycle::{State, View};
use onceward::{
    Body, Digest, Event, Fact, Fence, Fingerprint, Identity, NotKept, Policy, ResultRef, SetAside,
    Timestamp,
};

use super::{
    CRC_AT, FRAME_BYTES_MAX, FrameBytes, Kind, LENGTH_BITS, acquired_flag, completed_flag,
};
use crate::bytes::{put_u24, put_u48};
use crate::header::FileId;

/// Appends the frame of a fact to `out`, its checksum zero. `namespace`: the number that the
/// manifest has for it, without one it is spelt out.
pub(crate) fn encode(fact: &Fact<'_>, namespace: Option<u16>, out: &mut Vec<u8>) {
    let from = out.len();
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&fact.fence.get().to_le_bytes());
    let kind = match fact.event {
        Event::Acquired { identity, view, previous, set_aside } => {
            put_acquired(&Grant { fact, identity, view, previous, set_aside }, namespace, out);
            Kind::Acquired
        }
        Event::Completed { result, digest, bound } => {
            put_completed(fact.at, &result, digest.as_ref(), bound.as_ref(), out);
            Kind::Completed
        }
        Event::Removed => {
            put_u48(out, fact.at.as_millis());
            out.extend_from_slice(&[0; 2]);
            Kind::Removed
        }
        Event::Doubted { doubt_number } => {
            put_u48(out, fact.at.as_millis());
            out.extend_from_slice(&[0; 2]);
            out.extend_from_slice(&doubt_number.to_le_bytes());
            Kind::Doubted
        }
        Event::Extended { lease, doubts_over, bound } => {
            out.extend_from_slice(&to_u32(lease.get()).to_le_bytes());
            out.extend_from_slice(&doubts_over.to_le_bytes());
            let bound = bound.as_ref().map_or(&[][..], Digest::as_bytes);
            out.extend_from_slice(&[bound.len() as u8, 0, 0, 0]);
            out.extend_from_slice(bound);
            Kind::Extended
        }
        Event::Checkpointed { ordinal, bytes } => {
            out.extend_from_slice(&ordinal.to_le_bytes());
            out.extend_from_slice(bytes);
            Kind::Checkpointed
        }
    };
    let length = out.len() - from;
    assert!(length <= FRAME_BYTES_MAX, "limits keep facts far below this");
    let word = length as u32 | (kind as u32) << LENGTH_BITS;
    out[from..from + 4].copy_from_slice(&word.to_le_bytes());
}

struct Grant<'a> {
    fact: &'a Fact<'a>,
    identity: Identity<'a>,
    view: &'a View,
    previous: Option<Fence>,
    set_aside: SetAside,
}

fn put_acquired(grant: &Grant<'_>, namespace: Option<u16>, out: &mut Vec<u8>) {
    let Grant { fact, identity, view, previous, set_aside } = grant;
    let (lease, policy) = match view.state {
        State::Reserved { lease_until, policy } => (lease_until.since(view.acquired_at), policy),
        State::InDoubt { .. } | State::Completed { .. } => {
            unreachable!("what was just granted is reserved")
        }
    };
    let scoped_key = identity.scoped_key();
    let (flag, fingerprint) = match &view.fingerprint {
        Fingerprint::None => (0, &[][..]),
        Fingerprint::Later => (acquired_flag::LATER, &[][..]),
        Fingerprint::Digest(digest) => (acquired_flag::DIGEST, digest.as_bytes()),
    };
    let mut flags = flag;
    if policy == Policy::InDoubt {
        flags |= acquired_flag::IN_DOUBT;
    }
    if previous.is_some() {
        flags |= acquired_flag::TAKEOVER;
    }
    let spelt = match namespace {
        Some(_) => "",
        None => {
            flags |= acquired_flag::SPELT;
            identity.namespace().as_str()
        }
    };
    out.extend_from_slice(view.attempt_id.as_bytes());
    put_u48(out, fact.expires_at.as_millis());
    put_u48(out, view.acquired_at.as_millis());
    out.extend_from_slice(&to_u32(lease.get()).to_le_bytes());
    out.extend_from_slice(&to_u32(set_aside.result).to_le_bytes());
    put_u24(out, to_u32(set_aside.checkpoint));
    out.push(flags);
    out.extend_from_slice(&namespace.unwrap_or_default().to_le_bytes());
    let (scope, key) = (scoped_key.scope(), scoped_key.key());
    let sizes = [fingerprint.len(), scope.len(), key.len(), spelt.len()];
    out.extend_from_slice(&sizes.map(|size| size as u8)); // Each below 256 by its limit (S20).
    out.extend_from_slice(&[0; 2]);
    if let Some(previous) = previous {
        out.extend_from_slice(&previous.get().to_le_bytes());
        out.extend_from_slice(&view.attempt_number.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
    }
    for part in [fingerprint, scope, key, spelt.as_bytes()] {
        out.extend_from_slice(part);
    }
}

fn put_completed(
    at: Timestamp,
    result: &ResultRef<'_>,
    digest: Option<&[u8; 32]>,
    bound: Option<&Digest>,
    out: &mut Vec<u8>,
) {
    let (mut flags, body) = match result.body {
        Body::Kept(body) => (0, body),
        Body::NotKept(NotKept::TooLarge) => (completed_flag::TOO_LARGE, &[][..]),
        Body::NotKept(NotKept::Declined) => (completed_flag::DECLINED, &[][..]),
        Body::NotKept(NotKept::Capacity) => (completed_flag::CAPACITY, &[][..]),
    };
    if digest.is_some() {
        flags |= completed_flag::DIGEST;
    }
    let bound = bound.map_or(&[][..], Digest::as_bytes);
    put_u48(out, at.as_millis());
    out.extend_from_slice(&result.status.to_le_bytes());
    out.extend_from_slice(&(result.metadata.len() as u32).to_le_bytes());
    out.extend_from_slice(&[flags, bound.len() as u8, 0, 0]);
    let digest = digest.map_or(&[][..], |digest| &digest[..]);
    for part in [bound, digest, result.metadata, body] {
        out.extend_from_slice(part);
    }
}

/// Limits keep such numbers below 2^32 (S20); a larger one errs towards keeping more and longer.
fn to_u32(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Fills in the checksums of frames that stand one after the other, for the file they go to, and
/// carries `crc`, the batch's, on over them.
///
/// # Panics
/// If `frames` are not what [`encode`] appended.
pub(crate) fn seal(frames: &mut [u8], file: FileId, mut crc: u32) -> u32 {
    let mut from = 0;
    while from < frames.len() {
        let frame = FrameBytes::first(&frames[from..]).expect("frames of our own");
        let (sum, length) = (frame.crc(file).to_le_bytes(), frame.len());
        frames[from + CRC_AT.start..from + CRC_AT.end].copy_from_slice(&sum);
        crc = crc32c::crc32c_append(crc, &sum);
        from += length;
    }
    crc
}
