//! One batch of one partition: its transaction, and the search for a record that the database objects to.

use std::collections::HashSet;
use std::time::Instant;

use sqlx::{Connection, PgConnection};

use super::classify::{DataFailure, Failure, classify};
use super::row::{self, Advance, Owned, acquire};
use super::worker::{DEAD_LETTERS, Worker};
use super::{ApplyError, Projection};
use crate::Record;
use crate::dead_letter::DeadLetterLimit;

/// What a partition's owner has in memory; all of it can be had again by a takeover.
pub(super) struct Possession<S> {
    pub(super) owned: Owned,
    pub(super) state: S,
    pub(super) limit: DeadLetterLimit,
}

/// How to apply what is in a transaction.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// As it should be.
    Whole,
    /// One record that could not be applied is kept with its bytes.
    Unreadable(&'static str),
    /// One record that could not even be kept goes to the dead letters.
    DeadLetter(&'static str),
}

/// How a batch ended that was committed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Committed {
    GoOn,
    /// There were too many dead letters: the partition is stopped.
    Stopped,
}

impl<P: Projection> Worker<P> {
    /// Applies all records, in one transaction if they can be, else in as many as it takes to keep the one that
    /// cannot apart.
    pub(super) async fn apply_all(
        &self,
        possession: &mut Possession<P::State>,
        records: &[Record],
    ) -> Result<Committed, Failure> {
        let mut ranges = vec![(0, records.len())];
        let mut reloaded = false;
        while let Some((start, end)) = ranges.pop() {
            let part = &records[start..end];
            let failure = match self.apply_part(possession, part, Manner::Whole).await {
                Ok(Committed::GoOn) => continue,
                Ok(Committed::Stopped) => return Ok(Committed::Stopped),
                Err(Failure::Data(failure)) => failure,
                Err(failure) => return Err(failure),
            };
            possession.state = self.projection.new_state(self.partition);
            if failure.unique && !reloaded {
                // What was remembered may have been wrong; what is read anew is not.
                tracing::warn!(
                    kafka.partition = self.partition,
                    detail = failure.detail,
                    "a unique key objects: the partition's state is read anew"
                );
                reloaded = true;
                ranges.push((start, end));
            } else if let [record] = part {
                if self.keep_unreadable(possession, record, &failure).await? == Committed::Stopped {
                    return Ok(Committed::Stopped);
                }
            } else {
                // The last one pushed is the next one applied.
                ranges.extend(
                    split(part, failure.offset)
                        .into_iter()
                        .rev()
                        .map(|(a, b)| (start + a, start + b)),
                );
            }
        }
        Ok(Committed::GoOn)
    }

    async fn keep_unreadable(
        &self,
        possession: &mut Possession<P::State>,
        record: &Record,
        failure: &DataFailure,
    ) -> Result<Committed, Failure> {
        tracing::error!(
            kafka.partition = record.partition,
            kafka.offset = record.offset,
            reason = failure.reason,
            detail = failure.detail,
            "record cannot be applied: its bytes are kept as unreadable"
        );
        let labels = [self.projection.name(), failure.reason];
        self.context
            .metrics
            .projection
            .unreadable
            .with_label_values(&labels)
            .inc();
        let one = std::slice::from_ref(record);
        match self
            .apply_part(possession, one, Manner::Unreadable(failure.reason))
            .await
        {
            Err(Failure::Data(_)) => {
                possession.state = self.projection.new_state(self.partition);
                self.apply_part(possession, one, Manner::DeadLetter("not_applicable"))
                    .await
            }
            other => other,
        }
    }

