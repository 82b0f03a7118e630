//! Whose key it is: a choice that every integrator makes (H2).

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderName;
use http::request;
use onceward_core::limits::SCOPE_BYTES_MAX;

use crate::problem::Problem;

type Of = dyn Fn(&request::Parts) -> Option<Bytes> + Send + Sync;

/// Where a request's scope comes from. There is no default: two tenants who choose the same key
/// must not meet.
///
/// ```
/// use bytes::Bytes;
/// use onceward_http::Scope;
///
/// #[derive(Clone)]
/// struct Account { id: String }
///
/// // A header that only the gateway in front can set, ...
/// let by_header = Scope::header(http::HeaderName::from_static("x-account"));
/// // ... what an authentication layer has found out, ...
/// let by_account = Scope::extension(|account: &Account| Bytes::from(account.id.clone()));
/// // ... or nobody: everyone's keys are in one room.
/// let everyone = Scope::global();
/// ```
#[derive(Clone)]
pub struct Scope(Source);

#[derive(Clone)]
enum Source {
    Header(HeaderName),
    Of(Arc<Of>),
    Global,
}

impl Scope {
    /// The value of a request's header, which names the principal: set by a gateway that removes
    /// what callers send under that name. Missing, empty or there twice: 401.
    ///
    /// Do not take a credential that is renewed, such as a bearer token: a retry after its renewal
    /// would have another scope, and would run again.
    #[must_use]
    pub const fn header(name: HeaderName) -> Self {
        Self(Source::Header(name))
    }

    /// What an earlier layer has left in the request's extensions; 401 if it has not.
    #[must_use]
    pub fn extension<T: Clone + Send + Sync + 'static>(
        scope: impl Fn(&T) -> Bytes + Send + Sync + 'static,
    ) -> Self {
        Self::of(move |parts| parts.extensions.get::<T>().map(&scope))
    }

    /// A function of the request; `None` is 401. An empty scope is a scope.
    #[must_use]
    pub fn of(scope: impl Fn(&request::Parts) -> Option<Bytes> + Send + Sync + 'static) -> Self {
        Self(Source::Of(Arc::new(scope)))
    }

    /// One scope for all callers. Right where there is one caller, or where keys hold the tenant.
    #[must_use]
    pub const fn global() -> Self {
        Self(Source::Global)
    }

    /// The scope of a request, of at most 255 bytes.
    ///
    /// # Errors
    /// [`Problem::ScopeMissing`] or [`Problem::ScopeTooLong`].
    pub fn scope_of(&self, parts: &request::Parts) -> Result<Bytes, Problem> {
        let scope = match &self.0 {
            Source::Global => Some(Bytes::new()),
            Source::Of(scope) => scope(parts),
            Source::Header(name) => {
                let mut lines = parts.headers.get_all(name).iter();
                match (lines.next(), lines.next()) {
                    (Some(line), None) if !line.is_empty() => {
                        Some(Bytes::copy_from_slice(line.as_bytes()))
                    }
                    _ => None,
                }
            }
        };
        match scope {
            Some(scope) if scope.len() > SCOPE_BYTES_MAX => {
                Err(Problem::ScopeTooLong { got: scope.len() })
            }
            Some(scope) => Ok(scope),
            None => Err(Problem::ScopeMissing),
        }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Header(name) => write!(f, "Scope(header {name})"),
            Source::Of(_) => f.write_str("Scope(function)"),
            Source::Global => f.write_str("Scope(global)"),
        }
    }
}
