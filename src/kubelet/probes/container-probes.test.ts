import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Container } from "#api/generated/types/core-v1.ts";
import { FakeClock } from "#component-base/clock.ts";
import { podOf } from "#kubelet/testing/engine-house.ts";
import { ContainerProbes } from "./container-probes.ts";

type House = {
  readonly clock: FakeClock;
  readonly probes: ContainerProbes;
  readonly events: string[];
  /** Commands that ran, with the second at which they did. */
  readonly ran: string[];
  /** Exit code of the command of this name. */
  readonly codes: Map<string, number>;
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
  const full = { name: "main", image: "app", ...container };
  const probes = new ContainerProbes({
    pod: podOf("web", [full]),
    container: full,
    target: {
      container: full,
      podIP: () => "127.0.0.1",
      exec: async ([name = ""]) => {
        ran.push(`${name} ${(clock.now() - startMs) / 1000}`);
        return { exitCode: codes.get(name) ?? 0, output: "out" };
      },
    },
    startedMs: startMs,
    before,
    events: { pod: (_pod, type, reason, message) => events.push(`${type} ${reason} ${message}`), node() {} },
    clock,
    onChange: () => {},
  });
  probes.start();
  await clock.advance(0);
  try {
    await body({ clock, probes, events, ran, codes });
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

  it("looks at readiness at once, and again soon while it is not ready", async () => {
    await withProbes(
      { readinessProbe: { ...command("ready"), periodSeconds: 10 } },
      async ({ probes, clock, codes, events, ran }) => {
        assert.equal(probes.ready, true);
        codes.set("ready", 1);
        await clock.advance(10_000);
        await clock.advance(20_000);
        assert.equal(probes.ready, false);
        assert.ok(events.every((event) => event === "Warning Unhealthy Readiness probe failed: out"));
        assert.equal(ran[0], "ready 0");
      },
    );
  });

  it("becomes ready by an extra look long before the period is over, which makes no event", async () => {
    const readinessProbe = { ...command("slow"), periodSeconds: 10 };
    await withProbes({ readinessProbe }, async ({ probes, clock, codes, events }) => {
      assert.equal(probes.ready, false);
      assert.equal(events.length, 1);

      await clock.advance(200);
      assert.equal(probes.ready, false);
      codes.set("slow", 0);
      await clock.advance(400);

      assert.equal(probes.ready, true);
      assert.equal(events.length, 1);
    });
  });

  it("keeps readiness and liveness waiting until the startup probe has succeeded", async () => {
    const container = {
      startupProbe: { ...command("startup"), periodSeconds: 5, failureThreshold: 3 },
      readinessProbe: command("ready"),
      livenessProbe: command("live"),
    };
    await withProbes(container, async ({ probes, ran }) => {
      assert.equal(probes.started, true);
      assert.deepEqual(ran.slice(0, 1), ["startup 0"]);
      assert.deepEqual([...new Set(ran.map((it) => it.split(" ")[0]))].sort(), ["live", "ready", "startup"]);
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
      assert.equal(ran.length, 4);
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
        await clock.advance(5_000);
        assert.equal(probes.ready, false);
      },
      { started: true, ready: true },
    );
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
