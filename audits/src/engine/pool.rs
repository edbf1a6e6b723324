//! Tasks on a few threads: each once, results in the order of the tasks, stoppable between two.

use std::any::Any;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Tasks that are done.
    pub done: usize,
    /// All tasks.
    pub of: usize,
    /// What the last one looked at.
    pub what: &'static str,
}

/// Work that threads share.
pub(super) struct Task<'f, T> {
    pub(super) what: &'static str,
    pub(super) work: Box<dyn FnOnce() -> T + Send + 'f>,
}

/// What became of a task.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended<T> {
    Done(T),
    /// It was not begun.
    Canceled,
    /// A fault of ours; what it said.
    Failed(String),
}

/// A task until somebody takes it, and what became of it.
type Slot<'f, T> = Mutex<(Option<Task<'f, T>>, Ended<T>)>;

/// Runs the tasks; `cancel` is looked at before each.
pub(super) fn execute<T: Send>(
    tasks: Vec<Task<'_, T>>,
    threads: NonZeroUsize,
    cancel: &AtomicBool,
    progress: &(dyn Fn(Progress) + Sync),
) -> Vec<Ended<T>> {
    let of = tasks.len();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let slots: Vec<Slot<'_, T>> =
        tasks.into_iter().map(|task| Mutex::new((Some(task), Ended::Canceled))).collect();
    let work = || {
        while !cancel.load(Ordering::Relaxed) {
            let Some(slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            let Some(task) = lock(slot).0.take() else { continue };
            let what = task.what;
            let ended = match catch_unwind(AssertUnwindSafe(task.work)) {
                Ok(result) => Ended::Done(result),
                Err(cause) => Ended::Failed(said(cause.as_ref())),
            };
            lock(slot).1 = ended;
            progress(Progress { done: done.fetch_add(1, Ordering::Relaxed) + 1, of, what });
        }
    };
    std::thread::scope(|scope| {
        let others = threads.get().min(of).saturating_sub(1);
        (0..others).for_each(|_| {
            scope.spawn(work);
        });
        work();
    });
    let ended =
        |slot: Mutex<(_, Ended<T>)>| slot.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).1;
    slots.into_iter().map(ended).collect()
}

/// A task that panics holds no lock, so that a poisoned one is as good as any.
fn lock<T>(slot: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn said(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().copied().or(cause.downcast_ref::<String>().map(String::as_str));
    format!("a fault of the check itself, please report it: {}", text.unwrap_or("it said nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(tasks: Vec<Task<'_, usize>>, threads: usize, cancel: &AtomicBool) -> (Vec<Ended<usize>>, usize) {
        let told = AtomicUsize::new(0);
        let threads = NonZeroUsize::new(threads).unwrap();
        let ended = execute(tasks, threads, cancel, &|progress| {
            assert!(progress.done >= 1 && progress.done <= progress.of);
            told.fetch_add(1, Ordering::Relaxed);
        });
        (ended, told.into_inner())
    }

    fn task<'f>(work: impl FnOnce() -> usize + Send + 'f) -> Task<'f, usize> {
        Task { what: "things", work: Box::new(work) }
    }

    #[test]
    fn results_come_in_the_order_of_the_tasks_for_any_number_of_threads() {
        for threads in [1, 2, 7] {
            let tasks = (0..100).map(|number| task(move || number)).collect();
            let (ended, told) = run(tasks, threads, &AtomicBool::new(false));
            assert_eq!(ended, (0..100).map(Ended::Done).collect::<Vec<_>>());
            assert_eq!(told, 100);
        }
        assert_eq!(run(Vec::new(), 2, &AtomicBool::new(false)), (Vec::new(), 0));
    }

    #[test]
    fn what_was_not_begun_when_the_run_was_stopped_is_canceled() {
        let cancel = AtomicBool::new(false);
        let stop = || {
            cancel.store(true, Ordering::Relaxed);
            1
        };
        let (ended, told) = run(vec![task(|| 0), task(stop), task(|| 2)], 1, &cancel);
        assert_eq!(ended, [Ended::Done(0), Ended::Done(1), Ended::Canceled]);
        assert_eq!(told, 2);
    }

    #[test]
    fn a_task_that_panics_fails_alone() {
        let tasks = vec![task(|| panic!("number {}", 7)), task(|| 2)];
        let (ended, _) = run(tasks, 2, &AtomicBool::new(false));
        let said = "a fault of the check itself, please report it: number 7".to_owned();
        assert_eq!(ended, [Ended::Failed(said), Ended::Done(2)]);
    }
}
