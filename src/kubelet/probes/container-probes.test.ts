import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Container } from "#api/generated/types/core-v1.ts";
import { FakeClock } from "#component-base/clock.ts";
import { podOf } from "#kubelet/testing/engine-house.ts";
import { ContainerProbes } from "./container-probes.ts";
import { ProbeMetrics } from "./probe-metrics.ts";

type House = {
  readonly clock: FakeClock;
  readonly probes: ContainerProbes;
  readonly events: string[];
  /** Commands that ran, with the second at which they did. */
  readonly ran: string[];
  /** Exit code of the command of this name. */
  readonly codes: Map<string, number>;
  /** Exit codes that are not known yet. */
  readonly hanging: Map<string, Promise<number>>;
  readonly metrics: ProbeMetrics;
};

const command = (name: string) => ({ exec: { command: [name] } });

async function withProbes(
  container: Partial<Container>,
  body: (house: House) => Promise<void>,
  before?: { started: boolean; ready: boolean },
): Promise<void> {
  const clock = new FakeClock();
  const startMs = clock.now();
  const events: string[] = [];
  const ran: string[] = [];
  // What is called slow fails until a test says otherwise.
  const codes = new Map([["slow", 1]]);
  const hanging = new Map<string, Promise<number>>();
  const metrics = new ProbeMetrics();
  const full = { name: "main", image: "app", ...container };
  const probes = new ContainerProbes({
    pod: podOf("web", [full]),
    container: full,
    target: {
      container: full,
      podIP: () => "127.0.0.1",
      exec: async ([name = ""]) => {
        ran.push(`${name} ${(clock.now() - startMs) / 1000}`);
        return { exitCode: (await hanging.get(name)) ?? codes.get(name) ?? 0, output: "out" };
      },
    },
    startedMs: startMs,
    before,
    events: { pod: (_pod, type, reason, message) => events.push(`${type} ${reason} ${message}`), node() {} },
    metrics,
    clock,
    onChange: () => {},
  });
  probes.start();
  await clock.advance(0);
  try {
    await body({ clock, probes, events, ran, codes, hanging, metrics });
  } finally {
    probes.stop();
  }
}

