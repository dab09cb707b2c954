//! What a session has used: tokens and cost, by model, from `usage` events.
//!
//! Per model and scope (call, turn, session) values are summed. A value that is `cumulative` is a running total of
//! its producer's run: it replaces the one before, and when it falls below it, a new run has begun and what was
//! counted stays. Scopes tell the same tokens at different grain, so a model's total is its largest scope's.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Number;
use serde_json::value::RawValue;

/// Models with a sum of their own; further ones are counted together.
const MODELS: usize = 30;
/// Name under which they are.
const OTHER_MODELS: &str = "other";
/// Characters of a model's name that are kept.
const MODEL_NAME: usize = 100;
/// Running totals per model and scope; the first of more than these is taken as finished.
const RUNS: usize = 10;
/// Characters of a producer's name that are kept.
const PRODUCER_NAME: usize = 100;

/// The fold. Its JSON is what the column `sessions.usage` holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Usage {
    /// model -> scope -> what was used.
    models: BTreeMap<String, BTreeMap<String, ScopeUsage>>,
}

/// Amounts of one kind of use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Amounts {
    /// Tokens in, without those of the caches.
    pub input: i64,
    /// Tokens out.
    pub output: i64,
    /// Tokens read from a cache.
    pub cache_read: i64,
    /// Tokens written to a cache.
    pub cache_write: i64,
    /// US dollars.
    pub cost_usd: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct ScopeUsage {
    /// All but the running totals.
    #[serde(flatten)]
    sum: Amounts,
    /// Running totals by producer and generation.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    runs: BTreeMap<String, Amounts>,
}

/// The fields of a `usage` event that count. Anything that is not what it should be is taken as absent.
#[derive(Deserialize)]
struct UsageData<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_read: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_write: Option<&'a RawValue>,
    #[serde(borrow)]
    cost_usd: Option<&'a RawValue>,
    #[serde(borrow)]
    scope: Option<&'a RawValue>,
    #[serde(borrow)]
    cumulative: Option<&'a RawValue>,
}

/// What one event says; absent is not zero where it is a running total.
struct Told {
    input: Option<i64>,
    output: Option<i64>,
    cache_read: Option<i64>,
    cache_write: Option<i64>,
    cost_usd: Option<f64>,
}

impl Usage {
    /// Applies the data of one `usage` event, told by this producer and generation.
    pub fn apply(&mut self, producer: Option<&str>, generation: Option<i64>, data: &RawValue) {
        let Ok(data) = serde_json::from_str::<UsageData<'_>>(data.get()) else {
            return;
        };
        let told = Told {
            input: count(data.input),
            output: count(data.output),
            cache_read: count(data.cache_read),
            cache_write: count(data.cache_write),
            cost_usd: money(data.cost_usd),
        };
        let scope = self.scope_mut(&model_name(data.model), scope_name(data.scope));
        if data.cumulative.is_some_and(|value| value.get() == "true") {
            scope.replace(run_name(producer, generation), &told);
        } else {
            scope.sum.add(&told.over(Amounts::default()));
        }
    }

    /// What each model used: its largest scope.
    pub fn by_model(&self) -> impl Iterator<Item = (&str, Amounts)> {
        self.models.iter().map(|(model, scopes)| {
            let totals = scopes.values().map(ScopeUsage::total);
            let largest = totals.max_by(|a, b| {
                (a.tokens(), a.cost_usd)
                    .partial_cmp(&(b.tokens(), b.cost_usd))
                    .unwrap_or(Ordering::Equal)
            });
            (model.as_str(), largest.unwrap_or_default())
        })
    }

    /// Tokens of all models.
    pub fn tokens(&self) -> i64 {
        let of_model = |scopes: &BTreeMap<String, ScopeUsage>| {
            scopes
                .values()
                .map(|scope| scope.total().tokens())
                .max()
                .unwrap_or(0)
        };
        self.models.values().map(of_model).fold(0, i64::saturating_add)
    }

    /// Cost of all models.
    pub fn cost_usd(&self) -> f64 {
        let of_model = |scopes: &BTreeMap<String, ScopeUsage>| {
            scopes
                .values()
                .map(|scope| scope.total().cost_usd)
                .fold(0.0, f64::max)
        };
        self.models.values().map(of_model).sum()
    }

    fn scope_mut(&mut self, model: &str, scope: &str) -> &mut ScopeUsage {
        let known = self.models.contains_key(model) || self.models.len() < MODELS;
        let model = if known { model } else { OTHER_MODELS };
        self.models
            .entry(model.to_owned())
            .or_default()
            .entry(scope.to_owned())
            .or_default()
    }
}