    /// One transaction. What it changed in memory counts only if it is committed.
    async fn apply_part(
        &self,
        possession: &mut Possession<P::State>,
        records: &[Record],
        manner: Manner,
    ) -> Result<Committed, Failure> {
        let Some(last) = records.last() else {
            return Ok(Committed::GoOn);
        };
        let advance = Advance {
            next_offset: last.offset + 1,
            last_record: last.fingerprint(),
        };
        let begun = Instant::now();
        let mut connection = acquire(&self.context.pool).await.map_err(classify)?;
        let transaction = self.run_transaction(possession, records, &advance, manner, &mut connection);
        let committed = match tokio::time::timeout(self.context.options.transaction, transaction).await {
            Ok(Ok(committed)) => committed,
            Ok(Err(failure)) => return Err(failure),
            Err(_) => {
                // It hangs in the middle of a statement: nobody else must get it.
                connection.close_on_drop();
                return Err(Failure::Unavailable("the transaction took too long".to_owned()));
            }
        };
        possession.owned.next_offset = advance.next_offset;
        possession.owned.last_record = Some(advance.last_record);
        self.note_committed(&possession.owned, records, begun);
        Ok(committed)
    }

    async fn run_transaction(
        &self,
        possession: &mut Possession<P::State>,
        records: &[Record],
        advance: &Advance,
        manner: Manner,
        connection: &mut PgConnection,
    ) -> Result<Committed, Failure> {
        let mut transaction = connection.begin().await.map_err(classify)?;
        let idle_limit = self.context.options.transaction;
        let is_ours = row::advance(&mut transaction, &possession.owned, advance, idle_limit)
            .await
            .map_err(classify)?;
        if !is_ours {
            return Err(Failure::Fenced);
        }
        let letters = self
            .apply_records(possession, records, manner, &mut transaction)
            .await?;
        if !letters.is_empty() {
            let written: Vec<(&Record, &'static str)> = letters
                .iter()
                .filter_map(|(offset, reason)| {
                    let index = records
                        .binary_search_by_key(offset, |record| record.offset)
                        .ok()?;
                    Some((&records[index], *reason))
                })
                .collect();
            self.dead_letters
                .write(&written)
                .await
                .map_err(|error| Failure::Unavailable(format!("dead letters: {error}")))?;
        }
        let letter_offsets: HashSet<i64> = letters.iter().map(|(offset, _)| *offset).collect();
        let is_letter = |record: &Record| !letters.is_empty() && letter_offsets.contains(&record.offset);
        let too_many = possession.limit.count(records.iter().map(is_letter));
        if too_many {
            row::stop(&mut *transaction, &possession.owned, DEAD_LETTERS)
                .await
                .map_err(classify)?;
        }
        // Whether a commit that failed went through is not known: the takeover that follows reads it.
        transaction
            .commit()
            .await
            .map_err(|error| Failure::Unavailable(format!("commit: {error}")))?;
        self.note_letters(&letters);
        Ok(if too_many {
            Committed::Stopped
        } else {
            Committed::GoOn
        })
    }

    async fn apply_records(
        &self,
        possession: &mut Possession<P::State>,
        records: &[Record],
        manner: Manner,
        transaction: &mut PgConnection,
    ) -> Result<Vec<(i64, &'static str)>, ApplyError> {
        let state = &mut possession.state;
        match manner {
            Manner::Whole => self.projection.apply(state, records, transaction).await,
            Manner::Unreadable(reason) => {
                for record in records {
                    self.projection
                        .apply_unreadable(state, record, reason, transaction)
                        .await?;
                }
                Ok(Vec::new())
            }
            Manner::DeadLetter(reason) => Ok(records.iter().map(|record| (record.offset, reason)).collect()),
        }
    }
}

/// The parts to try next: around the record that is known to be bad, or halves.
fn split(part: &[Record], bad_offset: Option<i64>) -> Vec<(usize, usize)> {
    let bad = bad_offset.and_then(|offset| part.binary_search_by_key(&offset, |record| record.offset).ok());
    let parts = match bad {
        Some(index) => vec![(0, index), (index, index + 1), (index + 1, part.len())],
        None => vec![(0, part.len() / 2), (part.len() / 2, part.len())],
    };
    parts.into_iter().filter(|(start, end)| start < end).collect()
}