describe("a container's probes", () => {
  it("without any, it is started and ready at once", async () => {
    await withProbes({}, async ({ probes }) => {
      assert.deepEqual([probes.started, probes.ready], [true, true]);
    });
  });

  it("looks at readiness at once, and once a period after that", async () => {
    await withProbes(
      { readinessProbe: { ...command("ready"), periodSeconds: 10 } },
      async ({ probes, clock, codes, events, ran }) => {
        assert.equal(probes.ready, true);
        codes.set("ready", 1);
        await clock.advance(20_000);
        assert.equal(probes.ready, true);
        await clock.advance(10_000);
        assert.equal(probes.ready, false);
        assert.deepEqual(ran, ["ready 0", "ready 10", "ready 20", "ready 30"]);
        assert.deepEqual(events, Array(3).fill("Warning Unhealthy Readiness probe failed: out"));
      },
    );
  });

  it("becomes ready by an early look, long before the first period is over, and without an event", async () => {
    const readinessProbe = { ...command("slow"), periodSeconds: 10 };
    await withProbes({ readinessProbe }, async ({ probes, clock, codes, events, ran }) => {
      await clock.advance(200);
      assert.equal(probes.ready, false);
      codes.set("slow", 0);
      await clock.advance(300);

      assert.equal(probes.ready, true);
      assert.deepEqual(ran, ["slow 0", "slow 0.2", "slow 0.5"]);
      assert.deepEqual(events, []);
    });
  });

  it("complains and counts only from the first period on", async () => {
    const startupProbe = { ...command("slow"), periodSeconds: 2, failureThreshold: 2 };
    await withProbes({ startupProbe }, async ({ probes, clock, events, ran }) => {
      await clock.advance(1_999);
      assert.ok(ran.length > 3);
      assert.deepEqual(events, []);

      await clock.advance(1);
      assert.equal(events.length, 1);
      assert.equal(probes.startupFailed, false);

      await clock.advance(2_000);
      assert.equal(events.length, 2);
      assert.equal(probes.startupFailed, true);
    });
  });

  it("looks at liveness first when a period is over, after the initial delay", async () => {
    const livenessProbe = { ...command("live"), periodSeconds: 10, initialDelaySeconds: 15 };
    await withProbes({ livenessProbe }, async ({ clock, ran }) => {
      await clock.advance(30_000);
      assert.deepEqual(ran, ["live 20", "live 30"]);
    });
  });

  it("has one look under way at most", async () => {
    const answer = Promise.withResolvers<number>();
    const livenessProbe = { ...command("hangs"), periodSeconds: 1, timeoutSeconds: 5 };
    await withProbes({ livenessProbe }, async ({ clock, ran, hanging }) => {
      hanging.set("hangs", answer.promise);
      await clock.advance(3_000);
      assert.deepEqual(ran, ["hangs 1"]);
      answer.resolve(0);
      await clock.advance(1_000);
      assert.deepEqual(ran, ["hangs 1", "hangs 4"]);
    });
  });

  it("keeps readiness and liveness waiting until the startup probe has succeeded", async () => {
    const container = {
      startupProbe: { ...command("startup"), periodSeconds: 5, failureThreshold: 3 },
      readinessProbe: command("ready"),
      livenessProbe: command("live"),
    };
    await withProbes(container, async ({ probes, clock, ran }) => {
      assert.equal(probes.started, true);
      assert.deepEqual(ran, ["startup 0", "ready 0"]);
      await clock.advance(10_000);
      assert.deepEqual(ran.slice(2), ["ready 10", "live 10"]);
    });
  });

  it("counts failures up to the threshold before it gives up on a container", async () => {
    const livenessProbe = { ...command("live"), periodSeconds: 10, failureThreshold: 3 };
    await withProbes({ livenessProbe }, async ({ probes, clock, codes, ran }) => {
      codes.set("live", 1);
      await clock.advance(20_000);
      assert.equal(probes.livenessFailed, false);
      await clock.advance(10_000);
      assert.equal(probes.livenessFailed, true);
      await clock.advance(60_000);
      assert.equal(ran.length, 3);
    });
  });

  it("waits for the initial delay", async () => {
    const readinessProbe = { ...command("ready"), initialDelaySeconds: 30, periodSeconds: 10 };
    await withProbes({ readinessProbe }, async ({ probes, clock, ran }) => {
      await clock.advance(29_000);
      assert.deepEqual([probes.ready, ran], [false, []]);
      await clock.advance(1_000);
      assert.deepEqual([probes.ready, ran], [true, ["ready 30"]]);
    });
  });

  it("needs as many successes as the threshold says", async () => {
    const readinessProbe = { ...command("ready"), periodSeconds: 10, successThreshold: 3 };
    await withProbes({ readinessProbe }, async ({ probes, clock }) => {
      await clock.advance(10_000);
      assert.equal(probes.ready, false);
      await clock.advance(10_000);
      assert.equal(probes.ready, true);
    });
  });

  it("keeps a container ready that was so before the agent started, until a probe says otherwise", async () => {
    const readinessProbe = { ...command("ready"), periodSeconds: 10, failureThreshold: 1, initialDelaySeconds: 5 };
    await withProbes(
      { readinessProbe },
      async ({ probes, clock, codes }) => {
        codes.set("ready", 1);
        assert.equal(probes.ready, true);
        await clock.advance(9_999);
        assert.equal(probes.ready, true);
        await clock.advance(1);
        assert.equal(probes.ready, false);
      },
      { started: true, ready: true },
    );
  });

  it("counts regular looks and good ones, until the pod is gone", async () => {
    const readinessProbe = { ...command("slow"), periodSeconds: 10, failureThreshold: 1 };
    await withProbes({ readinessProbe }, async ({ clock, codes, metrics }) => {
      await clock.advance(10_000);
      codes.set("slow", 0);
      await clock.advance(20_000);

      const names = 'container="main",namespace="default",pod="web"';
      const lines = metrics.text().split("\n");
      const count = (result: string) =>
        `prober_probe_total{${names},pod_uid="uid-web",probe_type="Readiness",result="${result}"}`;
      assert.ok(lines.includes(`${count("failed")} 1`));
      assert.ok(lines.includes(`${count("successful")} 2`));
      assert.ok(lines.includes(`prober_probe_duration_seconds_count{${names},probe_type="Readiness"} 2`));
      metrics.forget("uid-web");
      assert.equal(metrics.text(), "");
    });
  });

  it("does not restart what is being deleted", async () => {
    const livenessProbe = { ...command("live"), periodSeconds: 1, failureThreshold: 1 };
    await withProbes({ livenessProbe }, async ({ probes, clock, codes }) => {
      probes.quieten();
      codes.set("live", 1);
      await clock.advance(5_000);
      assert.equal(probes.livenessFailed, false);
    });
  });
});
