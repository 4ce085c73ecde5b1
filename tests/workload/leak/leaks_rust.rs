// SPDX-License-Identifier: GPL-2.0-only
//! Threads of Rust that leak; prints the line of leak.h. leaks_rust WAY [COUNT [end]], where WAY is
//!   forgotten  handles that are neither joined nor dropped; their threads have returned
//!   blocked    threads that wait for a channel whose other end was forgotten
//!   growing    one more such thread for each request
//! One file and no crates.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Receiver};
use std::thread;
use std::time::Duration;

extern "C" {
    fn prctl(option: i32, arg: u64) -> i32;
    fn alarm(seconds: u32) -> u32;
}

const PR_SET_PDEATHSIG: i32 = 1;
const SIGKILL: u64 = 9;

static ARRIVED: AtomicUsize = AtomicUsize::new(0);

#[inline(never)]
fn work_once() {
    ARRIVED.fetch_add(1, Ordering::Release);
}

#[inline(never)]
fn wait_for_answer(answers: Receiver<u64>) {
    ARRIVED.fetch_add(1, Ordering::Release);
    println!("{:?}", answers.recv()); // never
}

#[inline(never)]
fn forget_handle() -> u32 {
    std::mem::forget(thread::spawn(work_once));
    line!() - 1
}

#[inline(never)]
fn serve_request() -> u32 {
    let (sender, answers) = channel();
    std::mem::forget(sender);
    thread::spawn(move || wait_for_answer(answers));
    line!() - 1
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

fn main() {
    // SAFETY: numbers only.
    unsafe {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(300);
    }
    let args: Vec<String> = std::env::args().collect();
    let how = args[1].as_str();
    let count: usize = args.get(2).map_or(5, |text| text.parse().unwrap());
    let create: fn() -> u32 = if how == "forgotten" { forget_handle } else { serve_request };
    let line = (0..count).map(|_| create()).last().unwrap();
    while ARRIVED.load(Ordering::Acquire) < count || (how == "forgotten" && threads() > 1) {
        thread::sleep(Duration::from_millis(1));
    }
    let (reason, function, told) = match how {
        "forgotten" => ("unjoined", "forget_handle", count),
        "blocked" => ("blocked-forever", "serve_request", count),
        _ => ("growing", "serve_request", 0),
    };
    println!(
        "{{\"workload\":\"leaks_rust\",\"how\":\"{}\",\"pid\":{},\"suspects\":[{{\"reason\":\"{}\",\"count\":{},\
         \"function\":\"{}\",\"file\":\"leaks_rust.rs\",\"line\":{},\"start\":\"\"}}]}}",
        how,
        std::process::id(),
        reason,
        told,
        function,
        line
    );
    if args.len() > 3 {
        return;
    }
    loop {
        thread::sleep(Duration::from_millis(100));
        if how == "growing" {
            serve_request();
        }
    }
}