impl ScopeUsage {
    fn replace(&mut self, run: String, told: &Told) {
        let before = self.runs.get(&run).copied().unwrap_or_default();
        let now = if told.is_below(&before) {
            self.sum.add(&before);
            told.over(Amounts::default())
        } else {
            told.over(before)
        };
        self.runs.insert(run, now);
        if self.runs.len() > RUNS
            && let Some((_, finished)) = self.runs.pop_first()
        {
            self.sum.add(&finished);
        }
    }

    fn total(&self) -> Amounts {
        let mut total = self.sum;
        for run in self.runs.values() {
            total.add(run);
        }
        total
    }
}

impl Amounts {
    /// All kinds together.
    pub fn tokens(&self) -> i64 {
        [self.output, self.cache_read, self.cache_write]
            .into_iter()
            .fold(self.input, i64::saturating_add)
    }

    fn add(&mut self, other: &Amounts) {
        self.input = self.input.saturating_add(other.input);
        self.output = self.output.saturating_add(other.output);
        self.cache_read = self.cache_read.saturating_add(other.cache_read);
        self.cache_write = self.cache_write.saturating_add(other.cache_write);
        self.cost_usd = to_nanos(self.cost_usd + other.cost_usd);
    }
}

impl Told {
    /// What is told, and `before` where nothing is.
    fn over(&self, before: Amounts) -> Amounts {
        Amounts {
            input: self.input.unwrap_or(before.input),
            output: self.output.unwrap_or(before.output),
            cache_read: self.cache_read.unwrap_or(before.cache_read),
            cache_write: self.cache_write.unwrap_or(before.cache_write),
            cost_usd: self.cost_usd.unwrap_or(before.cost_usd),
        }
    }

    fn is_below(&self, before: &Amounts) -> bool {
        self.input.is_some_and(|now| now < before.input)
            || self.output.is_some_and(|now| now < before.output)
            || self.cache_read.is_some_and(|now| now < before.cache_read)
            || self.cache_write.is_some_and(|now| now < before.cache_write)
            || self.cost_usd.is_some_and(|now| now < before.cost_usd)
    }
}

fn count(value: Option<&RawValue>) -> Option<i64> {
    let number: Number = serde_json::from_str(value?.get()).ok()?;
    // A float is cut to the nearest that fits.
    let count = number
        .as_i64()
        .or_else(|| number.as_f64().map(|float| float as i64))?;
    (count >= 0).then_some(count)
}

fn money(value: Option<&RawValue>) -> Option<f64> {
    let amount: f64 = serde_json::from_str(value?.get()).ok()?;
    (amount.is_finite() && amount >= 0.0).then(|| to_nanos(amount))
}

/// Money to a billionth of a dollar: below nine million dollars that has at most 16 digits, which JSON gives back as
/// they were, so that a fold goes on from its own JSON exactly.
fn to_nanos(amount: f64) -> f64 {
    (amount * 1e9).round() / 1e9
}

fn model_name(value: Option<&RawValue>) -> String {
    let name: Option<String> = value.and_then(|value| serde_json::from_str(value.get()).ok());
    // jsonb cannot hold NUL.
    name.map(|name| {
        name.chars()
            .filter(|character| *character != '\0')
            .take(MODEL_NAME)
            .collect()
    })
    .unwrap_or_default()
}

fn scope_name(value: Option<&RawValue>) -> &'static str {
    match value.map(RawValue::get) {
        Some("\"turn\"") => "turn",
        Some("\"session\"") => "session",
        _ => "call",
    }
}

/// A generation that is unknown is another one than zero.
fn run_name(producer: Option<&str>, generation: Option<i64>) -> String {
    let generation = generation
        .map(|generation| generation.to_string())
        .unwrap_or_default();
    let producer: String = producer.unwrap_or_default().chars().take(PRODUCER_NAME).collect();
    format!("{producer}/{generation}")
}

#[cfg(test)]
mod tests;
