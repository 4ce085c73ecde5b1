// SPDX-License-Identifier: GPL-2.0-only
//! Waits for Rust's std::sync, counted as tests/workload/README.md says; ends by itself after two
//! seconds. One file and no crates: rustc -O -g contention.rs.
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::sync::{Barrier, Condvar, Mutex, Once, RwLock};
use std::thread;
use std::time::{Duration, Instant};

const HOLD: Duration = Duration::from_millis(1);
const PAUSE: Duration = Duration::from_millis(1);
const RUSAGE_THREAD: i32 = 1;
const LONGS: usize = 18; // struct rusage: two struct timeval, then fourteen long
const NVCSW: usize = 16;
const NIVCSW: usize = 17;

extern "C" {
    fn getrusage(who: i32, usage: *mut [i64; LONGS]) -> i32;
    fn mlockall(flags: i32) -> i32;
}

struct Site {
    name: &'static str,
    kind: &'static str,
    idle: &'static str,
    includes: &'static str,
    functions: &'static str,
    attempts: AtomicU64,
    slept: AtomicU64,
    sleeps: AtomicU64,
    preempted: AtomicU64,
    wait_ns: AtomicU64,
    max_ns: AtomicU64,
}

const fn site(
    name: &'static str,
    kind: &'static str,
    idle: &'static str,
    includes: &'static str,
    functions: &'static str,
) -> Site {
    const ZERO: AtomicU64 = AtomicU64::new(0);
    Site {
        name,
        kind,
        idle,
        includes,
        functions,
        attempts: ZERO,
        slept: ZERO,
        sleeps: ZERO,
        preempted: ZERO,
        wait_ns: ZERO,
        max_ns: ZERO,
    }
}

fn switches() -> (u64, u64) {
    let mut usage = [0i64; LONGS];
    // SAFETY: the kernel fills the structure, which is as long as it says.
    unsafe { getrusage(RUSAGE_THREAD, &mut usage) };
    (usage[NVCSW] as u64, usage[NIVCSW] as u64)
}

#[inline(always)]
fn wait<T>(site: &Site, call: impl FnOnce() -> T) -> T {
    let (before, involuntary) = switches();
    let start = Instant::now();
    let result = call();
    let wait_ns = start.elapsed().as_nanos() as u64;
    let (after, involuntary_after) = switches();
    site.attempts.fetch_add(1, Relaxed);
    if after != before {
        site.slept.fetch_add(1, Relaxed);
        site.sleeps.fetch_add(after - before, Relaxed);
        site.preempted.fetch_add((involuntary_after != involuntary) as u64, Relaxed);
        site.wait_ns.fetch_add(wait_ns, Relaxed);
        site.max_ns.fetch_max(wait_ns, Relaxed);
    }
    result
}

static STOPPED: AtomicBool = AtomicBool::new(false);
static LEDGER: Mutex<u64> = Mutex::new(0);
static CATALOG: RwLock<u64> = RwLock::new(0);
static QUEUE: Mutex<(u32, bool)> = Mutex::new((0, false));
static NONEMPTY: Condvar = Condvar::new();
static SETUP: Once = Once::new();
static SETTING_UP: AtomicBool = AtomicBool::new(false);

static LEDGER_SITE: Site = site("contention::LEDGER", "mutex", "false", "", "contention::update_ledger");
static READ_SITE: Site = site("contention::CATALOG", "rwlock", "false", "", "contention::read_catalog");
static WRITE_SITE: Site = site("contention::CATALOG", "rwlock", "false", "", "contention::write_catalog");
static IDLE_SITE: Site =
    site("contention::NONEMPTY", "condvar", "true", "contention::QUEUE", "contention::take_job");
static TAKE_SITE: Site = site("contention::QUEUE", "mutex", "false", "", "contention::take_job");
static PUT_SITE: Site = site("contention::QUEUE", "mutex", "false", "", "contention::put_job");
static SETUP_SITE: Site = site("contention::SETUP", "once", "false", "", "contention::set_up");
static PHASE_SITE: Site = site("", "barrier", "null", "", "contention::end_phase");

#[inline(never)]
fn update_ledger() {
    let mut ledger = wait(&LEDGER_SITE, || LEDGER.lock().unwrap());
    *ledger += 1;
    thread::sleep(HOLD);
}

