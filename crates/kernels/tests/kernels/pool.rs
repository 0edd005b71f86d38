//! The thread pool: every task once, panics passed on, no deadlock.

use moestro_kernels::{Compute, Isa};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn counts(c: &Compute, tasks: usize) -> Vec<usize> {
    let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
    c.parallel(tasks, &|i| {
        counts[i].fetch_add(1, Ordering::Relaxed);
    });
    counts.into_iter().map(AtomicUsize::into_inner).collect()
}

#[test]
fn every_task_runs_once() {
    for threads in 1..=5 {
        let c = Compute::new(threads);
        assert_eq!(c.threads(), threads);
        for tasks in [0, 1, 2, 3, 7, 64, 1000] {
            for _ in 0..50 {
                assert_eq!(counts(&c, tasks), vec![1; tasks], "{threads} threads");
            }
        }
    }
}

#[test]
fn regions_follow_each_other_also_after_sleep() {
    let c = Compute::new(3);
    let total = AtomicUsize::new(0);
    for round in 0..2000 {
        if round % 500 == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        c.parallel(4, &|_| {
            total.fetch_add(1, Ordering::Relaxed);
        });
    }
    assert_eq!(total.into_inner(), 8000);
}

#[test]
fn all_threads_take_part() {
    let c = Compute::new(4);
    // Each task waits until all four run at once.
    let inside = AtomicUsize::new(0);
    c.parallel(4, &|_| {
        inside.fetch_add(1, Ordering::SeqCst);
        while inside.load(Ordering::SeqCst) < 4 {
            std::thread::yield_now();
        }
    });
    assert_eq!(inside.into_inner(), 4);
}

#[test]
fn a_panic_is_passed_on_and_the_pool_lives() {
    for threads in [1, 2, 4] {
        let c = Compute::new(threads);
        for bad in [0, 1, 63] {
            let result = catch_unwind(AssertUnwindSafe(|| {
                c.parallel(64, &|i| assert!(i != bad, "task {bad} failed"));
            }));
            let message = *result
                .expect_err("the task panics")
                .downcast::<String>()
                .expect("a message");
            assert_eq!(message, format!("task {bad} failed"));
            assert_eq!(counts(&c, 100), vec![1; 100]);
        }
    }
}

#[test]
fn a_region_within_a_task_runs_in_place() {
    let c = Compute::new(3);
    let total = AtomicUsize::new(0);
    c.parallel(8, &|_| {
        let thread = std::thread::current().id();
        c.parallel(8, &|_| {
            assert_eq!(std::thread::current().id(), thread);
            total.fetch_add(1, Ordering::Relaxed);
        });
    });
    assert_eq!(total.into_inner(), 64);
}

#[test]
fn several_threads_and_pools_get_along() {
    let shared = Compute::new(3);
    std::thread::scope(|s| {
        for _ in 0..4 {
            let (clone, own) = (shared.clone(), Compute::new(2));
            s.spawn(move || {
                for _ in 0..200 {
                    assert_eq!(counts(&clone, 20), vec![1; 20]);
                    assert_eq!(counts(&own, 20), vec![1; 20]);
                }
            });
        }
    });
}

#[test]
fn many_pools_come_and_go() {
    for threads in (1..=4).cycle().take(200) {
        let c = Compute::new(threads);
        assert_eq!(counts(&c, 3), [1; 3]);
    }
}

#[test]
fn the_portable_code_is_always_there() {
    let c = Compute::with_isa(0, Isa::Portable).expect("needs nothing");
    assert_eq!((c.threads(), c.isa()), (1, Isa::Portable));
    assert!(Compute::with_isa(1, Compute::new(1).isa()).is_some());
}
