//! Who used how much: sums of `usage` events, and differences of running totals.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::fields::Data;
use crate::report::Tokens;

/// Amounts of one model; what is not told is `None`, and stays so in sums with nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Amounts {
    pub(crate) tokens: Tokens,
    pub(crate) cost_usd: Option<f64>,
}

impl Amounts {
    pub(crate) fn plus(self, other: Amounts) -> Amounts {
        self.zip(other, |a, b| a.saturating_add(b), |a, b| a + b)
    }

    /// What came on top of `before`; all of it where one amount has fallen, because then counting began anew.
    pub(crate) fn since(self, before: Amounts) -> Amounts {
        let fell =
            |now: Option<i64>, before: Option<i64>| now.is_some_and(|now| before.is_some_and(|b| now < b));
        let (now, then) = (self.tokens, before.tokens);
        if fell(now.input, then.input)
            || fell(now.output, then.output)
            || fell(now.cache_read, then.cache_read)
            || fell(now.cache_creation, then.cache_creation)
        {
            return self;
        }
        let tokens = |now: Option<i64>, before: Option<i64>| now.map(|now| now - before.unwrap_or(0));
        Amounts {
            tokens: Tokens {
                input: tokens(now.input, then.input),
                output: tokens(now.output, then.output),
                cache_read: tokens(now.cache_read, then.cache_read),
                cache_creation: tokens(now.cache_creation, then.cache_creation),
            },
            cost_usd: self
                .cost_usd
                .map(|now| (now - before.cost_usd.unwrap_or(0.0)).max(0.0)),
        }
    }

    /// Whether nothing was used, as far as it is told.
    pub(crate) fn is_nothing(&self) -> bool {
        self.sum() == 0 && self.cost_usd.unwrap_or(0.0) == 0.0
    }

    /// The data of a `usage` event.
    pub(crate) fn data(&self, model: &str, scope: &str) -> Data {
        Data::new()
            .with("model", model)
            .some("input", self.tokens.input)
            .some("output", self.tokens.output)
            .some("cache_read", self.tokens.cache_read)
            .some("cache_write", self.tokens.cache_creation)
            .some("cost_usd", self.cost_usd.map(to_nanos))
            .with("scope", scope)
    }

    fn sum(&self) -> i64 {
        let tokens = self.tokens;
        [
            tokens.input,
            tokens.output,
            tokens.cache_read,
            tokens.cache_creation,
        ]
        .into_iter()
        .flatten()
        .fold(0, i64::saturating_add)
    }

    fn zip(self, other: Amounts, add: fn(i64, i64) -> i64, add_cost: fn(f64, f64) -> f64) -> Amounts {
        fn both<T>(a: Option<T>, b: Option<T>, add: fn(T, T) -> T) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(add(a, b)),
                (a, b) => a.or(b),
            }
        }
        let (a, b) = (self.tokens, other.tokens);
        Amounts {
            tokens: Tokens {
                input: both(a.input, b.input, add),
                output: both(a.output, b.output, add),
                cache_read: both(a.cache_read, b.cache_read, add),
                cache_creation: both(a.cache_creation, b.cache_creation, add),
            },
            cost_usd: both(self.cost_usd, other.cost_usd, add_cost),
        }
    }
}

/// Money to a billionth of a dollar, so that differences of decimals are decimals.
fn to_nanos(amount: f64) -> f64 {
    (amount * 1e9).round() / 1e9
}

/// Sums of `usage` events as readers make them: scopes tell the same use at different grain, so the largest counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct UsageTotals(BTreeMap<String, BTreeMap<String, Amounts>>);

impl UsageTotals {
    pub(crate) fn apply(&mut self, data: &Map<String, Value>) {
        let text = |name: &str| {
            data.get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let number = |name: &str| data.get(name).and_then(Value::as_i64);
        let told = Amounts {
            tokens: Tokens {
                input: number("input"),
                output: number("output"),
                cache_read: number("cache_read"),
                cache_creation: number("cache_write"),
            },
            cost_usd: data.get("cost_usd").and_then(Value::as_f64),
        };
        let scopes = self.0.entry(text("model")).or_default();
        let sum = scopes.entry(text("scope")).or_default();
        *sum = sum.plus(told);
    }

    pub(crate) fn by_model(&self) -> impl Iterator<Item = (String, Tokens)> {
        self.0.iter().map(|(model, scopes)| {
            let largest = scopes.values().max_by_key(|amounts| amounts.sum());
            (
                model.clone(),
                largest.map(|amounts| amounts.tokens).unwrap_or_default(),
            )
        })
    }

    pub(crate) fn cost_usd(&self) -> Option<f64> {
        let of_model = |scopes: &BTreeMap<String, Amounts>| {
            scopes
                .values()
                .filter_map(|amounts| amounts.cost_usd)
                .reduce(f64::max)
        };
        self.0
            .values()
            .filter_map(of_model)
            .reduce(|a, b| a + b)
            .map(to_nanos)
    }
}
