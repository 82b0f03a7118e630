//! The handler's own word on what happened.

/// A mark in a response's extensions: nothing has happened, so the key may be used again, whatever
/// the status says (H5).
///
/// Right for a refusal that a handler gives before its first side effect, such as a payload that
/// does not parse. Wrong for anything after it: the next request with the key would run.
///
/// ```
/// use http::Response;
/// use onceward_tower::NoSideEffect;
///
/// let mut refusal = Response::new("quantity is missing");
/// *refusal.status_mut() = http::StatusCode::BAD_REQUEST;
/// refusal.extensions_mut().insert(NoSideEffect);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct NoSideEffect;
