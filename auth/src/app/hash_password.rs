//! Hashes and checks passwords, off the async threads and bounded in number.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{self, PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Semaphore, oneshot};

/// Memory of one hash in KiB, passes and lanes: what OWASP asks of Argon2id at the least.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes that may wait for a core, a core: about one and a half seconds of work.
const WAITING_A_CORE: usize = 64;

/// Why a password could not be hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Too many wait already.
    #[error("too many passwords are being checked")]
    Busy,
    /// The hash can't be read or computed.
    #[error("a password can't be hashed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<password_hash::Error> for HashError {
    fn from(error: password_hash::Error) -> Self {
        Self::Failed(error.into())
    }
}

type Work = Box<dyn FnOnce() + Send>;

/// Threads for nothing but hashing, which end when the sender is dropped. The runtime's own, of
/// which there are hundreds, would each keep the memory of the hashes it has computed.
fn threads(count: usize) -> Result<mpsc::Sender<Work>, HashError> {
    let (sender, work) = mpsc::channel::<Work>();
    let work = Arc::new(Mutex::new(work));
    for _ in 0..count {
        let work = Arc::clone(&work);
        let next = move || work.lock().unwrap_or_else(PoisonError::into_inner).recv();
        thread::Builder::new()
            .name("passwords".to_owned())
            .spawn(move || {
                while let Ok(work) = next() {
                    work();
                }
            })
            .map_err(|error| HashError::Failed(error.into()))?;
    }
    Ok(sender)
}

/// Hashes passwords with Argon2id, at most as many at once as there are cores; some more may
/// wait, the rest is refused at once.
pub struct PasswordHasher {
    admitted: Arc<Semaphore>,
    threads: mpsc::Sender<Work>,
    /// Checked where there is no account, so that this takes as long as where there is one.
    dummy: String,
    /// How many were checked; shows that nothing is answered without one.
    checked: AtomicU64,
}

