//! What a pool's scheduler is told once, at the start.

use thiserror::Error;

/// The sizes of one pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// How many workers may take tasks at one time; at least 1.
    pub max_workers: usize,
    /// How many slots the claim ring has; at least `max_workers`, or a worker could idle while tasks wait in the
    /// parent. With [`worker_ids`](Self::worker_ids) of them, none does beside workers that are leaving, either.
    pub window: usize,
    /// How many tasks a worker may run before it is replaced; the worker counts too, and claims no further task.
    pub max_tasks_per_child: Option<u64>,
    /// How many workers in a row may fail to start before the pool is declared broken; at least 1.
    pub start_attempts: u32,
}

/// Why a [`Config`] cannot work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ConfigError {
    /// Without a worker no task would ever run.
    #[error("max_workers must be at least 1")]
    NoWorkers,
    /// Ids are 16 bits wide, and replacing workers needs some to spare.
    #[error("max_workers is {0}, more than the {1} that worker ids can tell apart")]
    TooManyWorkers(usize, usize),
    /// See [`Config::window`].
    #[error("the window of {window} slots is smaller than max_workers, {max_workers}; make it at least as large")]
    NarrowWindow {
        /// The window that was asked for.
        window: usize,
        /// The workers that were asked for.
        max_workers: usize,
    },
    /// A worker that may run nothing is of no use.
    #[error("max_tasks_per_child must be at least 1, or None for no limit")]
    NoTasksPerChild,
    /// No worker could ever be started.
    #[error("start_attempts must be at least 1")]
    NoAttempts,
}

/// Workers that serve and workers that are being replaced together stay below 2^16.
const MOST_WORKERS: usize = 52_000;

impl Config {
    /// How many workers may exist at one time, which bounds the ids: each is below this.
    ///
    /// `max_workers` and a quarter more: so many may wait for their replacement, or be on their way out because they have
    /// run their tasks, have grown or are doomed, while `max_workers` others serve. A quarter keeps the additional memory
    /// small, and lets a recycling wave roll on without a pause.
    pub const fn worker_ids(&self) -> usize {
        self.max_workers + self.max_workers.div_ceil(4)
    }

    pub(super) const fn check(&self) -> Result<(), ConfigError> {
        if self.max_workers == 0 {
            return Err(ConfigError::NoWorkers);
        }
        if self.max_workers > MOST_WORKERS {
            return Err(ConfigError::TooManyWorkers(self.max_workers, MOST_WORKERS));
        }
        if self.window < self.max_workers {
            return Err(ConfigError::NarrowWindow { window: self.window, max_workers: self.max_workers });
        }
        if matches!(self.max_tasks_per_child, Some(0)) {
            return Err(ConfigError::NoTasksPerChild);
        }
        if self.start_attempts == 0 {
            return Err(ConfigError::NoAttempts);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Config = Config { max_workers: 4, window: 4, max_tasks_per_child: Some(1), start_attempts: 1 };

    #[test]
    fn what_cannot_work_is_refused() {
        assert_eq!(GOOD.check(), Ok(()));
        assert_eq!(Config { max_workers: 0, ..GOOD }.check(), Err(ConfigError::NoWorkers));
        assert_eq!(Config { window: 3, ..GOOD }.check(), Err(ConfigError::NarrowWindow { window: 3, max_workers: 4 }));
        assert_eq!(Config { max_tasks_per_child: Some(0), ..GOOD }.check(), Err(ConfigError::NoTasksPerChild));
        assert_eq!(Config { start_attempts: 0, ..GOOD }.check(), Err(ConfigError::NoAttempts));
        let wide = Config { max_workers: 60_000, window: 60_000, ..GOOD };
        assert_eq!(wide.check(), Err(ConfigError::TooManyWorkers(60_000, MOST_WORKERS)));
    }

    #[test]
    fn every_allowed_pool_has_ids_that_fit() {
        let largest = Config { max_workers: MOST_WORKERS, window: MOST_WORKERS, ..GOOD };
        assert_eq!(largest.check(), Ok(()));
        assert!(u16::try_from(largest.worker_ids()).is_ok());
        assert_eq!(GOOD.worker_ids(), 5);
        assert_eq!(Config { max_workers: 192, window: 1024, max_tasks_per_child: None, ..GOOD }.worker_ids(), 240);
    }
}
