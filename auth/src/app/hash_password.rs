//! Hashes and checks passwords, off the async threads and bounded in number and memory.

use std::sync::atomic::{AtomicU64, Ordering};

use argon2::{
    Algorithm, Argon2, Params, RECOMMENDED_SALT_LEN, Version,
    password_hash::{
        self,
        phc::{Output, ParamsString, PasswordHash, Salt},
    },
};
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::oneshot;

use super::{
    hash_queue::Turn,
    hash_threads::{HashThreads, Memory},
};

/// Memory of one hash in KiB, passes and lanes: what OWASP asks of Argon2id at the least.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes that may wait for a thread, a thread: about one and a half seconds of work.
const WAITING_A_THREAD: usize = 64;

/// The most threads that hash, however many cores there are. Each keeps the memory of one hash.
const MOST_THREADS: usize = 4;

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

impl From<argon2::Error> for HashError {
    fn from(error: argon2::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Hashes passwords with Argon2id: a thread a core, but no more than four. So many more may wait, in
/// fair order ([`Turn`]); a full queue refuses the last password of whatever has most waiting.
pub struct PasswordHasher {
    threads: HashThreads,
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
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.min(MOST_THREADS);
        Self::with_bounds(threads, threads * WAITING_A_THREAD).await
    }

    /// One that works on `running` hashes at once while `waiting` more wait.
    ///
    /// # Errors
    /// When nothing can be hashed at all.
    pub async fn with_bounds(running: usize, waiting: usize) -> Result<Self, HashError> {
        let threads =
            HashThreads::start(running, waiting).map_err(|error| HashError::Failed(error.into()))?;
        let mut hasher = Self {
            threads,
            dummy: String::new(),
            checked: AtomicU64::new(0),
        };
        let nobody = SecretString::from("nobody's password");
        hasher.dummy = hasher.hash(&nobody, Turn::default()).await?;
        Ok(hasher)
    }

    /// The hash of `password` with a salt of its own, as a PHC string.
    ///
    /// # Errors
    /// When too many wait already, or it fails.
    pub async fn hash(&self, password: &SecretString, turn: Turn) -> Result<String, HashError> {
        let password = password.clone();
        self.run(turn, move |memory| {
            hash(password.expose_secret().as_bytes(), memory)
        })
        .await
    }

    /// Whether `password` is the one behind `hash`. Without a hash, as for an account that does
    /// not exist, it takes as long, and it is not.
    ///
    /// # Errors
    /// When too many wait already, or the hash can't be read.
    pub async fn verify(
        &self,
        password: &SecretString,
        hash: Option<&str>,
        turn: Turn,
    ) -> Result<bool, HashError> {
        let exists = hash.is_some();
        let hash = hash.unwrap_or(&self.dummy).to_owned();
        let password = password.clone();
        let matches = self
            .run(turn, move |memory| {
                verify(password.expose_secret().as_bytes(), &hash, memory)
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
        turn: Turn,
        work: impl FnOnce(&mut Memory) -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let (say, outcome) = oneshot::channel();
        // The work goes on when its request is gone, and keeps its place until it ends.
        self.threads.queue(
            turn,
            Box::new(move |memory| {
                // A panic must not end the thread.
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(memory)));
                let done = done.unwrap_or_else(|_| Err(HashError::Failed("hashing panicked".into())));
                Box::new(move || {
                    // The request may be gone.
                    let _ = say.send(done);
                })
            }),
        );
        // Work that finds no room, then or later, is dropped without an answer.
        outcome.await.unwrap_or(Err(HashError::Busy))
    }
}

fn params() -> Result<Params, HashError> {
    Ok(Params::new(MEMORY, PASSES, LANES, None)?)
}

fn hash(password: &[u8], memory: &mut Memory) -> Result<String, HashError> {
    let params = params()?;
    let mut salt = [0; RECOMMENDED_SALT_LEN];
    let random = SystemRandom::new().fill(&mut salt);
    random.map_err(|_| HashError::Failed("the system gives no random numbers".into()))?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params)?,
        salt: Some(Salt::new(&salt).map_err(password_hash::Error::from)?),
        hash: Some(compute(
            password,
            &salt,
            Version::V0x13,
            Algorithm::Argon2id,
            params,
            memory,
        )?),
    };
    Ok(hash.to_string())
}

