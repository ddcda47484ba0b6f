//! A task that is killed after so many steps: its future is dropped at the await that it has come to.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// Steps that a life may take, drawn from a seed (xorshift).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, limit: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit).unwrap()
    }
}

/// Ends with `None` when it is polled once too often.
pub(super) struct Mortal<F> {
    inner: Pin<Box<F>>,
    polls_left: usize,
}

impl<F: Future> Mortal<F> {
    pub(super) fn new(inner: F, polls_left: usize) -> Self {
        Self {
            inner: Box::pin(inner),
            polls_left,
        }
    }
}

impl<F: Future> Future for Mortal<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(left) = self.polls_left.checked_sub(1) else {
            return Poll::Ready(None);
        };
        self.polls_left = left;
        self.inner.as_mut().poll(context).map(Some)
    }
}
