//! The work's own error behind one type, for programs that return errors of any type.

use std::error::Error;
use std::fmt;

use crate::outcome::ExecuteError;
use crate::typed::TypedError;

type Inner = Box<dyn Error + Send + Sync>;

/// An error of the work, of any type. Shows itself as that error, and has its source.
///
/// Work that returns `Box<dyn Error + Send + Sync>`, a `String` or the `Error` of a crate such as
/// `anyhow` returns what is no [`Error`] itself, and then neither is [`ExecuteError`], so that `?`
/// refuses it. [`ExecuteError::boxed`] and [`TypedError::boxed`] mend that:
///
/// ```
/// use onceward_client::{Client, ExecuteError, Fingerprint, Key, PayloadFingerprint as _};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let client = Client::open("mem://orders")?;
/// let key = Key::new("8f14e45f")?.in_scope("customer-7")?;
/// let executed = client
///     .execute(key, Fingerprint::of("12"), |_| async {
///         let quantity: u32 = "12".parse()?;
///         Ok::<_, Box<dyn std::error::Error + Send + Sync>>(quantity.to_string())
///     })
///     .await
///     .map_err(ExecuteError::boxed)?;
/// assert_eq!(executed.name(), "ran");
/// # Ok(())
/// # }
/// ```
pub struct WorkError(Inner);

impl WorkError {
    /// Takes an error, or a text.
    #[must_use]
    pub fn new(error: impl Into<Inner>) -> Self {
        Self(error.into())
    }

    /// The error itself, to be downcast.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }

    /// The error itself.
    #[must_use]
    pub fn into_inner(self) -> Inner {
        self.0
    }
}

impl fmt::Debug for WorkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for WorkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for WorkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl<E> ExecuteError<E> {
    /// The same with the work's own error made into another.
    pub fn map_work<F>(self, map: impl FnOnce(E) -> F) -> ExecuteError<F> {
        match self {
            Self::Work(error) => ExecuteError::Work(map(error)),
            Self::LostOwnership { why, result } => ExecuteError::LostOwnership { why, result },
            Self::NotStored { cause, result } => ExecuteError::NotStored { cause, result },
            Self::NotRun(error) => ExecuteError::NotRun(error),
        }
    }

    /// The same with the work's own error behind [`WorkError`], so that it is an [`Error`] whatever
    /// the work returns.
    #[must_use]
    pub fn boxed(self) -> ExecuteError<WorkError>
    where
        E: Into<Inner>,
    {
        self.map_work(WorkError::new)
    }
}

impl<T, E> TypedError<T, E> {
    /// As [`ExecuteError::map_work`].
    pub fn map_work<F>(self, map: impl FnOnce(E) -> F) -> TypedError<T, F> {
        match self {
            Self::Execute(error) => TypedError::Execute(error.map_work(map)),
            Self::Unreadable { why, done } => TypedError::Unreadable { why, done },
            Self::NotEncoded { why, value, done } => TypedError::NotEncoded { why, value, done },
        }
    }

    /// As [`ExecuteError::boxed`].
    #[must_use]
    pub fn boxed(self) -> TypedError<T, WorkError>
    where
        E: Into<Inner>,
    {
        self.map_work(WorkError::new)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Error as Cause;

    use super::*;
    use onceward_keys::Key;

    /// What a program with errors of any type wants to write.
    fn handler(executed: Result<(), ExecuteError<Inner>>) -> Result<(), Inner> {
        Ok(executed.map_err(ExecuteError::boxed)?)
    }

    #[test]
    fn an_error_of_any_type_goes_up_and_is_found_again() {
        let up = handler(Err(ExecuteError::Work(Box::new(Cause)))).unwrap_err();
        assert_eq!(up.to_string(), format!("the work failed: {Cause}"));
        let error = up.downcast::<ExecuteError<WorkError>>().expect("as it went up");
        let source = error.source().expect("the work's error");
        assert_eq!(source.to_string(), Cause.to_string());
        let ExecuteError::Work(work) = *error else { panic!("still the work's") };
        assert!(work.get_ref().is::<Cause>());
        assert!(work.into_inner().downcast::<Cause>().is_ok());
    }

    #[test]
    fn a_text_is_an_error_and_other_faults_stay_what_they_are() {
        let text = ExecuteError::Work("sold out").boxed();
        assert_eq!(text.to_string(), "the work failed: sold out");
        let bad = Key::new("").unwrap_err();
        let not_run = TypedError::<(), String>::from(bad).boxed();
        assert!(matches!(not_run, TypedError::Execute(ExecuteError::NotRun(_))), "{not_run:?}");
    }

    /// Keys and fingerprints are made inside a handler with `?`; the field at fault is named.
    #[test]
    fn faults_of_keys_and_fingerprints_are_bad_input() {
        use onceward_core::Fingerprint;

        use crate::error::ClientError;
        use onceward_keys::PayloadFingerprint as _;

        fn derives() -> Result<(), ExecuteError<Cause>> {
            Key::derive("").field("id", "1").finish()?;
            Ok(())
        }
        fn names_no_field() -> Result<(), TypedError<(), Cause>> {
            Fingerprint::of_fields().finish()?;
            Ok(())
        }
        fn reads_no_json() -> Result<(), ExecuteError<Cause>> {
            Fingerprint::of_json_canonical("{")?;
            Ok(())
        }
        let names_no_field = match names_no_field() {
            Err(TypedError::Execute(error)) => Err(error),
            other => panic!("{other:?}"),
        };
        for (got, want) in
            [(derives(), "key"), (names_no_field, "fingerprint"), (reads_no_json(), "fingerprint")]
        {
            let Err(ExecuteError::NotRun(ClientError::BadInput { field, message })) = got else {
                panic!("{want}: {got:?}")
            };
            assert_eq!(field, want);
            assert!(message.starts_with(want), "{message}");
        }
    }
}