#[inline(never)]
fn read_catalog() -> u64 {
    let catalog = wait(&READ_SITE, || CATALOG.read().unwrap());
    thread::sleep(HOLD);
    *catalog
}

#[inline(never)]
fn write_catalog() {
    let mut catalog = wait(&WRITE_SITE, || CATALOG.write().unwrap());
    *catalog += 1;
    thread::sleep(HOLD);
}

/// False: the queue is closed.
#[inline(never)]
fn take_job() -> bool {
    let mut queue = wait(&TAKE_SITE, || QUEUE.lock().unwrap());
    while queue.0 == 0 && !queue.1 {
        queue = wait(&IDLE_SITE, || NONEMPTY.wait(queue).unwrap());
    }
    let open = !queue.1;
    queue.0 -= open as u32;
    open
}

#[inline(never)]
fn put_job(last: bool) {
    let mut queue = wait(&PUT_SITE, || QUEUE.lock().unwrap());
    queue.0 += !last as u32;
    queue.1 = last;
    drop(queue);
    if last {
        NONEMPTY.notify_all();
    } else {
        NONEMPTY.notify_one();
    }
}

/// The first one sleeps in the initialiser, and doesn't count.
#[inline(never)]
fn set_up(first: bool) {
    if first {
        SETUP.call_once(|| {
            SETTING_UP.store(true, Release);
            thread::sleep(HOLD * 50)
        });
    } else {
        while !SETTING_UP.load(Acquire) {
            thread::sleep(HOLD);
        }
        wait(&SETUP_SITE, || SETUP.call_once(|| ()));
    }
}

#[inline(never)]
fn end_phase(barrier: &Barrier) {
    wait(&PHASE_SITE, || barrier.wait());
}

fn print(sites: &[&Site]) {
    let mut before = "\n";
    print!("{{\"workload\":\"contention\",\"pid\":{},\"locks\":[", std::process::id());
    for site in sites {
        print!(
            "{}{{\"name\":\"{}\",\"kind\":\"{}\",\"idle\":{},\"includes\":\"{}\",",
            before, site.name, site.kind, site.idle, site.includes
        );
        print!(
            "\"attempts\":{},\"slept\":{},\"sleeps\":{},\"preempted\":{},\"wait_ns\":{},\"max_ns\":{},",
            site.attempts.load(Relaxed),
            site.slept.load(Relaxed),
            site.sleeps.load(Relaxed),
            site.preempted.load(Relaxed),
            site.wait_ns.load(Relaxed),
            site.max_ns.load(Relaxed)
        );
        print!("\"functions\":[\"{}\"]}}", site.functions);
        before = ",\n";
    }
    println!("]}}");
}

fn worker(number: usize, barrier: &Barrier) {
    // A thread's first allocation makes an arena of malloc's: that can sleep for the address space.
    assert!(!format!("{:?}", thread::current().id()).is_empty());
    set_up(number == 0);
    while !STOPPED.load(Relaxed) {
        match number {
            0 => write_catalog(),
            1 | 2 => drop(read_catalog()),
            _ => update_ledger(),
        }
        thread::sleep(PAUSE);
    }
    // As often by all of them.
    for phase in 0..20 {
        if phase % 4 == number % 4 {
            thread::sleep(HOLD * 3);
        }
        end_phase(barrier);
    }
}

fn main() {
    let barrier = Barrier::new(6);

    // SAFETY: no memory is passed. A page fault could sleep, and count as a lock's.
    unsafe { mlockall(1 | 2) };
    // It leaves out the vdso's data page.
    let start = Instant::now();
    thread::scope(|scope| {
        for number in 0..6 {
            let barrier = &barrier;
            scope.spawn(move || worker(number, barrier));
        }
        for _ in 0..2 {
            scope.spawn(|| while take_job() {});
        }
        scope.spawn(|| {
            while !STOPPED.load(Relaxed) {
                put_job(false);
                thread::sleep(PAUSE * 2);
            }
            put_job(true);
        });
        thread::sleep(Duration::from_secs(2).saturating_sub(start.elapsed()));
        STOPPED.store(true, Relaxed);
    });
    print(&[
        &LEDGER_SITE, &READ_SITE, &WRITE_SITE, &IDLE_SITE, &TAKE_SITE, &PUT_SITE, &SETUP_SITE,
        &PHASE_SITE,
    ]);
}
