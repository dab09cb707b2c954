//! One producer at a time for each stream: whoever comes later takes the seat, and waits until the one before has written
//! what it had received.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// The seats of the streams that have a producer here, or had one a moment ago.
#[derive(Default)]
pub(crate) struct Seats(Mutex<HashMap<i64, Seat>>);

/// A place at a stream.
#[derive(Clone, Default)]
pub(super) struct Seat {
    /// Held by the producer that writes.
    pub(super) turn: Arc<tokio::sync::Mutex<Turn>>,
    /// Cancelled when another one comes.
    pub(super) taken: CancellationToken,
}

/// What one producer leaves to the next.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Its connection's number; 0 before the first.
    pub(super) claim: i64,
    /// The number of the last event that the log has; none before the first.
    pub(super) last: Option<u64>,
}

impl Seats {
    /// Takes the seat of a stream from whoever has it.
    pub(super) fn take(&self, stream: i64) -> Seat {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seat = seats.entry(stream).or_default();
        seat.taken.cancel();
        seat.taken = CancellationToken::new();
        seat.clone()
    }

    /// Forgets the seat, unless another one has taken it.
    pub(super) fn leave(&self, stream: i64, seat: &Seat) {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !seat.taken.is_cancelled() {
            seats.remove(&stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_taken_by_who_comes_later_and_kept_for_them() {
        let seats = Seats::default();
        let first = seats.take(1);
        let other = seats.take(2);
        let second = seats.take(1);
        assert!(first.taken.is_cancelled() && !second.taken.is_cancelled() && !other.taken.is_cancelled());
        seats.leave(1, &first);
        assert!(Arc::ptr_eq(&seats.take(1).turn, &first.turn), "it is taken");
    }
}
