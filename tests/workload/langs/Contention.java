// SPDX-License-Identifier: GPL-2.0-only

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Java threads that wait for a monitor (synchronized) and for a ReentrantLock; two seconds, or as many
 * as the argument says. What it knows of its waits are calls and the time in those that took long.
 */
public class Contention {
    private static final long LONG_NS = 300_000; // a call that took longer surely slept
    private static final Object monitor = new Object();
    private static final ReentrantLock lock = new ReentrantLock();
    private static volatile boolean stopped;

    private static class Total {
        final AtomicLong calls = new AtomicLong(), slept = new AtomicLong(), waitNs = new AtomicLong();

        void add(long startNs) {
            long ns = System.nanoTime() - startNs;

            calls.incrementAndGet();
            if (ns > LONG_NS) {
                slept.incrementAndGet();
                waitNs.addAndGet(ns);
            }
        }

        String json(String name) {
            return String.format("\"%s\":{\"attempts\":%d,\"slept\":%d,\"wait_ns\":%d}", name,
                calls.get(), slept.get(), waitNs.get());
        }
    }

    private static final Total monitorTotal = new Total(), lockTotal = new Total();

    private static void hold() throws InterruptedException {
        Thread.sleep(3);
    }

    static void useMonitor() throws InterruptedException {
        long startNs = System.nanoTime();

        synchronized (monitor) {
            monitorTotal.add(startNs);
            hold();
        }
    }

    static void useLock() throws InterruptedException {
        long startNs = System.nanoTime();

        lock.lock();
        try {
            lockTotal.add(startNs);
            hold();
        } finally {
            lock.unlock();
        }
    }

    private static void work(boolean withMonitor) {
        try {
            while (!stopped) {
                if (withMonitor)
                    useMonitor();
                else
                    useLock();
                Thread.sleep(1);
            }
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    public static void main(String[] args) throws InterruptedException {
        List<Thread> threads = new ArrayList<>();

        for (int i = 0; i < 6; i++) {
            boolean withMonitor = i % 2 == 0;
            Thread thread = new Thread(() -> work(withMonitor), "worker-" + i);

            threads.add(thread);
            thread.start();
        }
        Thread.sleep((long) (1000 * (args.length > 0 ? Double.parseDouble(args[0]) : 2)));
        stopped = true;
        for (Thread thread : threads)
            thread.join();
        System.out.printf("{\"workload\":\"Contention\",\"pid\":%d,\"totals\":{%s,%s}}%n",
            ProcessHandle.current().pid(), monitorTotal.json("monitor"), lockTotal.json("lock"));
    }
}
