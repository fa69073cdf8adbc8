// Redisson's RLock on one node; on several its RedLock, which is deprecated. Speaks the benchmark's protocol
// (bench/peers/README.md). Callers are threads of one process.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.IntConsumer;
import org.redisson.Redisson;
import org.redisson.RedissonRedLock;
import org.redisson.api.RLock;
import org.redisson.api.RedissonClient;
import org.redisson.config.Config;

public class Peer {
    private final List<RedissonClient> nodes = new ArrayList<>();

    Peer(String[] ports, long leaseMs) {
        for (String port : ports) {
            Config config = new Config();
            config.useSingleServer().setAddress("redis://127.0.0.1:" + port);
            if (leaseMs > 0) {
                config.setLockWatchdogTimeout(leaseMs);
            }
            nodes.add(Redisson.create(config));
        }
    }

    RLock lock(String name) {
        RLock[] locks = nodes.stream().map(node -> node.getLock(name)).toArray(RLock[]::new);
        return locks.length == 1 ? locks[0] : new RedissonRedLock(locks);
    }

    String pairs(double seconds) {
        List<Long> acquire = new ArrayList<>();
        long start = System.nanoTime();
        long before = start;
        while (before < start + seconds * 1e9) {
            RLock lock = lock("peer");
            lock.lock();
            acquire.add(System.nanoTime() - before);
            lock.unlock();
            before = System.nanoTime();
        }
        acquire.sort(null);
        int count = acquire.size();
        return String.format("%d %.6f %.1f %.1f", count, (before - start) / 1e9, acquire.get(count / 2) / 1e3,
            acquire.get(count * 99 / 100) / 1e3);
    }

    static void run(int count, IntConsumer caller) throws InterruptedException {
        List<Thread> threads = new ArrayList<>();
        for (int index = 1; index <= count; index++) {
            int number = index;
            Thread thread = new Thread(() -> caller.accept(number));
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.join();
        }
    }

    String many(int count, double seconds) throws InterruptedException {
        AtomicLong pairs = new AtomicLong();
        long start = System.nanoTime();
        run(count, index -> {
            while (System.nanoTime() < start + seconds * 1e9) {
                RLock lock = lock("peer:" + index);
                lock.lock();
                lock.unlock();
                pairs.incrementAndGet();
            }
        });
        return String.format("%d %.6f", pairs.get(), (System.nanoTime() - start) / 1e9);
    }

    String contend(int count, long until) throws InterruptedException {
        Queue<String> grants = new ConcurrentLinkedQueue<>();
        run(count, index -> {
            long asked = System.nanoTime();
            while (asked < until) {
                RLock lock = lock("peer");
                lock.lock();
                long acquired = System.nanoTime();
                grants.add(index + " " + asked + " " + acquired + " " + System.nanoTime());
                lock.unlock();
                asked = System.nanoTime();
            }
        });
        return String.join(" ", grants);
    }

    // The lease is the client's. Locks that are given none are renewed.
    static String hold(String[] ports, int count, double ttl) {
        Peer peer = new Peer(ports, (long) (ttl * 1000));
        long start = System.nanoTime();
        for (int index = 1; index <= count; index++) {
            peer.lock("held:" + index).lock();
        }
        double seconds = (System.nanoTime() - start) / 1e9;
        System.gc();
        return String.format("%d %.6f", count, seconds);
    }

    static String answer(Peer peer, String[] ports, String[] words) throws InterruptedException {
        switch (words[0]) {
        case "pairs":
            return peer.pairs(Double.parseDouble(words[1]));
        case "many":
            return peer.many(Integer.parseInt(words[1]), Double.parseDouble(words[2]));
        case "contend":
            if (words.length > 3) {
                return "no: a client, with its threads, for each of a thousand callers is too much";
            }
            return peer.contend(Integer.parseInt(words[1]), Long.parseLong(words[2]));
        case "hold":
            return hold(ports, Integer.parseInt(words[1]), Double.parseDouble(words[2]));
        default:
            peer.lock("peer").lock();
            return "held";
        }
    }

    public static void main(String[] ports) throws Exception {
        Peer peer = new Peer(ports, 0);
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            System.out.println(answer(peer, ports, line.split(" ")));
        }
        System.exit(0);
    }
}
