// SPDX-License-Identifier: GPL-2.0-only
//! Two threads that wait for each other's std::sync::Mutex, whose word does not name its owner. Prints
//! the line of hang.h, and ends by itself after two minutes. One file and no crates.
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Barrier, Mutex};
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

static TIDS: [AtomicI32; 2] = [AtomicI32::new(0), AtomicI32::new(0)];

fn tid() -> i32 {
    // SAFETY: has no arguments and can't fail.
    unsafe { gettid() }
}

#[inline(never)]
fn take_both(first: &Mutex<u64>, second: &Mutex<u64>, barrier: &Barrier, who: usize) {
    let held = first.lock().unwrap();
    barrier.wait();
    TIDS[who].store(tid(), Ordering::Release);
    let sum = *held + *second.lock().unwrap();
    println!("{}", sum); // never
}

fn row(role: &str, tid: i32, call: &str, function: &str) -> String {
    format!(
        "{{\"role\":\"{}\",\"pid\":{},\"tid\":{},\"calls\":[\"{}\"],\"lock\":null,\"functions\":[\"{}\"]}}",
        role,
        std::process::id(),
        tid,
        call,
        function
    )
}

fn main() {
    // SAFETY: numbers only.
    unsafe {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(120);
    }
    let locks: &'static [Mutex<u64>; 2] = Box::leak(Box::new([Mutex::new(1), Mutex::new(2)]));
    let barrier: &'static Barrier = Box::leak(Box::new(Barrier::new(2)));
    for (who, name) in ["teller", "auditor"].iter().enumerate() {
        let body = move || take_both(&locks[who], &locks[1 - who], barrier, who);
        thread::Builder::new().name(name.to_string()).spawn(body).unwrap();
    }
    while TIDS.iter().any(|tid| tid.load(Ordering::Acquire) == 0) {
        thread::sleep(Duration::from_millis(1));
    }
    println!(
        "{{\"workload\":\"deadlock\",\"how\":\"\",\"pid\":{},\"threads\":[{},{},{}],\"locks\":[]}}",
        std::process::id(),
        row("teller", TIDS[0].load(Ordering::Acquire), "futex", "take_both"),
        row("auditor", TIDS[1].load(Ordering::Acquire), "futex", "take_both"),
        row("deadlock", tid(), "pause", "main")
    );
    loop {
        // SAFETY: has no arguments.
        unsafe { pause() };
    }
}
