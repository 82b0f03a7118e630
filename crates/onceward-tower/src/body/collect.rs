//! Reads a body into memory, up to a bound (H7).

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;

/// A body that is all here.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    pub(crate) data: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

/// Smaller chunks are copied together: a caller who sends a megabyte byte by byte must not take
/// up tens of them here.
const CHUNK_BYTES_MIN: usize = 4 * 1024;

/// The part of a body that has been read, in order.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    /// The first as it came, and large ones.
    chunks: VecDeque<Bytes>,
    /// Small ones behind those.
    tail: BytesMut,
    size: usize,
}

impl Chunks {
    fn push(&mut self, chunk: Bytes) {
        self.size += chunk.len();
        if chunk.len() < CHUNK_BYTES_MIN && !self.chunks.is_empty() {
            self.tail.extend_from_slice(&chunk);
            return;
        }
        if !self.tail.is_empty() {
            self.chunks.push_back(self.tail.split().freeze());
        }
        self.chunks.push_back(chunk);
    }

    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let tail = |tail: &mut BytesMut| (!tail.is_empty()).then(|| tail.split().freeze());
        let chunk = self.chunks.pop_front().or_else(|| tail(&mut self.tail))?;
        self.size -= chunk.len();
        Some(chunk)
    }

    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// Copies unless there is one chunk at most.
    fn join(mut self) -> Bytes {
        if self.chunks.len() <= 1 && self.tail.is_empty() {
            return self.pop().unwrap_or_default();
        }
        let mut all = BytesMut::with_capacity(self.size);
        while let Some(chunk) = self.pop() {
            all.extend_from_slice(&chunk);
        }
        all.freeze()
    }
}

/// How collecting ended.
pub(crate) enum Collected<B: Body> {
    Whole(Whole),
    /// More than the bound. What was read, and the rest.
    Over(Chunks, Pin<Box<B>>),
    /// The body broke off.
    Broken(Chunks, B::Error),
}

/// Resolves once the body has ended or is known to be over the bound. A declared size over it
/// counts at once: nothing is read then.
pub(crate) struct Collect<B> {
    /// Taken when this resolves.
    body: Option<Pin<Box<B>>>,
    read: Chunks,
    trailers: Option<HeaderMap>,
    bytes_max: usize,
}

impl<B: Body<Data = Bytes>> Collect<B> {
    pub(crate) fn new(body: B, bytes_max: usize) -> Self {
        let (read, trailers) = (Chunks::default(), None);
        Self { body: Some(Box::pin(body)), read, trailers, bytes_max }
    }

    /// Whether nothing has ended, gone over or broken off yet.
    fn step(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<(), B::Error>>> {
        let body = self.body.as_mut().expect("polled after it was ready");
        if body.is_end_stream() {
            return Poll::Ready(None);
        }
        let frame = match ready!(body.as_mut().poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            Some(Ok(frame)) => frame,
        };
        match frame.into_data() {
            Ok(chunk) => self.read.push(chunk),
            Err(other) => {
                if let Ok(trailers) = other.into_trailers() {
                    self.trailers = Some(trailers);
                }
            }
        }
        Poll::Ready(Some(Ok(())))
    }

    fn is_over(&self) -> bool {
        let declared = self.body.as_ref().map_or(0, |body| body.size_hint().lower());
        let read = u64::try_from(self.read.size()).unwrap_or(u64::MAX);
        read.saturating_add(declared) > u64::try_from(self.bytes_max).unwrap_or(u64::MAX)
    }
}

impl<B: Body<Data = Bytes>> Future for Collect<B> {
    type Output = Collected<B>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let collect = &mut *self;
        loop {
            if collect.is_over() {
                let body = collect.body.take().expect("polled after it was ready");
                return Poll::Ready(Collected::Over(std::mem::take(&mut collect.read), body));
            }
            match ready!(collect.step(context)) {
                Some(Ok(())) => {}
                None => {
                    collect.body = None;
                    let data = std::mem::take(&mut collect.read).join();
                    let trailers = collect.trailers.take();
                    return Poll::Ready(Collected::Whole(Whole { data, trailers }));
                }
                Some(Err(error)) => {
                    collect.body = None;
                    let read = std::mem::take(&mut collect.read);
                    return Poll::Ready(Collected::Broken(read, error));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    use super::*;

    fn stream(chunks: &[&'static str]) -> impl Body<Data = Bytes, Error = &'static str> {
        let frame = |chunk: &&'static str| match *chunk {
            "broken" => Err("broken"),
            chunk => Ok(Frame::data(Bytes::from_static(chunk.as_bytes()))),
        };
        StreamBody::new(futures_util::stream::iter(chunks.iter().map(frame).collect::<Vec<_>>()))
    }

    fn shown<B: Body>(collected: Collected<B>) -> (&'static str, Bytes) {
        match collected {
            Collected::Whole(whole) => ("whole", whole.data),
            Collected::Over(read, _) => ("over", read.join()),
            Collected::Broken(read, _) => ("broken", read.join()),
        }
    }

    #[tokio::test]
    async fn the_bound_is_the_last_size_that_is_kept() {
        for (chunks, max, want, read) in [
            (&[][..], 0, "whole", ""),
            (&["abc"], 3, "whole", "abc"),
            (&["abc", "d"], 4, "whole", "abcd"),
            (&["abc", "d"], 3, "over", "abcd"),
            (&["abc", "broken"], 9, "broken", "abc"),
            (&["abc", "broken"], 2, "over", "abc"),
        ] {
            let got = shown(Collect::new(stream(chunks), max).await);
            assert_eq!(got, (want, Bytes::from(read)), "{chunks:?} up to {max}");
        }
    }

    #[test]
    fn small_chunks_are_copied_together_in_order() {
        let mut chunks = Chunks::default();
        let mut sent = Vec::new();
        for round in 0..10 {
            for byte in 0..100 {
                chunks.push(Bytes::copy_from_slice(&[byte]));
                sent.push(byte);
            }
            chunks.push(Bytes::from(vec![round; CHUNK_BYTES_MIN]));
            sent.extend([round; CHUNK_BYTES_MIN]);
        }
        chunks.push(Bytes::from_static(b"end"));
        sent.extend(b"end");
        assert_eq!(chunks.size(), sent.len());
        assert!(chunks.chunks.len() <= 21, "{}", chunks.chunks.len());
        let first = chunks.pop().unwrap();
        assert_eq!((&first[..], chunks.size()), (&sent[..1], sent.len() - 1));
        assert_eq!(chunks.join(), &sent[1..]);
    }

    #[tokio::test]
    async fn a_declared_size_over_the_bound_is_not_read() {
        let got = shown(Collect::new(Full::new(Bytes::from_static(b"abcd")), 3).await);
        assert_eq!(got, ("over", Bytes::new()));
    }
}
