//! The ledger: what a carrier, a bank or an ERP is to a service. It knows nothing of idempotency
//! keys and turns no request away as a repeat: each one is a row.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::http::{HttpClient, HttpError, Outgoing};
use super::traffic::Confirmation;

/// A side effect, as a service asks for it.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Entry {
    /// What it is about: a purchase order's number, say.
    pub(super) reference: String,
    /// Whatever the service likes; the ledger can be asked for it later.
    pub(super) client_reference: Option<String>,
}

/// Append-only rows.
#[derive(Default)]
pub(super) struct Ledger {
    rows: Mutex<Rows>,
}

#[derive(Default)]
struct Rows {
    count: u64,
    by_reference: HashMap<String, u64>,
    /// The latest row.
    by_client_reference: HashMap<String, Confirmation>,
}

/// What the ledger holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Tally {
    pub(super) rows: u64,
    /// How many different things the rows are about.
    pub(super) references: u64,
}

impl Tally {
    /// Rows beyond one for each thing.
    pub(super) const fn duplicates(self) -> u64 {
        self.rows - self.references
    }
}

impl Ledger {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, entry: Entry) -> Confirmation {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut rows = self.rows();
        rows.count += 1;
        let confirmation =
            Confirmation { number: rows.count, recorded_at_ms: since.as_millis() as u64 };
        *rows.by_reference.entry(entry.reference).or_insert(0) += 1;
        if let Some(client_reference) = entry.client_reference {
            rows.by_client_reference.insert(client_reference, confirmation);
        }
        confirmation
    }

    fn find(&self, client_reference: &str) -> Option<Confirmation> {
        self.rows().by_client_reference.get(client_reference).copied()
    }

    pub(super) fn tally(&self) -> Tally {
        let rows = self.rows();
        Tally { rows: rows.count, references: rows.by_reference.len() as u64 }
    }

    /// Serves on a loopback port of its own until the runtime ends.
    pub(super) async fn serve(self: Arc<Self>) -> std::io::Result<SocketAddr> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let app = Router::new()
            .route("/rows", post(append))
            .route("/rows/{client_reference}", get(find))
            .with_state(self);
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true); // Only slower without.
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(address)
    }
}

async fn append(State(ledger): State<Arc<Ledger>>, Json(entry): Json<Entry>) -> Json<Confirmation> {
    Json(ledger.append(entry))
}

async fn find(
    State(ledger): State<Arc<Ledger>>,
    Path(client_reference): Path<String>,
) -> Result<Json<Confirmation>, StatusCode> {
    ledger.find(&client_reference).map(Json).ok_or(StatusCode::NOT_FOUND)
}

/// How services and the reconciler reach the ledger.
#[derive(Clone)]
pub(super) struct LedgerClient {
    address: SocketAddr,
    http: HttpClient,
}

impl LedgerClient {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, http: HttpClient::default() }
    }

    /// Causes a side effect. After an error nobody knows whether it happened.
    pub(super) async fn append(&self, entry: &Entry) -> Result<Confirmation, HttpError> {
        let body = serde_json::to_vec(entry).expect("text is JSON");
        let headers = vec![("content-type", "application/json".to_owned())];
        let request =
            Outgoing { method: "POST", path: "/rows", headers: &headers, body: Bytes::from(body) };
        let reply = self.http.send(self.address, &request).await?;
        match reply.document.status {
            200 => confirmation(&reply.document.body),
            status => Err(HttpError::new(format!("the ledger answers status {status}"))),
        }
    }

    /// The row with that client reference.
    pub(super) async fn find(
        &self,
        client_reference: &str,
    ) -> Result<Option<Confirmation>, HttpError> {
        let path = format!("/rows/{client_reference}");
        let request = Outgoing { method: "GET", path: &path, headers: &[], body: Bytes::new() };
        let reply = self.http.send(self.address, &request).await?;
        match reply.document.status {
            200 => confirmation(&reply.document.body).map(Some),
            404 => Ok(None),
            status => Err(HttpError::new(format!("the ledger answers status {status}"))),
        }
    }
}

fn confirmation(body: &[u8]) -> Result<Confirmation, HttpError> {
    serde_json::from_slice(body).map_err(|error| HttpError::new(format!("the ledger: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference and client reference.
    type Asked = (&'static str, Option<&'static str>);

    fn entry(reference: &str, client_reference: Option<&str>) -> Entry {
        Entry {
            reference: reference.to_owned(),
            client_reference: client_reference.map(str::to_owned),
        }
    }

    #[test]
    fn duplicates_are_rows_beyond_one_for_each_thing() {
        #[rustfmt::skip]
        let cases: [(&str, &[Asked], u64, u64); 5] = [
            ("nothing happened",                    &[], 0, 0),
            ("once each",                           &[("a", None), ("b", None)], 2, 0),
            ("one of them twice",                   &[("a", None), ("b", None), ("a", None)], 3, 1),
            ("the same client reference is no reason to refuse", &[("a", Some("k")), ("a", Some("k"))], 2, 1),
            ("other client references, same thing", &[("a", Some("k")), ("a", Some("l")), ("a", None)], 3, 2),
        ];
        for (why, entries, rows, duplicates) in cases {
            let ledger = Ledger::default();
            for (reference, client_reference) in entries {
                ledger.append(entry(reference, *client_reference));
            }
            assert_eq!(ledger.tally().rows, rows, "{why}");
            assert_eq!(ledger.tally().duplicates(), duplicates, "{why}");
        }
    }

    #[tokio::test]
    async fn a_service_appends_and_a_reconciler_finds_over_http() {
        let ledger = Arc::new(Ledger::default());
        let client = LedgerClient::new(Arc::clone(&ledger).serve().await.unwrap());
        assert_eq!(client.find("k1").await.unwrap(), None);
        let first = client.append(&entry("a", Some("k1"))).await.unwrap();
        let second = client.append(&entry("a", Some("k2"))).await.unwrap();
        assert_eq!((first.number, second.number), (1, 2));
        assert_eq!(client.find("k1").await.unwrap(), Some(first));
        assert_eq!(ledger.tally(), Tally { rows: 2, references: 1 });
    }
}
