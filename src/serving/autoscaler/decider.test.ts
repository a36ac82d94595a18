import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { defaultAutoscalerConfig, parseAutoscalerConfig } from "#serving/config/autoscaler-config.ts";
import type { PodAutoscaler } from "#serving/kinds.ts";
import { Decider, tickMs } from "./decider.ts";
import { type DeciderSpec, deciderSpecOf, scaleBoundsOf } from "./decider-spec.ts";

const start = Date.UTC(2026, 0, 1);

function autoscaler(
  annotations: Readonly<Record<string, string>> = {},
  spec: PodAutoscaler["spec"] = {},
): PodAutoscaler {
  const all = Object.fromEntries(
    Object.entries(annotations).map(([key, value]) => [`autoscaling.knative.dev/${key}`, value]),
  );
  return { metadata: { name: "hello-00001", namespace: "default", annotations: all }, spec };
}

function specOf(annotations: Readonly<Record<string, string>> = {}, spec?: PodAutoscaler["spec"]): DeciderSpec {
  return deciderSpecOf(autoscaler(annotations, spec), defaultAutoscalerConfig);
}

/** The default target is 70 of 100. */
function decide(
  spec: DeciderSpec,
  seen: { readonly ready: number; readonly stable: number; readonly panic: number },
): ReturnType<Decider["decide"]> {
  const decider = new Decider(spec, { nowMs: start, readyPods: 0 });
  return decider.decide({ nowMs: start, readyPods: seen.ready, stableValue: seen.stable, panicValue: seen.panic });
}

describe("a stable revision", () => {
  const cases = [
    ["needs no pod without requests", 1, 0, 0, 0],
    ["needs one pod for one request", 1, 1, 1, 1],
    ["needs one pod up to 70 requests at once", 1, 70, 70, 1],
    ["needs a second pod beyond 70 requests at once", 1, 70.1, 70.1, 2],
    ["loses half of its pods at most in one step", 10, 0, 0, 5],
    ["loses its last pod at once", 1, 0, 0, 0],
    ["grows by the stable window when the panic window sees less", 5, 700, 100, 10],
  ] as const;
  for (const [name, ready, stable, panic, want] of cases) {
    it(name, () => {
      const spec = { ...specOf(), panicThreshold: 100 };

      assert.equal(decide(spec, { ready, stable, panic }).desiredScale, want);
    });
  }

  it("grows by one pod even when the rate allows less", () => {
    const spec = { ...specOf(), maxScaleUpRate: 1.1, panicThreshold: 100 };

    assert.equal(decide(spec, { ready: 2, stable: 700, panic: 700 }).desiredScale, 3);
  });

  it("never falls below a pod for 2.0 of 3 when reachable, and to nothing at once when not", () => {
    assert.equal(decide(specOf(), { ready: 3, stable: 0, panic: 0 }).desiredScale, 1);
    assert.equal(
      decide(specOf({}, { reachability: "Unreachable" }), { ready: 3, stable: 0, panic: 0 }).desiredScale,
      0,
    );
  });
});

describe("panic", () => {
  it("begins when the last seconds want twice the pods there are", () => {
    const decision = decide(specOf(), { ready: 2, stable: 100, panic: 280 });

    assert.deepEqual([decision.isPanicking, decision.desiredScale], [true, 4]);
  });

  it("does not begin just below", () => {
    const decision = decide(specOf(), { ready: 2, stable: 100, panic: 210 });

    assert.deepEqual([decision.isPanicking, decision.desiredScale], [false, 2]);
  });

  it("never scales down, and ends a stable window after the last threshold was crossed", () => {
    const decider = new Decider(specOf(), { nowMs: start, readyPods: 1 });
    const at = (seconds: number, readyPods: number, stableValue: number, panicValue: number) =>
      decider.decide({ nowMs: start + seconds * 1000, readyPods, stableValue, panicValue });

    assert.equal(at(0, 1, 140, 700).desiredScale, 10);
    assert.equal(at(20, 10, 300, 10).desiredScale, 10);
    assert.equal(at(60, 10, 100, 10).isPanicking, true);
    const after = at(62, 10, 100, 10);
    assert.deepEqual([after.isPanicking, after.desiredScale], [false, 5]);
  });

  it("is extended when the threshold is crossed again", () => {
    const decider = new Decider(specOf(), { nowMs: start, readyPods: 1 });
    const at = (seconds: number, readyPods: number, panicValue: number) =>
      decider.decide({ nowMs: start + seconds * 1000, readyPods, stableValue: 0, panicValue }).isPanicking;

    assert.deepEqual([at(0, 1, 700), at(50, 1, 700), at(100, 10, 0), at(111, 10, 0)], [true, true, true, false]);
  });

  it("is where an autoscaler begins that finds several pods: without a history it must not scale down", () => {
    const decider = new Decider(specOf(), { nowMs: start, readyPods: 10 });
    const seen = { readyPods: 10, stableValue: 1, panicValue: 1 };

    assert.equal(decider.decide({ nowMs: start, ...seen }).desiredScale, 10);
    assert.equal(decider.decide({ nowMs: start + 61_000, ...seen }).desiredScale, 5);
  });
});

