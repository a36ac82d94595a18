import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MaxWindow } from "./max-window.ts";
import { WindowAverage } from "./window-average.ts";

const start = Date.UTC(2026, 0, 1);

/** Records one value a second, from the first second on. */
function recorded(window: WindowAverage, values: readonly number[]): number {
  for (const [second, value] of values.entries()) window.record(start + second * 1000, value);
  return start + (values.length - 1) * 1000;
}

describe("an average over a window", () => {
  it("is over the seconds that there are while the window is not full", () => {
    const window = new WindowAverage(60_000);
    const now = recorded(window, [10, 20, 30]);

    assert.equal(window.average(now), 20);
  });

  it("forgets what is older than the window", () => {
    const window = new WindowAverage(4000);
    const now = recorded(window, [100, 1, 2, 3, 4]);

    assert.equal(window.average(now), 2.5);
  });

  it("adds up reports within one second", () => {
    const window = new WindowAverage(60_000);
    window.record(start, 3);
    window.record(start + 900, 4);

    assert.equal(window.average(start), 7);
  });

  it("counts a gap between two reports as zeroes", () => {
    const window = new WindowAverage(60_000);
    window.record(start, 12);
    window.record(start + 3000, 12);

    assert.equal(window.average(start + 3000), 6);
  });

  it("does not count silence at the end, and is zero after a whole window of it", () => {
    const window = new WindowAverage(10_000);
    const now = recorded(window, [5, 5, 5]);

    assert.equal(window.average(now + 5000), 5);
    assert.equal(window.isEmpty(now + 10_000), false);
    assert.equal(window.average(now + 10_000), 0);
    assert.equal(window.isEmpty(now + 11_000), true);
  });

  it("begins anew after a window of silence", () => {
    const window = new WindowAverage(5000);
    recorded(window, [50, 50]);
    window.record(start + 60_000, 4);

    assert.equal(window.average(start + 60_000), 4);
  });

  it("ignores reports that come later than the window", () => {
    const window = new WindowAverage(5000);
    const now = recorded(window, [1, 1, 1, 1, 1, 1, 1, 1]);
    window.record(start, 1000);

    assert.equal(window.average(now), 1);
  });

  it("keeps the newest seconds when it is made shorter, and all when longer", () => {
    const window = new WindowAverage(6000);
    const now = recorded(window, [1, 2, 3, 4, 5, 6]);
    window.resize(2000, now);
    assert.equal(window.average(now), 5.5);

    window.resize(10_000, now);
    window.record(now + 1000, 16);
    assert.equal(window.average(now + 1000), 9);
  });

  it("weighs later seconds more when asked to", () => {
    const rising = new WindowAverage(4000, "weighted-exponential");
    const falling = new WindowAverage(4000, "weighted-exponential");
    const now = recorded(rising, [5, 5, 10, 10]);
    recorded(falling, [10, 10, 5, 5]);

    assert.ok(rising.average(now) > 9.5, `${rising.average(now)}`);
    assert.ok(falling.average(now) < 5.5, `${falling.average(now)}`);
  });
});

describe("the largest value of a window", () => {
  it("stays until it is older than the window", () => {
    const window = new MaxWindow(6000, 2000);
    const given = [3, 9, 4, 2, 1, 1].map((value, tick) => window.record(start + tick * 2000, value));

    assert.deepEqual(given, [3, 9, 9, 9, 4, 2]);
  });

  it("is the larger of two in one slot", () => {
    const window = new MaxWindow(2000, 2000);
    window.record(start, 7);

    assert.equal(window.record(start + 1000, 2), 7);
    assert.equal(window.record(start + 2000, 2), 2);
  });
});
