//! What a later call does with a stored result: show the recording, exit with the status.

use std::io::{self, Write};

use onceward_client::{Done, MetadataBuf, NotKept};

use super::ending::Ending;
use super::recording::{self, Recording, Stream};
use crate::exit::Exit;

/// The pair that tells a result of `run`; its value is the version of the body.
const MARK: (&str, &str) = ("onceward-run", "1");
const STDOUT_BYTES: &str = "stdout-bytes";
const STDERR_BYTES: &str = "stderr-bytes";

/// The metadata of a result: what it is, and how much the command wrote. Survives where the body is
/// not kept (S12).
pub(super) fn metadata(recording: &Recording) -> MetadataBuf {
    let mut metadata = MetadataBuf::new();
    let pairs = [
        (MARK.0, MARK.1.to_owned()),
        (STDOUT_BYTES, recording.written(Stream::Stdout).to_string()),
        (STDERR_BYTES, recording.written(Stream::Stderr).to_string()),
    ];
    for (name, value) in pairs {
        metadata.push(name, &value).expect("three short pairs are within every limit");
    }
    metadata
}

/// A number of the metadata.
fn number(done: &Done, wanted: &str) -> Option<u64> {
    let metadata = done.metadata().ok()?;
    let (_, value) = metadata.pairs().find(|(name, _)| *name == wanted.as_bytes())?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// What is told of a result, run or replayed.
pub(super) fn describe(ending: &mut Ending, done: &Done) {
    ending.status = Some(done.result.status);
    ending.key = Some("completed");
    ending.not_kept = done.not_kept.map(NotKept::name);
    ending.stdout_bytes = number(done, STDOUT_BYTES);
    ending.stderr_bytes = number(done, STDERR_BYTES);
    ending.attempt_number = Some(done.attempt_number);
    ending.age_ms = Some(done.age.get());
    ending.retention_left_ms = Some(done.retention_left.get());
}

/// Replays to our own stdout and stderr.
pub(super) fn replay(done: &Done, accept_missing_output: bool) -> Ending {
    // Rust's own buffer on stdout is written through after each chunk, so the order holds.
    let (mut stdout, mut stderr) = (io::stdout().lock(), io::stderr().lock());
    replay_to(done, accept_missing_output, &mut stdout, &mut stderr)
}

fn replay_to(
    done: &Done,
    accept_missing_output: bool,
    stdout: &mut impl Write,
    stderr: &mut impl Write,
) -> Ending {
    let Ok(status) = u8::try_from(done.result.status) else {
        let message = format!(
            "the key is completed with status {}, which is no exit status: something other than onceward run stored it; use another key",
            done.result.status
        );
        return told(done, Ending::own(Exit::Failure, message));
    };
    let chunks = match done.body() {
        Some(body) => recording::chunks(body).map_err(|why| format!("is not to be had: {why}")),
        None => Err(missing(done)),
    };
    let chunks = match chunks {
        Ok(chunks) => chunks,
        Err(_) if accept_missing_output => return told(done, Ending::new("replayed", status)),
        Err(why) => {
            let message = format!(
                "the work is done, with exit status {status}, and is not run again, but its output {why}; pass --accept-missing-output to exit with that status"
            );
            return told(done, Ending::own(Exit::NotKept, message));
        }
    };
    let mut written = [Ok(()), Ok(())];
    for (stream, bytes) in chunks {
        let (sink, so_far): (&mut dyn Write, _) = match stream {
            Stream::Stdout => (stdout, &mut written[0]),
            Stream::Stderr => (stderr, &mut written[1]),
        };
        if so_far.is_ok() {
            *so_far = sink.write_all(bytes).and_then(|()| sink.flush());
        }
    }
    for error in written.into_iter().filter_map(Result::err) {
        // A reader that has left wants no more.
        if error.kind() != io::ErrorKind::BrokenPipe {
            let message = format!("the stored output cannot be written: {error}; call again");
            return told(done, Ending::own(Exit::Failure, message));
        }
    }
    told(done, Ending::new("replayed", status))
}

fn told(done: &Done, mut ending: Ending) -> Ending {
    describe(&mut ending, done);
    ending
}

/// Why there is no body, as the rest of a sentence about the output.
pub(super) fn missing(done: &Done) -> String {
    let written = number(done, STDOUT_BYTES).zip(number(done, STDERR_BYTES));
    let Some((stdout, stderr)) = written else {
        return "was never recorded: something other than onceward run completed the key"
            .to_owned();
    };
    let why = match done.not_kept {
        Some(NotKept::Capacity) => "for the store had no room",
        Some(NotKept::TooLarge) => "for it is larger than the store keeps",
        // The client declines, too, what is larger than a frame: the two look the same later.
        Some(NotKept::Declined) | None => {
            "for it is larger than --output-max, or than the store takes at once"
        }
    };
    format!("({stdout} bytes of stdout, {stderr} of stderr) is not kept, {why}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use onceward_client::{Body, Millis, StoredResult};

    fn done(status: u16, body: Body<Bytes>, ours: bool) -> Done {
        let mut recording = Recording::new(1_000);
        recording.push(Stream::Stdout, b"one");
        let metadata = if ours { metadata(&recording) } else { MetadataBuf::new() };
        let not_kept = match &body {
            Body::Kept(_) => None,
            Body::NotKept(why) => Some(*why),
        };
        Done {
            result: StoredResult { status, metadata: metadata.into_encoded().into(), body },
            not_kept,
            replayed: true,
            attempt_number: 2,
            age: Millis::new(5),
            retention_left: Millis::new(7),
        }
    }

    fn body() -> Body<Bytes> {
        let mut recording = Recording::new(1_000);
        for (stream, bytes) in
            [(Stream::Stdout, "one"), (Stream::Stderr, "two"), (Stream::Stdout, "three")]
        {
            recording.push(stream, bytes.as_bytes());
        }
        Body::Kept(recording.into_body().expect("small").into())
    }

    #[test]
    fn what_later_calls_get_s12() {
        let declined = || Body::NotKept(NotKept::Declined);
        let capacity = || Body::NotKept(NotKept::Capacity);
        let text = || Body::Kept(Bytes::from_static(b"order 17"));
        #[rustfmt::skip]
        let cases = [
            ("all of it",                 done(7, body(), true),       false, 7,   "replayed", ""),
            ("too large",                 done(7, declined(), true),   false, 125, "not_kept", "larger than --output-max"),
            ("no room",                   done(7, capacity(), true),   false, 125, "not_kept", "had no room"),
            ("too large, accepted",       done(7, declined(), true),   true,  7,   "replayed", ""),
            ("resolved by a person",      done(0, declined(), false),  false, 125, "not_kept", "never recorded"),
            ("of another program",        done(0, text(), false),      false, 125, "not_kept", "no recording"),
            ("of another, accepted",      done(0, text(), false),      true,  0,   "replayed", ""),
            ("no exit status",            done(256, body(), true),     true,  125, "failure",  "no exit status"),
        ];
        for (why, done, accept, code, outcome, said) in cases {
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            let ending = replay_to(&done, accept, &mut stdout, &mut stderr);
            assert_eq!((ending.exit_code, ending.outcome), (code, outcome), "{why}");
            assert!(ending.message.as_deref().unwrap_or_default().contains(said), "{why}");
            assert_eq!(ending.message.is_none(), said.is_empty(), "{why}");
            let replayed = why == "all of it";
            assert_eq!(stdout, if replayed { "onethree" } else { "" }.as_bytes(), "{why}");
            assert_eq!(stderr, if replayed { "two" } else { "" }.as_bytes(), "{why}");
            assert!(!ending.ran, "{why}");
        }
    }

    /// Fails as told, and takes nothing.
    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_reader_that_leaves_is_no_fault_and_a_full_disk_is() {
        for (kind, code) in [(io::ErrorKind::BrokenPipe, 7), (io::ErrorKind::StorageFull, 125)] {
            let mut stderr = Vec::new();
            let ending = replay_to(&done(7, body(), true), false, &mut Broken(kind), &mut stderr);
            assert_eq!(ending.exit_code, code, "{kind:?}");
            assert_eq!(stderr, b"two", "{kind:?}: the other stream goes on");
        }
    }
}