describe("annotations", () => {
  it("activation-scale is the least that a revision wakes up to", () => {
    const spec = specOf({ "activation-scale": "5" });

    assert.equal(decide(spec, { ready: 0, stable: 1, panic: 1 }).desiredScale, 5);
    assert.equal(decide(spec, { ready: 1, stable: 0, panic: 0 }).desiredScale, 0);
  });

  it("scale-down-delay keeps the largest scale of that time", () => {
    const decider = new Decider(specOf({ "scale-down-delay": "6s" }), { nowMs: start, readyPods: 1 });
    const given = [140, 70, 70, 70, 70].map((stableValue, tick) => {
      const nowMs = start + tick * tickMs;
      return decider.decide({ nowMs, readyPods: 2, stableValue, panicValue: stableValue }).desiredScale;
    });

    assert.deepEqual(given, [2, 2, 2, 1, 1]);
  });

  it("scale-down-delay does not hold what nobody can reach", () => {
    const decider = new Decider(specOf({ "scale-down-delay": "6s" }, { reachability: "Unreachable" }), {
      nowMs: start,
      readyPods: 1,
    });
    const at = (tick: number, stableValue: number) =>
      decider.decide({ nowMs: start + tick * tickMs, readyPods: 2, stableValue, panicValue: 0 }).desiredScale;

    assert.deepEqual([at(0, 140), at(1, 0)], [2, 0]);
  });

  it("targets are of the metric, by utilization, and never above the hard limit", () => {
    const cases = [
      [{}, undefined, 70, 100],
      [{}, 10, 7, 10],
      [{ target: "50" }, undefined, 35, 50],
      [{ target: "50" }, 10, 7, 10],
      [{ target: "5" }, 10, 3.5, 5],
      [{ "target-utilization-percentage": "100" }, undefined, 100, 100],
      [{ metric: "rps" }, 10, 140, 200],
      [{ metric: "rps", target: "1000" }, 10, 700, 1000],
      [{ target: "0.01" }, undefined, 0.01, 0.01],
    ] as const;
    for (const [annotations, containerConcurrency, targetValue, totalValue] of cases) {
      const spec = specOf(annotations, containerConcurrency === undefined ? {} : { containerConcurrency });

      assert.deepEqual([spec.targetValue, spec.totalValue], [targetValue, totalValue], JSON.stringify(annotations));
    }
  });

  it("windows are the revision's own, the panic window a percentage of the stable one", () => {
    const spec = specOf({ window: "30s", "panic-window-percentage": "20", "panic-threshold-percentage": "150" });

    assert.deepEqual([spec.stableWindowMs, spec.panicWindowMs, spec.panicThreshold], [30_000, 6000, 1.5]);
    assert.deepEqual([specOf().stableWindowMs, specOf().panicWindowMs], [60_000, 6000]);
    assert.equal(specOf({ window: "6s" }).panicWindowMs, 1000);
  });

  it("older spellings count, newer ones first", () => {
    const { min, max } = scaleBoundsOf(
      autoscaler({ minScale: "2", maxScale: "9", "max-scale": "5" }),
      defaultAutoscalerConfig,
    );

    assert.deepEqual([min, max], [2, 5]);
  });

  it("what nobody can reach has no least scale", () => {
    const unreachable = autoscaler({ "min-scale": "2" }, { reachability: "Unreachable" });

    assert.equal(scaleBoundsOf(unreachable, defaultAutoscalerConfig).min, 0);
  });
});

describe("excess burst capacity", () => {
  const cases = [
    ["is what pods can take beyond the burst and what they have", "211", 4, 100, 89],
    ["is negative while the burst would be too much", "211", 3, 100, -11],
    ["is zero when only zero pods are to be buffered", "0", 3, 1000, 0],
    ["is always negative when all is to be buffered", "-1", 100, 0, -1],
  ] as const;
  for (const [name, burst, ready, panic, want] of cases) {
    it(name, () => {
      const decision = decide(specOf({ "target-burst-capacity": burst }), { ready, stable: 0, panic });

      assert.equal(decision.excessBurstCapacity, want);
    });
  }
});

describe("config-autoscaler", () => {
  it("has upstream's defaults", () => {
    assert.deepEqual(parseAutoscalerConfig({}), defaultAutoscalerConfig);
    assert.deepEqual(parseAutoscalerConfig(undefined), defaultAutoscalerConfig);
  });

  it("takes percentages as 70 and as 0.7", () => {
    const fraction = (text: string) =>
      parseAutoscalerConfig({ "container-concurrency-target-percentage": text }).containerConcurrencyTargetFraction;

    assert.deepEqual([fraction("70"), fraction("0.7"), fraction("100")], [0.7, 0.7, 1]);
  });

  const wrong = [
    [{ "stable-window": "5s" }, "stable-window = 5s, must be in [6s; 1h0m0s] range"],
    [{ "max-scale-up-rate": "1" }, "max-scale-up-rate = 1, must be greater than 1.0"],
    [
      { "initial-scale": "0" },
      "initial-scale = 0, must be at least 0 (or at least 1 when allow-zero-initial-scale is false)",
    ],
    [
      { "target-burst-capacity": "-2" },
      "target-burst-capacity must be either non-negative or -1 (for unlimited), was: -2.000000",
    ],
    [{ "max-scale-limit": "5" }, "max-scale = 0, must be in [1, max-scale-limit(5)] range"],
    [{ "min-scale": "3", "max-scale": "2" }, "min-scale (3) must be less than max-scale (2)"],
    [{ "activator-capacity": "many" }, 'failed to parse "activator-capacity": "many" is not a number'],
  ] as const;
  for (const [data, message] of wrong) {
    it(`refuses ${JSON.stringify(data)}`, () => {
      assert.throws(() => parseAutoscalerConfig(data), { kind: "ConfigError", message });
    });
  }
});
