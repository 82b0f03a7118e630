//! The body that a guarded service gets.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use onceward_claim::LateDigest;
use onceward_http::StreamedFingerprint;
use pin_project_lite::pin_project;
use tokio::sync::oneshot;

use super::collect::{Chunks, Whole};

pin_project! {
    /// A request's body behind the layer: untouched, read into memory, or streaming while its digest
    /// is computed.
    ///
    /// Of another type than the body outside: a service that is generic over its body takes it as it
    /// is, axum's router among them.
    pub struct RequestBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<B> {
        Untouched { #[pin] body: B },
        Buffered { data: Option<Bytes>, trailers: Option<HeaderMap> },
        Streamed { streamed: Streamed<B> },
    }
}

impl<B> RequestBody<B> {
    pub(crate) const fn untouched(body: B) -> Self {
        Self { kind: Kind::Untouched { body } }
    }

    pub(crate) fn buffered(Whole { data, trailers }: Whole) -> Self {
        let data = (!data.is_empty()).then_some(data);
        Self { kind: Kind::Buffered { data, trailers } }
    }

    pub(crate) const fn streamed(streamed: Streamed<B>) -> Self {
        Self { kind: Kind::Streamed { streamed } }
    }
}

impl<B: Body<Data = Bytes>> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Untouched { body } => body.poll_frame(context),
            KindProjection::Buffered { data, trailers } => {
                let data = data.take().map(Frame::data);
                Poll::Ready(data.or_else(|| trailers.take().map(Frame::trailers)).map(Ok))
            }
            KindProjection::Streamed { streamed } => streamed.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Untouched { body } => body.is_end_stream(),
            Kind::Buffered { data, trailers } => data.is_none() && trailers.is_none(),
            Kind::Streamed { streamed } => streamed.rest.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Untouched { body } => body.size_hint(),
            Kind::Buffered { data, .. } => SizeHint::with_exact(size_of(data.as_ref())),
            Kind::Streamed { streamed } => match &streamed.rest {
                Some(rest) => rest.size_hint(),
                None => SizeHint::with_exact(0),
            },
        }
    }
}

fn size_of(data: Option<&Bytes>) -> u64 {
    data.map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX))
}

/// Shows no byte of it (S16).
impl<B> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Untouched { .. } => "RequestBody(untouched)",
            Kind::Buffered { .. } => "RequestBody(buffered)",
            Kind::Streamed { .. } => "RequestBody(streamed)",
        })
    }
}

/// What is left of a streamed body: read but not handed out, not read, and the digest so far.
pub(crate) struct Rest<B> {
    ahead: Chunks,
    body: Pin<Box<B>>,
    fingerprint: StreamedFingerprint,
}

impl<B: Body<Data = Bytes>> Rest<B> {
    pub(crate) fn new(ahead: Chunks, body: Pin<Box<B>>, fingerprint: StreamedFingerprint) -> Self {
        Self { ahead, body, fingerprint }
    }

    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = match self.ahead.pop() {
            Some(chunk) => Frame::data(chunk),
            None => match ready!(self.body.as_mut().poll_frame(context)) {
                Some(Ok(frame)) => frame,
                other => return Poll::Ready(other),
            },
        };
        if let Some(chunk) = frame.data_ref() {
            self.fingerprint.update(chunk);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = u64::try_from(self.ahead.size()).unwrap_or(u64::MAX);
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(ahead.saturating_add(body.lower()));
        if let Some(upper) = body.upper() {
            hint.set_upper(ahead.saturating_add(upper));
        }
        hint
    }

    /// Reads the rest for its digest alone; `None` if it breaks off or is over the bound.
    pub(crate) async fn drain(mut self, bytes_max: u64) -> Option<onceward_core::Digest> {
        let mut left = bytes_max;
        while let Some(frame) = std::future::poll_fn(|context| self.poll_frame(context)).await {
            let size = frame.ok()?.data_ref().map_or(0, Bytes::len);
            left = left.checked_sub(u64::try_from(size).ok()?)?;
        }
        Some(self.fingerprint.finish())
    }
}

/// Hands a body on as it comes, and its digest once it has ended. If it is dropped before, what is
/// left goes back to the flow of its request.
pub(crate) struct Streamed<B> {
    /// `None` once it has ended or broken off.
    rest: Option<Rest<B>>,
    digest: LateDigest,
    back: Option<oneshot::Sender<Rest<B>>>,
}

impl<B: Body<Data = Bytes>> Streamed<B> {
    pub(crate) fn new(rest: Rest<B>, digest: LateDigest) -> (Self, oneshot::Receiver<Rest<B>>) {
        let (back, receiver) = oneshot::channel();
        (Self { rest: Some(rest), digest, back: Some(back) }, receiver)
    }

    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let frame = ready!(rest.poll_frame(context));
        match &frame {
            Some(Ok(_)) => {}
            None => {
                if let Some(rest) = self.rest.take() {
                    let _ = self.digest.set(rest.fingerprint.finish()); // Ends once.
                }
            }
            Some(Err(_)) => self.rest = None,
        }
        Poll::Ready(frame)
    }
}

impl<B> Drop for Streamed<B> {
    fn drop(&mut self) {
        if let (Some(rest), Some(back)) = (self.rest.take(), self.back.take()) {
            let _ = back.send(rest); // Nobody waits where the flow has ended.
        }
    }
}
