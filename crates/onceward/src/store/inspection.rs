//! What operators look at: pages of entries, and figures.

use onceward_core::{ListEntry, ListPage, ListQuery, Namespace, PageCursor, Stats};

use super::Store;
use crate::answer::StoreError;
use crate::storage::Storage;

impl Store {
    /// Lists entries of a namespace. Looks at a bounded number of entries per call, so a page may
    /// be short, or empty, and still name a next one. Stops nobody.
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    pub fn list(
        &self,
        namespace: Namespace<'_>,
        query: &ListQuery,
    ) -> Result<ListPage, StoreError> {
        query.check()?;
        self.inner.check_open()?;
        let now = self.now();
        let mut entries = Vec::new();
        let next = self.inner.engine.storage.page(query.cursor.0, &mut |identity, view| {
            if entries.len() == usize::from(query.entries_max) {
                return false;
            }
            let Some(view) = view.at(now) else { return true };
            let wanted = identity.namespace() == namespace
                && query.state.is_none_or(|state| state == view.state_name())
                && query.older_than.is_none_or(|least| view.age(now) >= least);
            if wanted {
                entries.push(ListEntry {
                    scoped_key: identity.scoped_key().to_owned(),
                    state: view.state_name(),
                    age: view.age(now),
                    attempt_number: view.attempt_number,
                    fence: view.fence,
                    doubt_number: view.doubt_number_at(now),
                    retention_left: view.retention_left(now),
                });
            }
            true
        });
        Ok(ListPage { entries, next: next.map(PageCursor) })
    }

    /// The store's figures. No lock is taken.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let engine = &self.inner.engine;
        let mut stats = Stats::default();
        engine.counters.fill(&mut stats);
        engine.storage.fill(&mut stats, self.now());
        stats.memory_used_bytes = engine.budget.used();
        stats.memory_high_water_bytes = engine.budget.high_water();
        stats.memory_limit_bytes = engine.budget.limit();
        if let Some(log) = self.journal() {
            let counts = log.counts();
            stats.journal_halted = u64::from(log.halted().is_some());
            stats.journal_halts = counts.halts;
            stats.journal_facts = counts.facts;
            stats.journal_bytes = counts.bytes;
            stats.journal_syncs = counts.syncs;
        }
        stats
    }
}
