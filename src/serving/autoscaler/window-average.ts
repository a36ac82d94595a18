/**
 * Averages of a value over the last seconds: a ring of one bucket per second. Two kinds of average, as upstream's `pkg/autoscaler/aggregation` (v1.23): each second counts the
 * same ("linear"), or later ones count more ("weighted-exponential").
 */

/** How seconds are weighted. */
export type Aggregation = "linear" | "weighted-exponential";

const bucketMs = 1000;
/** Weights of all seconds of a window add up to at least this. */
const weightPrecision = 0.9999;
const minSmoothing = 0.2;

/** The window of one value of one revision. */
export class WindowAverage {
  #windowMs: number;
  #buckets: number[];
  #total = 0;
  /** Whole seconds; undefined before the first record. */
  #first: number | undefined;
  #last: number | undefined;
  readonly #aggregation: Aggregation;

  constructor(windowMs: number, aggregation: Aggregation = "linear") {
    this.#windowMs = windowMs;
    this.#buckets = emptyBuckets(windowMs);
    this.#aggregation = aggregation;
  }

  /** Adds to the value of a second. Seconds between the last record and this one count as zero; what is older than the window is ignored. */
  record(nowMs: number, value: number): void {
    const second = Math.floor(nowMs / bucketMs);
    const last = this.#last;
    if (last === undefined || second - last >= this.#size) this.#restart(second);
    else if (second > last) this.#forget(last + 1, second);
    else if (last - second >= this.#size) return;
    this.#last = Math.max(second, this.#last ?? second);
    this.#first = Math.min(second, this.#first ?? second);
    const index = second % this.#buckets.length;
    this.#buckets[index] = (this.#buckets[index] ?? 0) + value;
    this.#total += value;
  }

  /** True when nothing was recorded for longer than the window. */
  isEmpty(nowMs: number): boolean {
    return this.#last === undefined || Math.floor(nowMs / bucketMs) - this.#last > this.#size;
  }

  /** The average; over the seconds since the first record while those are fewer than the window. */
  average(nowMs: number): number {
    const now = Math.floor(nowMs / bucketMs);
    return this.#aggregation === "linear" ? this.#linear(now) : this.#weighted(now);
  }

  /** Changes the window's length, keeping what still fits. */
  resize(windowMs: number, nowMs: number): void {
    if (windowMs === this.#windowMs) return;
    const isStale = this.isEmpty(nowMs);
    const [old, oldSize, last] = [this.#buckets, this.#size, this.#last];
    this.#windowMs = windowMs;
    this.#buckets = emptyBuckets(windowMs);
    this.#total = 0;
    if (isStale || last === undefined) {
      this.#first = this.#last = undefined;
      return;
    }
    for (let second = last; second > last - Math.min(oldSize, this.#size) && second >= 0; second--) {
      const value = old[second % oldSize] ?? 0;
      this.#buckets[second % this.#size] = value;
      this.#total += value;
    }
    this.#first = Math.max(this.#first ?? last, last - oldSize + 1);
  }

  get #size(): number {
    return this.#buckets.length;
  }

  #restart(second: number): void {
    this.#buckets.fill(0);
    this.#total = 0;
    this.#first = this.#last = second;
  }

  #forget(from: number, to: number): void {
    for (let second = from; second <= to; second++) {
      const index = second % this.#size;
      this.#total -= this.#buckets[index] ?? 0;
      this.#buckets[index] = 0;
    }
  }

  #linear(now: number): number {
    const [first, last] = [this.#first, this.#last];
    if (first === undefined || last === undefined || now - last >= this.#size) return 0;
    const silent = Math.max(0, now - last);
    let total = this.#total;
    for (let second = last + 1; second <= now; second++) total -= this.#buckets[second % this.#size] ?? 0;
    // Seconds without a report at the end say nothing; a pod that is only starting must not look idle.
    const seconds = Math.min(last - first + 1, this.#size - silent);
    return rounded(total / seconds);
  }

  #weighted(now: number): number {
    const last = this.#last;
    if (last === undefined || now - last > this.#size) return 0;
    const smoothing = Math.max(1 - (1 - weightPrecision) ** (1 / this.#size), minSmoothing);
    const silent = Math.max(0, now - last);
    let weight = smoothing * (1 - smoothing) ** silent;
    let sum = 0;
    for (let age = 0; age < this.#size - silent; age++) {
      const index = (((last - age) % this.#size) + this.#size) % this.#size;
      sum += (this.#buckets[index] ?? 0) * weight;
      weight *= 1 - smoothing;
    }
    return sum;
  }
}

function emptyBuckets(windowMs: number): number[] {
  return Array.from({ length: Math.ceil(windowMs / bucketMs) }, () => 0);
}

// Sums of floating-point numbers would make 100.00000001 requests want a second pod.
function rounded(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
