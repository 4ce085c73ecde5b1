// SPDX-License-Identifier: GPL-2.0-only
//! The main thread waits for a std::sync::Mutex below a method, a generic function, a closure and an inlined
//! function; the chain is in tests/integration/test_stack_zoo.py. Prints the line of hang.h, and ends by
//! itself after two minutes.
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

extern "C" {
    fn gettid() -> i32;
    fn prctl(option: i32, arg: u64) -> i32;
    fn alarm(seconds: u32) -> u32;
    fn pause() -> i32;
}

const PR_SET_PDEATHSIG: i32 = 1;
const SIGKILL: u64 = 9;

static MEALS: Mutex<u64> = Mutex::new(0);
static READY: AtomicBool = AtomicBool::new(false);
static VISITOR: AtomicI32 = AtomicI32::new(0);

fn tid() -> i32 {
    // SAFETY: has no arguments and can't fail.
    unsafe { gettid() }
}

struct Keeper {
    fed: u64,
}

impl Keeper {
    #[inline(never)]
    fn feed(&mut self, meal: u64) {
        READY.store(true, Ordering::Release);
        *MEALS.lock().unwrap() += meal;
        self.fed += meal;
    }

    #[inline(always)]
    fn serve(&mut self, meal: u64) {
        self.feed(meal * 2);
        self.fed += 1;
    }
}

#[inline(never)]
fn each<F: FnMut(u64) -> u64>(meals: &[u64], mut give: F) -> u64 {
    let mut sum = 0;
    for meal in meals {
        sum += give(*meal);
    }
    sum
}

#[inline(never)]
fn visit(keeper: &mut Keeper, meals: &[u64]) -> u64 {
    let give: &mut dyn FnMut(u64) -> u64 = &mut |meal| {
        keeper.serve(meal);
        meal
    };
    each(meals, give) + 1
}

fn row(role: &str, tid: i32, call: &str) -> String {
    format!(
        "{{\"role\":\"{}\",\"pid\":{},\"tid\":{},\"calls\":[\"{}\"],\"lock\":null,\"functions\":[]}}",
        role,
        std::process::id(),
        tid,
        call
    )
}

fn keep() {
    let held = MEALS.lock().unwrap();
    VISITOR.fetch_add(1, Ordering::Release);
    while !READY.load(Ordering::Acquire) {
        thread::sleep(Duration::from_millis(1));
    }
    println!(
        "{{\"workload\":\"stackzoo_rust\",\"how\":\"\",\"pid\":{},\"threads\":[{},{}],\"locks\":[]}}",
        std::process::id(),
        row("stackzoo_rust", std::process::id() as i32, "futex"),
        row("keeper", tid(), "pause")
    );
    loop {
        // SAFETY: has no arguments.
        unsafe { pause() };
        assert!(*held == 0);
    }
}

fn main() {
    // SAFETY: numbers only.
    unsafe {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(120);
    }
    thread::spawn(keep);
    while VISITOR.load(Ordering::Acquire) == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    let mut keeper = Keeper { fed: 0 };
    println!("{}", visit(&mut keeper, &[1, 2, 3]) + keeper.fed); // never
}
