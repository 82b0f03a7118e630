//! Facts as JSON, one object per frame.

use std::io;

use onceward::{Body, Digest, Fingerprint, NotKept, ResultRef};
use serde_json::{Map, Value, json};

use crate::disk::Disk;
use crate::error::JournalError;
use crate::facts_file::FactsFile;
use crate::frame::{AcquiredFrame, Frame, FrameEvent};
use crate::inspect::Described;
use crate::names::Names;

/// What to print.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DumpOptions {
    /// Scopes, keys, attempt ids, fingerprints, metadata, bodies and checkpoints too: secrets of
    /// those whose requests they are (S16). Without it an identity is a short keyed hash.
    pub show_keys: bool,
}

/// Tells `line` every frame that counts, in the order in which it lies, file by file; of a damaged
/// file those before the damage, and then the damage.
///
/// # Errors
/// [`JournalError`] for what cannot be read. [`JournalError::NotTaken`] if `line` fails.
pub fn dump(
    disk: &dyn Disk,
    options: DumpOptions,
    line: &mut dyn FnMut(&Value) -> io::Result<()>,
) -> Result<(), JournalError> {
    let described = Described::read(disk)?;
    let names = Names::new(&described.manifest.names, &described.manifest.hash_key);
    let mut buffer = Vec::new();
    for file in &described.files {
        let name = file.name();
        let mut failed = None;
        let read = file.read(disk, &mut buffer, |at, frame| {
            if failed.is_none() {
                let fact = FactText { frame, names: &names, options };
                failed = line(&fact.object(&name, at)).err();
            }
        });
        let refusal = match read {
            Ok(reading) => file.refusal(&reading),
            Err(error) => Some(error),
        };
        if failed.is_none()
            && let Some(refusal) = refusal
        {
            failed = line(&refused(file, &refusal)).err();
        }
        if let Some(why) = failed {
            return Err(JournalError::NotTaken { why: why.to_string() });
        }
    }
    Ok(())
}

fn refused(file: &FactsFile, refusal: &JournalError) -> Value {
    let (offset, what) = match refusal {
        JournalError::Damaged { offset, what, .. } => (Some(*offset), what.clone()),
        error => (None, error.to_string()),
    };
    json!({ "file": file.name(), "offset": offset, "damaged": what })
}

struct FactText<'a> {
    frame: &'a Frame<'a>,
    names: &'a Names,
    options: DumpOptions,
}

impl FactText<'_> {
    fn object(&self, file: &str, at: u64) -> Value {
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| drop(object.insert(name.to_owned(), value));
        put("file", file.into());
        put("offset", at.into());
        put("kind", self.frame.event.kind().name().into());
        // Larger than what JSON's readers take for a number.
        put("fence", self.frame.fence.to_string().into());
        match &self.frame.event {
            FrameEvent::Acquired(acquired) => self.acquired(acquired, &mut put),
            FrameEvent::Completed { at, result, digest, bound } => {
                put("at_ms", at.as_millis().into());
                self.result(result, &mut put);
                put("has_digest", digest.is_some().into());
                self.secret("bound", bound.as_ref().map(Digest::as_bytes), &mut put);
            }
            FrameEvent::Removed { at } => put("at_ms", at.as_millis().into()),
            FrameEvent::Doubted { since, doubt_number } => {
                put("since_ms", since.as_millis().into());
                put("doubt_number", (*doubt_number).into());
            }
            FrameEvent::Extended { lease, doubts_over, bound } => {
                put("lease_ms", lease.get().into());
                put("doubts_over", (*doubts_over).into());
                self.secret("bound", bound.as_ref().map(Digest::as_bytes), &mut put);
            }
            FrameEvent::Checkpointed { ordinal, bytes } => {
                put("ordinal", (*ordinal).into());
                put("checkpoint_bytes", bytes.len().into());
                self.secret("checkpoint", Some(bytes), &mut put);
            }
        }
        Value::Object(object)
    }

    fn acquired(&self, acquired: &AcquiredFrame<'_>, put: &mut impl FnMut(&str, Value)) {
        let identity = self.names.identity(acquired);
        let hash = self.names.hash(acquired).map(|[one, _]| format!("{one:016x}"));
        put("namespace", identity.map(|identity| identity.namespace().as_str()).into());
        put("key_hash", hash.into());
        put("acquired_at_ms", acquired.acquired_at.as_millis().into());
        put("expires_at_ms", acquired.expires_at.as_millis().into());
        put("lease_ms", acquired.lease.get().into());
        put("policy", acquired.policy.name().into());
        put("attempt_number", acquired.attempt_number().into());
        if let Some((previous, _)) = acquired.takeover {
            put("previous", previous.to_string().into());
        }
        put("set_aside_result_bytes", acquired.set_aside.result.into());
        put("set_aside_checkpoint_bytes", acquired.set_aside.checkpoint.into());
        let fingerprint = match &acquired.fingerprint {
            Fingerprint::None => "none",
            Fingerprint::Later => "later",
            Fingerprint::Digest(_) => "digest",
        };
        put("fingerprint_kind", fingerprint.into());
        let digest = acquired.fingerprint.digest();
        self.secret("fingerprint", digest.as_ref().map(Digest::as_bytes), put);
        self.secret("scope", Some(acquired.scope), put);
        self.secret("key", Some(acquired.key), put);
        self.secret("attempt_id", Some(acquired.attempt_id.as_bytes()), put);
    }

    fn result(&self, result: &ResultRef<'_>, put: &mut impl FnMut(&str, Value)) {
        put("status", result.status.into());
        put("not_kept", result.not_kept().map(NotKept::name).into());
        put("metadata_bytes", result.metadata.len().into());
        self.secret("metadata", Some(result.metadata), put);
        if let Body::Kept(body) = result.body {
            put("body_bytes", body.len().into());
            self.secret("body", Some(body), put);
        }
    }

    /// Bytes that only those see who asked for them; as text where they are text, else in
    /// hexadecimal digits under a name that says so. Attempt ids and digests never are text.
    fn secret(&self, name: &str, bytes: Option<&[u8]>, put: &mut impl FnMut(&str, Value)) {
        let Some(bytes) = bytes.filter(|_| self.options.show_keys) else { return };
        let is_binary = matches!(name, "attempt_id" | "fingerprint" | "bound" | "metadata");
        match std::str::from_utf8(bytes).ok().filter(|_| !is_binary) {
            Some(text) => put(name, text.into()),
            None => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                put(&format!("{name}_hex"), digits.into());
            }
        }
    }
}
