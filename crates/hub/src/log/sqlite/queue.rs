//! What waits for a thread that works on the database.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Items looked at to make room: all searches that may wait, and so many that nobody notices the time.
const MAX_LOOKED_AT: usize = 1_000;

/// A bounded queue into one or more threads.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    max_items: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    /// Threads that sleep: else nobody needs to be woken, which costs a call of the system.
    waiting: usize,
    is_closed: bool,
}

/// Why something is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// As much waits as may.
    Full,
    /// Nobody works any more.
    Closed,
}

/// What a thread is to do next.
#[derive(Debug)]
pub(super) enum Taken<T> {
    /// These, oldest first.
    Items(Vec<T>),
    /// Nothing was there until the time came.
    Nothing,
    /// To end.
    Closed,
}

impl<T> Queue<T> {
    pub(super) const fn new(max_items: usize, max_bytes: usize) -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                bytes: 0,
                waiting: 0,
                is_closed: false,
            }),
            filled: Condvar::new(),
            max_items,
            max_bytes,
        }
    }

    /// Adds an item that counts for so many bytes.
    pub(super) fn push(&self, item: T, bytes: usize) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(Refused::Closed);
        }
        if self.is_full(&state) {
            return Err(Refused::Full);
        }
        state.bytes += bytes;
        state.items.push_back((item, bytes));
        let is_awaited = state.waiting > 0;
        drop(state);
        if is_awaited {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Drops what is void of the oldest items, where no more would be taken.
    pub(super) fn make_room(&self, is_void: impl Fn(&T) -> bool) {
        let mut state = self.lock();
        if !self.is_full(&state) {
            return;
        }
        let looked_at = state.items.len().min(MAX_LOOKED_AT);
        let oldest: Vec<_> = state.items.drain(..looked_at).collect();
        for (item, bytes) in oldest.into_iter().rev() {
            if is_void(&item) {
                state.bytes -= bytes;
            } else {
                state.items.push_front((item, bytes));
            }
        }
    }

    fn is_full(&self, state: &State<T>) -> bool {
        state.items.len() >= self.max_items || state.bytes >= self.max_bytes
    }

    /// How many items wait, and their bytes.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let state = self.lock();
        (state.items.len(), state.bytes)
    }

    /// Waits for items until `deadline` and takes as many as there are, within the bounds. What was added before it was closed is
    /// still given out.
    pub(super) fn take(
        &self,
        max_items: usize,
        max_bytes: usize,
        deadline: Option<Instant>,
    ) -> Taken<T> {
        let mut state = self.lock();
        while state.items.is_empty() {
            if state.is_closed {
                return Taken::Closed;
            }
            state.waiting += 1;
            state = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => {
                    state.waiting -= 1;
                    return Taken::Nothing;
                }
                Some(left) => {
                    let waited = self.filled.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .filled
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
            };
            state.waiting -= 1;
        }
        let mut taken = Vec::new();
        let mut sum = 0;
        while taken.len() < max_items
            && sum < max_bytes
            && let Some((item, bytes)) = state.items.pop_front()
        {
            sum += bytes;
            taken.push(item);
        }
        state.bytes -= sum;
        Taken::Items(taken)
    }

    /// Puts items back that were taken and not worked on, the oldest first, before all others.
    pub(super) fn put_back(&self, items: Vec<(T, usize)>) {
        let mut state = self.lock();
        for (item, bytes) in items.into_iter().rev() {
            state.bytes += bytes;
            state.items.push_front((item, bytes));
        }
    }

    /// Takes out the oldest items, up to the first that is not so.
    pub(super) fn take_while(&self, is_so: impl Fn(&T) -> bool) -> Vec<T> {
        let mut state = self.lock();
        let mut taken = Vec::new();
        while state.items.front().is_some_and(|(item, _)| is_so(item))
            && let Some((item, bytes)) = state.items.pop_front()
        {
            state.bytes -= bytes;
            taken.push(item);
        }
        taken
    }

    /// Takes no more from now on, and ends the threads when all is done.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_all();
    }

    /// As [`close`](Self::close), when nobody is left to do what waits.
    pub(super) fn abandon(&self) {
        self.close();
        let items = std::mem::take(&mut self.lock().items);
        drop(items);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lock().items.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_by_number_and_bytes_and_gives_out_all_before_it_ends() {
        let queue = Queue::new(3, 10);
        for n in 0..3 {
            assert_eq!(queue.push(n, 4), Ok(()));
        }
        assert_eq!(queue.push(3, 0), Err(Refused::Full));
        assert!(matches!(queue.take(2, 100, None), Taken::Items(items) if items == [0, 1]));
        assert_eq!(queue.push(3, 6), Ok(()));
        assert_eq!(queue.push(4, 0), Err(Refused::Full), "ten bytes wait");
        assert_eq!(queue.take_while(|&n| n > 2), <[i32; 0]>::default());
        queue.close();
        assert_eq!(queue.push(4, 0), Err(Refused::Closed));
        assert!(matches!(queue.take(9, 4, None), Taken::Items(items) if items == [2]));
        assert_eq!(queue.take_while(|&n| n > 2), [3]);
        assert!(matches!(queue.take(9, 4, None), Taken::Closed));
    }

    #[test]
    fn what_is_put_back_is_given_out_first_also_after_the_end() {
        let queue = Queue::new(3, 10);
        for n in 0..3 {
            queue.push(n, 2).unwrap();
        }
        assert!(matches!(queue.take(2, 100, None), Taken::Items(items) if items == [0, 1]));
        queue.close();
        queue.put_back(vec![(0, 2), (1, 2)]);
        assert_eq!(queue.waiting(), (3, 6));
        assert!(matches!(queue.take(9, 100, None), Taken::Items(items) if items == [0, 1, 2]));
        assert!(matches!(queue.take(9, 100, None), Taken::Closed));
    }

    #[test]
    fn what_is_void_makes_room_where_there_is_none() {
        let queue = Queue::new(4, 100);
        for n in 0..3 {
            queue.push(n, 10).unwrap();
        }
        let is_odd = |n: &i32| n % 2 == 1;
        queue.make_room(is_odd);
        assert_eq!(queue.waiting(), (3, 30), "there is room");
        queue.push(3, 10).unwrap();
        queue.make_room(is_odd);
        assert_eq!(queue.waiting(), (2, 20));
        assert!(matches!(queue.take(9, 99, None), Taken::Items(items) if items == [0, 2]));
    }

    #[test]
    fn a_thread_that_waits_is_woken_or_goes_on_when_it_is_time() {
        let queue = Queue::<()>::new(1, 1);
        let nothing = queue.take(1, 1, Some(Instant::now()));
        assert!(matches!(nothing, Taken::Nothing));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.take(1, 1, None));
            queue.push((), 1).unwrap();
            assert!(matches!(waiting.join().unwrap(), Taken::Items(items) if items.len() == 1));
            let waiting = scope.spawn(|| queue.take(1, 1, None));
            queue.close();
            assert!(matches!(waiting.join().unwrap(), Taken::Closed));
        });
    }
}
