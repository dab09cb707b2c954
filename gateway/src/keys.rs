//! Who is behind a key: verification with a cache that survives Postgres for a while and forgets a revoked key
//! within seconds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::future::Cache;
use sqlx::PgPool;
use subtle::ConstantTimeEq;

use crate::control::{self, KeyRecord};

/// A key that was verified less than this ago is not asked for again. A revoked key is refused within 5 s, so
/// this stays below it by more than a statement takes.
const FRESH: Duration = Duration::from_secs(4);
/// So long a verified key goes on while Postgres does not answer.
const USABLE_WITHOUT_DATABASE: Duration = Duration::from_secs(15 * 60);
/// A statement that takes longer counts as no answer.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(1);
/// After no answer, requests go on without asking for this long instead of waiting one after the other.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
const CACHED_KEYS: u64 = 100_000;

/// Why a key does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No such key, or it was revoked.
    #[error("the key is not known, or was revoked")]
    Unknown,
    /// Postgres does not answer, and the key was not verified lately.
    #[error("the key cannot be verified at the moment")]
    Unavailable,
}

struct Verified<T> {
    value: T,
    at: Instant,
}

/// Verifies keys.
pub struct Keys {
    pool: PgPool,
    /// By the hash of the whole secret (a key, an installation's id, a stream's token), so that none is kept in memory.
    verified: Cache<[u8; 32], Arc<Verified<Arc<KeyRecord>>>>,
    /// Whether any key was ever made, as Postgres last said it.
    any: Mutex<Option<Verified<bool>>>,
    /// When Postgres last gave no answer.
    failed_at: Mutex<Option<Instant>>,
}

impl Keys {
    /// Nothing verified yet.
    pub fn new(pool: PgPool) -> Self {
        let verified = Cache::builder()
            .max_capacity(CACHED_KEYS)
            .time_to_live(USABLE_WITHOUT_DATABASE)
            .build();
        Keys {
            pool,
            verified,
            any: Mutex::new(None),
            failed_at: Mutex::new(None),
        }
    }

    /// The key that was presented.
    ///
    /// # Errors
    /// If it does not count, or nobody can say.
    pub async fn verify(&self, presented: &str) -> Result<Arc<KeyRecord>, KeyError> {
        let id = control::key_id(presented).ok_or(KeyError::Unknown)?;
        let hash = control::hash_key(presented);
        let finding = async {
            let found = control::find_key(&self.pool, id).await?;
            Ok(found.and_then(|(stored, record)| bool::from(stored.ct_eq(&hash)).then_some(record)))
        };
        self.verify_hash(hash, finding).await
    }

    /// The key that an installation of asciinema's command line is connected with.
    pub(crate) async fn verify_installation(&self, install_id: &str) -> Result<Arc<KeyRecord>, KeyError> {
        let hash = control::asciinema::hash_installation(install_id);
        self.verify_hash(hash, control::asciinema::key_of_installation(&self.pool, &hash))
            .await
    }

    /// The key whose stream this is the token of.
    pub(crate) async fn verify_token(&self, token: &str) -> Result<Arc<KeyRecord>, KeyError> {
        let hash = control::asciinema::hash_token(token);
        self.verify_hash(hash, control::asciinema::key_of_token(&self.pool, &hash))
            .await
    }

    /// The key that `finding` finds for what has this hash.
    async fn verify_hash(
        &self,
        hash: [u8; 32],
        finding: impl Future<Output = Result<Option<KeyRecord>, sqlx::Error>>,
    ) -> Result<Arc<KeyRecord>, KeyError> {
        let cached = self.verified.get(&hash).await;
        if let Some(verified) = &cached
            && verified.at.elapsed() < FRESH
        {
            return Ok(verified.value.clone());
        }
        let Some(found) = self.ask(finding).await else {
            return cached
                .map(|verified| verified.value.clone())
                .ok_or(KeyError::Unavailable);
        };
        match found {
            Some(record) if record.revoked_at.is_none() => {
                let record = Arc::new(record);
                let verified = Verified {
                    value: record.clone(),
                    at: Instant::now(),
                };
                self.verified.insert(hash, Arc::new(verified)).await;
                Ok(record)
            }
            _ => {
                self.verified.invalidate(&hash).await;
                Err(KeyError::Unknown)
            }
        }
    }

    /// Says whether a key was ever made. Once one was, writes stay closed to those without.
    ///
    /// # Errors
    /// If Postgres does not answer and did not lately.
    pub async fn any(&self) -> Result<bool, KeyError> {
        let known = {
            let any = self.any.lock().unwrap_or_else(PoisonError::into_inner);
            match &*any {
                Some(Verified { value: true, .. }) => return Ok(true),
                Some(verified) if verified.at.elapsed() < FRESH => return Ok(verified.value),
                Some(verified) if verified.at.elapsed() < USABLE_WITHOUT_DATABASE => Some(verified.value),
                _ => None,
            }
        };
        match self.ask(control::any_key(&self.pool)).await {
            Some(value) => {
                self.remember_any(value);
                Ok(value)
            }
            None => known.ok_or(KeyError::Unavailable),
        }
    }

    /// Takes note of a key that was made here, so that this gateway closes at once.
    pub fn remember_any(&self, value: bool) {
        let verified = Verified {
            value,
            at: Instant::now(),
        };
        *self.any.lock().unwrap_or_else(PoisonError::into_inner) = Some(verified);
    }

    /// The answer, or `None` if there is none in time or there was none a moment ago.
    async fn ask<T>(&self, statement: impl Future<Output = Result<T, sqlx::Error>>) -> Option<T> {
        let failed_at = *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        if failed_at.is_some_and(|moment| moment.elapsed() < PAUSE_AFTER_FAILURE) {
            return None;
        }
        let failure = match tokio::time::timeout(STATEMENT_TIMEOUT, statement).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(error = failure, "keys cannot be verified");
        *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        None
    }
}
