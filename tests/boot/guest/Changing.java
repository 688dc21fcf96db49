// SPDX-License-Identifier: Apache-2.0
// Keeps HotSpot compiling, patching and throwing away code: call sites that become polymorphic, classes loaded and lambdas
// made in loops, exceptions out of hot code, deoptimization, locks, threads, garbage collection. Prints sums that must be
// the same on every machine. usage: java Changing ROUNDS
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.IntUnaryOperator;

public class Changing {
	interface Shape { long area(int k); }
	static final class Square implements Shape { public long area(int k) { return (long) k * k; } }
	static final class Bar implements Shape { public long area(int k) { return 3L * k + 1; } }
	static final class Odd implements Shape {
		public long area(int k) {
			if (k % 1000 == 999)
				throw new IllegalStateException("odd");
			return k ^ 0x55;
		}
	}

	static long polymorphic(int round) {
		Shape[] all = { new Square(), new Bar(), new Odd() };
		long sum = 0;
		for (int i = 0; i < 60000; i++) {
			Shape s = all[i < 20000 ? 0 : i < 40000 ? i % 2 : i % 3]; // one, two, then three receivers
			try {
				sum += s.area(i + round);
			} catch (IllegalStateException e) {
				sum ^= e.getMessage().length() + i;
			}
		}
		return sum;
	}

	static long lambdas(int round) {
		long sum = 0;
		for (int i = 0; i < 40; i++) {
			final int add = i * 7 + round;
			IntUnaryOperator f = x -> x * 31 + add;
			for (int j = 0; j < i % 5; j++)
				f = f.andThen(x -> x ^ (x >>> 3));
			int v = i;
			for (int j = 0; j < 3000; j++)
				v = f.applyAsInt(v);
			sum += v;
		}
		return sum;
	}

	static long text(int round) {
		HashMap<String, Integer> count = new HashMap<>();
		for (int i = 0; i < 8000; i++)
			count.merge("key" + (i * 31 + round) % 700, i, Integer::sum);
		long sum = 0;
		for (String k : count.keySet())
			sum += k.hashCode() * 17L + count.get(k);
		return sum;
	}

	static long vectors(int round) {
		int[] a = new int[4096], b = new int[4096];
		double d = 0;
		for (int r = 0; r < 20; r++)
			for (int i = 0; i < a.length; i++) {
				a[i] = a[i] * 3 + b[i] + i + round;
				b[i] ^= a[i] >>> 5;
				d += Math.sqrt(i) * r;
			}
		long sum = Double.doubleToLongBits(d);
		for (int i = 0; i < a.length; i++)
			sum = sum * 31 + a[i] - b[i];
		return sum;
	}

	static int shared;
	static synchronized void locked(int k) { shared += k; }

	static long work(int seed) {
		for (int i = 0; i < 20000; i++)
			locked(i & 3);
		return polymorphic(seed) * 3 + lambdas(seed) * 5 + text(seed) * 7 + vectors(seed);
	}

	public static void main(String[] args) throws Exception {
		int rounds = Integer.parseInt(args[0]);
		ExecutorService pool = Executors.newFixedThreadPool(3);
		for (int r = 0; r < rounds; r++) {
			List<Future<Long>> all = new ArrayList<>();
			for (int t = 0; t < 3; t++) {
				final int seed = r * 3 + t;
				all.add(pool.submit(() -> work(seed)));
			}
			long sum = 0;
			for (Future<Long> f : all)
				sum = sum * 1000003 + f.get();
			System.out.println("result java " + r + " " + Long.toHexString(sum) + " " + shared);
		}
		pool.shutdown();
	}
}
