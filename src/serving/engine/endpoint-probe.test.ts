import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { type Clock, systemClock } from "#component-base/clock.ts";
import { EndpointProbes } from "./endpoint-probe.ts";

test("a port that opens is found out within a sixth of the time that it took", async (t) => {
  const waits: number[] = [];
  let nowMs = 0;
  let opened = false;
  const server = createServer();
  t.after(() => server.close());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  const clock: Clock = {
    ...systemClock,
    now: () => nowMs,
    sleep: async (ms) => {
      waits.push(ms);
      nowMs += ms;
      if (nowMs < 70 || opened) return;
      opened = true;
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
    },
  };
  const probes = new EndpointProbes(clock);
  t.after(() => probes.stop());

  await new Promise<void>((resolve) => probes.start("one", { address: "127.0.0.1", port }, resolve));

  assert.ok(nowMs < 84, `open since 70 ms at the latest, found out at ${nowMs}`);
  assert.equal(waits[0], 2);
  assert.ok(waits.length < 25, String(waits.length));
});