fn verify(password: &[u8], hash: &str, memory: &mut Memory) -> Result<bool, HashError> {
    let hash = PasswordHash::new(hash).map_err(password_hash::Error::from)?;
    let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else {
        return Ok(false);
    };
    let algorithm = Algorithm::try_from(hash.algorithm.as_str())?;
    let version = hash
        .version
        .map(Version::try_from)
        .transpose()?
        .unwrap_or_default();
    let found = compute(
        password,
        salt,
        version,
        algorithm,
        Params::try_from(&hash)?,
        memory,
    )?;
    // In constant time: `Output` compares so.
    Ok(found == *expected)
}

/// Computes in the memory of the thread: the allocator would keep that of every hash.
fn compute(
    password: &[u8],
    salt: &[u8],
    version: Version,
    algorithm: Algorithm,
    params: Params,
    memory: &mut Memory,
) -> Result<Output, HashError> {
    let mut output = [0; Output::MAX_LENGTH];
    let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let output = output.get_mut(..length).ok_or(argon2::Error::OutputTooLong)?;
    let blocks = memory.blocks(params.block_count());
    Argon2::new(algorithm, version, params).hash_password_into_with_memory(
        password,
        salt,
        &mut *output,
        blocks,
    )?;
    Ok(Output::new(output).map_err(password_hash::Error::from)?)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    #[tokio::test]
    async fn a_hash_is_argon2id_with_19_mebibytes_and_a_salt_of_its_own() {
        let hasher = PasswordHasher::new().await.unwrap();
        let (one, two) = (
            hasher.hash(&secret("hunter22"), Turn::default()).await.unwrap(),
            hasher.hash(&secret("hunter22"), Turn::default()).await.unwrap(),
        );
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, two);
        assert!(
            hasher.dummy.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "as dear as a real one"
        );
    }

    async fn check(hasher: &PasswordHasher, password: &str, hash: Option<&str>) -> Result<bool, HashError> {
        hasher.verify(&secret(password), hash, Turn::default()).await
    }

    #[tokio::test]
    async fn only_the_password_itself_matches() {
        let hasher = PasswordHasher::new().await.unwrap();
        let hash = hasher.hash(&secret("hunter22"), Turn::default()).await.unwrap();
        assert!(check(&hasher, "hunter22", Some(&hash)).await.unwrap());
        for other in ["Hunter22", "hunter22 ", "hunter2", ""] {
            assert!(!check(&hasher, other, Some(&hash)).await.unwrap(), "{other}");
        }
        let nobody = check(&hasher, "nobody's password", None).await.unwrap();
        assert!(!nobody, "nobody can log in as nobody");
        check(&hasher, "hunter22", Some("hunter22")).await.unwrap_err();
    }

    #[tokio::test]
    async fn hashes_are_those_of_the_library_whatever_they_cost() {
        use argon2::{PasswordHasher as _, PasswordVerifier as _};

        let hasher = PasswordHasher::with_bounds(1, 1).await.unwrap();
        let own = hasher.hash(&secret("hunter22"), Turn::default()).await.unwrap();
        Argon2::default()
            .verify_password(b"hunter22", own.as_str())
            .unwrap();
        // Also where it takes more memory than ours, and then less again.
        for (memory, passes, output) in [(MEMORY + 1024, 1, 32), (64, 3, 32), (MEMORY, 2, 24)] {
            let params = Params::new(memory, passes, 1, Some(output)).unwrap();
            let theirs: PasswordHash = Argon2::from(params).hash_password(b"hunter22").unwrap();
            let theirs = theirs.to_string();
            assert!(
                check(&hasher, "hunter22", Some(&theirs)).await.unwrap(),
                "{theirs}"
            );
            assert!(
                !check(&hasher, "hunter2", Some(&theirs)).await.unwrap(),
                "{theirs}"
            );
        }
    }

    #[tokio::test]
    async fn what_finds_no_room_is_refused_at_once_and_room_comes_back() {
        let hasher = Arc::new(PasswordHasher::with_bounds(1, 1).await.unwrap());
        let turn = Turn::default;
        let (go, wait) = mpsc::channel::<()>();
        let running = tokio::spawn({
            let hasher = Arc::clone(&hasher);
            async move { hasher.run(turn(), move |_| Ok(wait.recv().is_ok())).await }
        });
        let waiting = tokio::spawn({
            let hasher = Arc::clone(&hasher);
            async move { hasher.run(turn(), |_| Ok(())).await }
        });
        while hasher.threads.has_room() {
            tokio::task::yield_now().await;
        }
        assert!(matches!(
            hasher.hash(&secret("hunter22"), Turn::default()).await,
            Err(HashError::Busy)
        ));
        go.send(()).unwrap();
        assert!(running.await.unwrap().unwrap());
        waiting.await.unwrap().unwrap();
        hasher.hash(&secret("hunter22"), Turn::default()).await.unwrap();
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_keeps_its_place_until_it_ends() {
        let hasher = Arc::new(PasswordHasher::with_bounds(1, 0).await.unwrap());
        let (go, wait) = mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let given_up = tokio::spawn({
            let hasher = Arc::clone(&hasher);
            async move {
                let work = move |_: &mut Memory| {
                    let _ = begun.send(());
                    Ok(wait.recv().is_ok())
                };
                hasher.run(Turn::default(), work).await
            }
        });
        begins.await.unwrap();
        given_up.abort();
        assert!(given_up.await.unwrap_err().is_cancelled());
        assert!(matches!(
            hasher.hash(&secret("hunter22"), Turn::default()).await,
            Err(HashError::Busy)
        ));
        go.send(()).unwrap();
        while !hasher.threads.has_room() {
            tokio::task::yield_now().await;
        }
        hasher.hash(&secret("hunter22"), Turn::default()).await.unwrap();
    }

    #[tokio::test]
    async fn a_flood_is_refused_and_a_login_from_elsewhere_is_not() {
        let hasher = Arc::new(PasswordHasher::with_bounds(1, 4).await.unwrap());
        let flooder = |account: usize| Turn::new(Some(account.to_string()), "flooder".to_owned());
        let (go, wait) = mpsc::channel::<()>();
        let ask = |turn: Turn, wait: Option<mpsc::Receiver<()>>| {
            let hasher = Arc::clone(&hasher);
            tokio::spawn(async move {
                let work = move |_: &mut Memory| Ok(wait.is_none_or(|wait| wait.recv().is_ok()));
                hasher.run(turn, work).await
            })
        };
        let running = ask(flooder(0), Some(wait));
        let mut flood = Vec::new();
        for account in 1..=4 {
            flood.push(ask(flooder(account), None));
        }
        while hasher.threads.has_room() {
            tokio::task::yield_now().await;
        }
        let refused = ask(flooder(5), None).await.unwrap();
        assert!(matches!(refused, Err(HashError::Busy)), "{refused:?}");
        let login = ask(Turn::new(Some("ann".to_owned()), "home".to_owned()), None);
        let mut refused = 0;
        while refused == 0 {
            tokio::task::yield_now().await;
            refused = flood.iter().filter(|asked| asked.is_finished()).count();
        }
        go.send(()).unwrap();
        assert!(running.await.unwrap().unwrap());
        assert!(login.await.unwrap().unwrap(), "in the place of one of the flood");
        let mut busy = 0;
        for asked in flood {
            busy += usize::from(matches!(asked.await.unwrap(), Err(HashError::Busy)));
        }
        assert_eq!(busy, 1);
    }
}
