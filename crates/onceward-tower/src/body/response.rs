//! The body that a guarded service answers with.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::collect::{Chunks, Whole};

pin_project! {
    /// A response's body in front of the layer: untouched, whole in memory, or partly read.
    pub struct ResponseBody<B>
    where
        B: Body,
    {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<B>
    where
        B: Body,
    {
        Untouched { #[pin] body: B },
        Whole { data: Option<Bytes>, trailers: Option<HeaderMap> },
        Started { read: Chunks, rest: Pin<Box<B>> },
        Broken { read: Chunks, error: Option<B::Error> },
    }
}

impl<B: Body> ResponseBody<B> {
    pub(crate) const fn untouched(body: B) -> Self {
        Self { kind: Kind::Untouched { body } }
    }

    pub(crate) fn whole(Whole { data, trailers }: Whole) -> Self {
        let data = (!data.is_empty()).then_some(data);
        Self { kind: Kind::Whole { data, trailers } }
    }

    pub(crate) const fn started(read: Chunks, rest: Pin<Box<B>>) -> Self {
        Self { kind: Kind::Started { read, rest } }
    }

    /// What came before the body broke off, and then the error, as without the layer.
    pub(crate) const fn broken(read: Chunks, error: B::Error) -> Self {
        Self { kind: Kind::Broken { read, error: Some(error) } }
    }
}

impl<B: Body> From<Bytes> for ResponseBody<B> {
    fn from(data: Bytes) -> Self {
        Self::whole(Whole { data, trailers: None })
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Untouched { body } => body.poll_frame(context),
            KindProjection::Whole { data, trailers } => {
                let data = data.take().map(Frame::data);
                Poll::Ready(data.or_else(|| trailers.take().map(Frame::trailers)).map(Ok))
            }
            KindProjection::Started { read, rest } => match read.pop() {
                Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
                None => rest.as_mut().poll_frame(context),
            },
            KindProjection::Broken { read, error } => Poll::Ready(match read.pop() {
                Some(chunk) => Some(Ok(Frame::data(chunk))),
                None => error.take().map(Err),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Untouched { body } => body.is_end_stream(),
            Kind::Whole { data, trailers } => data.is_none() && trailers.is_none(),
            Kind::Started { read, rest } => read.size() == 0 && rest.is_end_stream(),
            Kind::Broken { error, .. } => error.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Untouched { body } => body.size_hint(),
            Kind::Whole { data, .. } => {
                SizeHint::with_exact(wide(data.as_ref().map_or(0, Bytes::len)))
            }
            Kind::Started { read, rest } => {
                let (read, rest) = (wide(read.size()), rest.size_hint());
                let mut hint = SizeHint::new();
                hint.set_lower(read.saturating_add(rest.lower()));
                if let Some(upper) = rest.upper() {
                    hint.set_upper(read.saturating_add(upper));
                }
                hint
            }
            // Of unknown length: a server that declared one could not tell its end from a break.
            Kind::Broken { read, .. } => {
                let mut hint = SizeHint::new();
                hint.set_lower(wide(read.size()));
                hint
            }
        }
    }
}

fn wide(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

/// Shows no byte of it (S16).
impl<B: Body> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Untouched { .. } => "ResponseBody(untouched)",
            Kind::Whole { .. } => "ResponseBody(whole)",
            Kind::Started { .. } => "ResponseBody(started)",
            Kind::Broken { .. } => "ResponseBody(broken)",
        })
    }
}
