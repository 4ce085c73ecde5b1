// SPDX-License-Identifier: GPL-2.0-only
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.ArrayList;
import java.util.List;

/** A service on thread pools, fixed and cached ones, with a monitor that all of them want, and garbage. */
public class Healthy {
    private static long sum;

    private static synchronized void add(long n) {
        sum += n;
    }

    private static void work(int n) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < 2000; i++) {
            text.append(i * n);
        }
        add(text.length());
    }

    public static void main(String[] args) throws Exception {
        ExecutorService fixed = Executors.newFixedThreadPool(8);
        ExecutorService cached = Executors.newCachedThreadPool();
        for (int turn = 0;; turn++) {
            List<Future<?>> all = new ArrayList<>();
            for (int i = 0; i < 16; i++) {
                int n = i;
                all.add((i % 2 == 0 ? fixed : cached).submit(() -> work(n)));
            }
            for (Future<?> one : all) {
                one.get();
            }
            Thread.sleep(20 + turn % 7 * 10);
        }
    }
}
