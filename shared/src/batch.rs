//! Puts what many ask at the same time into one transaction.
//!
//! A transaction costs a flush to the disk and a dozen round trips, whether it does one thing or
//! sixty-four. So who comes while others are being served is served next, together with everybody
//! else who has come by then; who comes alone is served at once. Nobody waits for company.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt as _;
use tokio::sync::{Mutex, mpsc, oneshot};

/// How many may wait; more than that wait to be allowed to wait.
const WAITING: usize = 1_024;
/// Batches at work at the same time: one may be written while the next is made up.
const WORKERS: usize = 2;
/// The most in one batch.
const BATCH: usize = 64;

/// Nobody answers: the work has panicked. The log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the batch was broken off")]
pub struct BrokenOff;

/// Gathers inputs into batches, and gives everybody their own output.
pub struct Batches<I, O> {
    queue: mpsc::Sender<(I, oneshot::Sender<O>)>,
}

impl<I: Send + 'static, O: Send + 'static> Batches<I, O> {
    /// Batches for `work`, which must give one output for each input, in the same order. Its
    /// tasks end when this is dropped.
    pub fn new<W, F>(work: W) -> Self
    where
        W: Fn(Vec<I>) -> F + Send + Sync + 'static,
        F: Future<Output = Vec<O>> + Send + 'static,
    {
        let (queue, waiting) = mpsc::channel(WAITING);
        let (waiting, work) = (Arc::new(Mutex::new(waiting)), Arc::new(work));
        for _ in 0..WORKERS {
            tokio::spawn(serve(Arc::clone(&waiting), Arc::clone(&work)));
        }
        Self { queue }
    }

    /// Has `input` done with whoever else is there.
    ///
    /// # Errors
    /// When the work panicked; then nobody knows what became of it.
    pub async fn run(&self, input: I) -> Result<O, BrokenOff> {
        let (answer, answered) = oneshot::channel();
        self.queue.send((input, answer)).await.map_err(|_| BrokenOff)?;
        answered.await.map_err(|_| BrokenOff)
    }
}

type Waiting<I, O> = Arc<Mutex<mpsc::Receiver<(I, oneshot::Sender<O>)>>>;

async fn serve<I, O, F>(waiting: Waiting<I, O>, work: Arc<impl Fn(Vec<I>) -> F>)
where
    F: Future<Output = Vec<O>>,
{
    loop {
        let mut taken = Vec::new();
        if waiting.lock().await.recv_many(&mut taken, BATCH).await == 0 {
            return;
        }
        // Who has given up was told so, and may be asking again: it must not be done behind them.
        taken.retain(|(_, answer): &(I, oneshot::Sender<O>)| !answer.is_closed());
        if taken.is_empty() {
            continue;
        }
        let (inputs, answers): (Vec<_>, Vec<_>) = taken.into_iter().unzip();
        // A panic must not end the worker, nor with it everybody's requests. Unwind safe: who
        // asked is told that it was broken off.
        match AssertUnwindSafe(work(inputs)).catch_unwind().await {
            Ok(outputs) => {
                for (answer, output) in answers.into_iter().zip(outputs) {
                    // Who asked may have gone.
                    let _ = answer.send(output);
                }
            }
            Err(_) => tracing::error!("a batch of requests was broken off by a panic"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn who_comes_alone_is_served_at_once_and_everybody_gets_their_own() {
        let batches = Batches::new(|inputs: Vec<usize>| async move {
            inputs.into_iter().map(|input| input * 2).collect::<Vec<_>>()
        });
        assert_eq!(batches.run(21).await, Ok(42));
        let answers = join_all((0..1_000).map(|input| batches.run(input))).await;
        for (input, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer, Ok(input * 2));
        }
    }

    #[tokio::test]
    async fn who_comes_while_others_are_served_is_served_together() {
        let (gate, runs) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let batches = {
            let (gate, runs) = (Arc::clone(&gate), Arc::clone(&runs));
            Batches::new(move |inputs: Vec<usize>| {
                let (gate, runs) = (Arc::clone(&gate), Arc::clone(&runs));
                async move {
                    runs.fetch_add(1, Ordering::SeqCst);
                    let _ = gate.acquire().await;
                    inputs
                }
            })
        };
        let all = join_all((0..66).map(|input| batches.run(input)));
        let open = async {
            while runs.load(Ordering::SeqCst) < WORKERS {
                tokio::task::yield_now().await;
            }
            gate.add_permits(1_000);
        };
        let (answers, ()) = tokio::join!(all, open);
        assert!(answers.iter().all(Result::is_ok));
        assert!(
            runs.load(Ordering::SeqCst) <= 4,
            "{} batches",
            runs.load(Ordering::SeqCst)
        );
    }

    #[tokio::test]
    async fn what_was_given_up_while_it_waited_is_not_done() {
        let gate = Arc::new(Semaphore::new(0));
        let (begun, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let batches = {
            let (gate, begun, done) = (Arc::clone(&gate), Arc::clone(&begun), Arc::clone(&done));
            Batches::new(move |inputs: Vec<usize>| {
                let (gate, begun, done) = (Arc::clone(&gate), Arc::clone(&begun), Arc::clone(&done));
                async move {
                    begun.fetch_add(1, Ordering::SeqCst);
                    let _ = gate.acquire().await;
                    done.fetch_add(inputs.iter().sum(), Ordering::SeqCst);
                    inputs
                }
            })
        };
        let batches = Arc::new(batches);
        let ask = |input| {
            let batches = Arc::clone(&batches);
            tokio::spawn(async move { batches.run(input).await })
        };
        // Each keeps one worker busy; the last waits.
        let mut first = Vec::new();
        for busy in 1..=WORKERS {
            first.push(ask(1));
            while begun.load(Ordering::SeqCst) < busy {
                tokio::task::yield_now().await;
            }
        }
        let given_up = ask(1_000);
        while batches.queue.capacity() == WAITING {
            tokio::task::yield_now().await;
        }
        given_up.abort();
        assert!(given_up.await.unwrap_err().is_cancelled());
        gate.add_permits(10);
        for first in first {
            assert_eq!(first.await.unwrap(), Ok(1));
        }
        assert_eq!(batches.run(10).await, Ok(10));
        assert_eq!(done.load(Ordering::SeqCst), WORKERS + 10);
    }

    #[tokio::test]
    async fn a_panic_breaks_off_one_batch_and_not_the_next() {
        let batches = Batches::new(|inputs: Vec<bool>| async move {
            assert!(!inputs.contains(&true), "a bad day");
            inputs
        });
        for _ in 0..5 {
            assert_eq!(batches.run(true).await, Err(BrokenOff));
            assert_eq!(batches.run(false).await, Ok(false));
        }
    }
}