impl PasswordHasher {
    /// One for the cores of this machine.
    ///
    /// # Errors
    /// When nothing can be hashed at all.
    pub async fn new() -> Result<Self, HashError> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self::with_bounds(cores, cores * WAITING_A_CORE).await
    }

    /// One that works on `running` hashes at once while `waiting` more wait.
    ///
    /// # Errors
    /// When nothing can be hashed at all.
    pub async fn with_bounds(running: usize, waiting: usize) -> Result<Self, HashError> {
        let mut hasher = Self {
            admitted: Arc::new(Semaphore::new(running + waiting)),
            threads: threads(running)?,
            dummy: String::new(),
            checked: AtomicU64::new(0),
        };
        hasher.dummy = hasher.hash(&SecretString::from("nobody's password")).await?;
        Ok(hasher)
    }

    /// The hash of `password` with a salt of its own, as a PHC string.
    ///
    /// # Errors
    /// When too many wait already, or it fails.
    pub async fn hash(&self, password: &SecretString) -> Result<String, HashError> {
        let password = password.clone();
        self.run(move || {
            let hash: PasswordHash = argon2()?.hash_password(password.expose_secret().as_bytes())?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether `password` is the one behind `hash`. Without a hash, as for an account that does
    /// not exist, it takes as long, and it is not.
    ///
    /// # Errors
    /// When too many wait already, or the hash can't be read.
    pub async fn verify(&self, password: &SecretString, hash: Option<&str>) -> Result<bool, HashError> {
        let exists = hash.is_some();
        let hash = hash.unwrap_or(&self.dummy).to_owned();
        let password = password.clone();
        let matches = self
            .run(move || {
                let hash = PasswordHash::new(&hash).map_err(password_hash::Error::from)?;
                match argon2()?.verify_password(password.expose_secret().as_bytes(), &hash) {
                    Ok(()) => Ok(true),
                    Err(password_hash::Error::PasswordInvalid) => Ok(false),
                    Err(error) => Err(error.into()),
                }
            })
            .await?;
        self.checked.fetch_add(1, Ordering::Relaxed);
        Ok(matches && exists)
    }

    /// How many passwords were checked so far, those of nobody included.
    #[cfg(test)]
    pub fn checked(&self) -> u64 {
        self.checked.load(Ordering::Relaxed)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let admitted = Arc::clone(&self.admitted)
            .try_acquire_owned()
            .map_err(|_| HashError::Busy)?;
        let (say, outcome) = oneshot::channel();
        // The work goes on when nobody waits for it any more, so it keeps the permit itself.
        let work: Work = Box::new(move || {
            // A panic must not end the thread; who waits hears that nobody answers.
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            drop(admitted);
            if let Ok(done) = done {
                // Who waited may have gone.
                let _ = say.send(done);
            }
        });
        self.threads
            .send(work)
            .map_err(|_| HashError::Failed("the threads for passwords have ended".into()))?;
        outcome.await.map_err(|error| HashError::Failed(error.into()))?
    }
}

fn argon2() -> Result<Argon2<'static>, HashError> {
    let params = Params::new(MEMORY, PASSES, LANES, None).map_err(|error| HashError::Failed(error.into()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    #[tokio::test]
    async fn a_hash_is_argon2id_with_19_mebibytes_and_a_salt_of_its_own() {
        let hasher = PasswordHasher::new().await.unwrap();
        let (one, two) = (
            hasher.hash(&secret("hunter22")).await.unwrap(),
            hasher.hash(&secret("hunter22")).await.unwrap(),
        );
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, two);
        assert!(
            hasher.dummy.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "as dear as a real one"
        );
    }

    #[tokio::test]
    async fn only_the_password_itself_matches() {
        let hasher = PasswordHasher::new().await.unwrap();
        let hash = hasher.hash(&secret("hunter22")).await.unwrap();
        assert!(hasher.verify(&secret("hunter22"), Some(&hash)).await.unwrap());
        for other in ["Hunter22", "hunter22 ", "hunter2", ""] {
            assert!(
                !hasher.verify(&secret(other), Some(&hash)).await.unwrap(),
                "{other}"
            );
        }
        assert!(
            !hasher.verify(&secret("nobody's password"), None).await.unwrap(),
            "nobody can log in as nobody"
        );
        assert!(
            hasher
                .verify(&secret("hunter22"), Some("hunter22"))
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn what_finds_no_room_is_refused_at_once_and_room_comes_back() {
        let hasher = Arc::new(PasswordHasher::with_bounds(1, 1).await.unwrap());
        let (go, wait) = mpsc::channel::<()>();
        let running = tokio::spawn({
            let hasher = Arc::clone(&hasher);
            async move { hasher.run(move || Ok(wait.recv().is_ok())).await }
        });
        let waiting = tokio::spawn({
            let hasher = Arc::clone(&hasher);
            async move { hasher.run(|| Ok(())).await }
        });
        while hasher.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(
            hasher.hash(&secret("hunter22")).await,
            Err(HashError::Busy)
        ));
        go.send(()).unwrap();
        assert!(running.await.unwrap().unwrap());
        waiting.await.unwrap().unwrap();
        hasher.hash(&secret("hunter22")).await.unwrap();
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_keeps_its_place_until_it_ends() {
        let hasher = Arc::new(PasswordHasher::with_bounds(1, 0).await.unwrap());
        let (go, wait) = mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let given_up = tokio::spawn({
            let hasher = Arc::clone(&hasher);
            async move {
                let work = move || {
                    let _ = begun.send(());
                    Ok(wait.recv().is_ok())
                };
                hasher.run(work).await
            }
        });
        begins.await.unwrap();
        given_up.abort();
        assert!(given_up.await.unwrap_err().is_cancelled());
        assert!(matches!(
            hasher.hash(&secret("hunter22")).await,
            Err(HashError::Busy)
        ));
        go.send(()).unwrap();
        while hasher.admitted.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        hasher.hash(&secret("hunter22")).await.unwrap();
    }
}
