//! Threads for nothing but hashing. Each has the memory of one hash and uses it again: the runtime's
//! own threads, of which there are hundreds, would each keep the memory of those that they computed,
//! and the allocator keeps what is allocated anew for each.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use argon2::Block;

use super::hash_queue::{FairQueue, Turn};

/// What one thread computes hashes in.
#[derive(Default)]
pub(super) struct Memory(Vec<Block>);

impl Memory {
    /// So many blocks of it, with whatever is left in them.
    pub(super) fn blocks(&mut self, count: usize) -> &mut [Block] {
        if self.0.len() < count {
            self.0.resize(count, Block::new());
        }
        self.0.get_mut(..count).unwrap_or_default()
    }
}

/// Computes, and gives what tells the outcome: to be called when the place is free again.
pub(super) type Work = Box<dyn FnOnce(&mut Memory) -> Box<dyn FnOnce()> + Send>;

struct State {
    waiting: FairQueue<Work>,
    running: usize,
    ended: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads, with what waits for them. They end when this is dropped.
pub(super) struct HashThreads {
    shared: Arc<Shared>,
    /// How many may wait and run.
    most: usize,
}

impl HashThreads {
    /// Starts `running` threads, for which `waiting` more may wait.
    pub(super) fn start(running: usize, waiting: usize) -> io::Result<Self> {
        let state = State {
            waiting: FairQueue::new(),
            running: 0,
            ended: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let threads = Self {
            shared,
            most: running + waiting,
        };
        for _ in 0..running {
            let shared = Arc::clone(&threads.shared);
            thread::Builder::new()
                .name("passwords".to_owned())
                .spawn(move || serve(&shared))?;
        }
        Ok(threads)
    }

    /// Queues `work`. What finds no room, this or what was queued before it, is dropped.
    pub(super) fn queue(&self, turn: Turn, work: Work) {
        let mut state = self.shared.lock();
        let room = self.most - state.running;
        let dropped = state.waiting.push(turn, work, room);
        drop((state, dropped));
        self.shared.changed.notify_one();
    }

    #[cfg(test)]
    pub(super) fn has_room(&self) -> bool {
        let state = self.shared.lock();
        state.waiting.len() + state.running < self.most
    }
}

impl Drop for HashThreads {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
    }
}

fn serve(shared: &Shared) {
    let mut memory = Memory::default();
    while let Some(work) = next(shared) {
        let tell = work(&mut memory);
        shared.lock().running -= 1;
        tell();
    }
}

/// Waits for work; none when there will be no more.
fn next(shared: &Shared) -> Option<Work> {
    let mut state = shared.lock();
    loop {
        if let Some(work) = state.waiting.pop() {
            state.running += 1;
            return Some(work);
        }
        if state.ended {
            return None;
        }
        state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}
