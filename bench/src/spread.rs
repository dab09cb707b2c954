//! Figures of several rounds, and how far they are apart.

/// Median, least and greatest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of at least one value.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (sorted.first(), sorted.last()) else {
            return Spread {
                median: f64::NAN,
                min: f64::NAN,
                max: f64::NAN,
            };
        };
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            (sorted[middle - 1] + sorted[middle]) / 2.0
        } else {
            sorted[middle]
        };
        Spread {
            median,
            min: *min,
            max: *max,
        }
    }

    /// Of one side of pairs, or of what is made of them.
    pub(crate) fn over<T>(rounds: &[T], value: impl Fn(&T) -> f64) -> Self {
        Spread::of(&rounds.iter().map(value).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_not_the_mean() {
        let spread = Spread::of(&[3.0, 1.0, 100.0]);
        assert_eq!((spread.median, spread.min, spread.max), (3.0, 1.0, 100.0));
        assert_eq!(Spread::of(&[1.0, 2.0, 4.0, 8.0]).median, 3.0);
    }
}
