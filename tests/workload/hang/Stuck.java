// SPDX-License-Identifier: GPL-2.0-only

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;

/**
 * Two threads that wait for each other's monitor; with a number as the argument so many more wait
 * for one of the two. Prints the line of hang.h, and ends by itself after two minutes.
 */
public class Stuck {
    private static final Object ledger = new Object(), audit = new Object();
    private static final CountDownLatch both = new CountDownLatch(2);

    private static void takeBoth(Object first, Object second) {
        synchronized (first) {
            both.countDown();
            try {
                both.await();
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
            synchronized (second) {
                System.out.println("never");
            }
        }
    }

    private static void waitBehind() {
        synchronized (ledger) {
            System.out.println("never");
        }
    }

    private static Thread start(String name, Runnable body) {
        Thread thread = new Thread(null, body, name, 256 * 1024);

        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private static String comm(Path task) {
        try {
            return Files.readString(task.resolve("comm")).strip();
        } catch (IOException e) {
            return ""; // it has ended
        }
    }

    private static void say() throws IOException {
        long pid = ProcessHandle.current().pid();
        List<String> rows = new ArrayList<>();

        try (DirectoryStream<Path> tasks = Files.newDirectoryStream(Path.of("/proc/self/task"))) {
            for (Path task : tasks) {
                String role = comm(task);

                if (role.equals("teller") || role.equals("auditor") || role.startsWith("behind"))
                    rows.add(String.format("{\"role\":\"%s\",\"pid\":%d,\"tid\":%s,\"calls\":[\"futex\"],"
                        + "\"lock\":null,\"functions\":[]}", role, pid, task.getFileName()));
            }
        }
        System.out.printf("{\"workload\":\"Stuck\",\"how\":\"\",\"pid\":%d,\"threads\":[%s],"
            + "\"locks\":[]}%n", pid, String.join(",", rows));
        System.out.flush();
    }

    public static void main(String[] args) throws InterruptedException, IOException {
        List<Thread> threads = new ArrayList<>();
        int more = args.length > 0 ? Integer.parseInt(args[0]) : 0;

        threads.add(start("teller", () -> takeBoth(ledger, audit)));
        threads.add(start("auditor", () -> takeBoth(audit, ledger)));
        both.await();
        for (int i = 0; i < more; i++)
            threads.add(start("behind-" + i, Stuck::waitBehind));
        for (Thread thread : threads)
            while (thread.getState() != Thread.State.BLOCKED)
                Thread.sleep(1);
        say();
        Thread.sleep(120_000);
        Runtime.getRuntime().halt(0);
    }
}
