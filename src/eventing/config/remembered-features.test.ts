import assert from "node:assert/strict";
import { it } from "node:test";
import { createInformerFactory } from "#client/informer-factory.ts";
import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { MemoryDisk } from "#disk/testing/memory-disk.ts";
import { TestEventing } from "#eventing/testing/test-eventing.ts";
import { until } from "#eventing/dispatcher/testing/house.ts";
import { createEventingConfigStore } from "./config-store.ts";
import { RememberedFeatures } from "./remembered-features.ts";

it("what was on last is on while nobody can be asked", async (t) => {
  const eventing = await TestEventing.start();
  t.after(() => eventing.stop());
  await eventing.configure("config-features", { "authentication-oidc": "enabled" });
  const folder = new MemoryDisk();
  const { signal } = new AbortController();
  const open = () => {
    const informers = createInformerFactory({ client: eventing.client, clock: systemClock, logger: silentLogger });
    t.after(() => informers.stop());
    const config = createEventingConfigStore(informers, silentLogger);
    return { informers, remembered: new RememberedFeatures({ folder, config, logger: silentLogger }) };
  };

  const first = open();
  await first.remembered.restore();
  const before = first.remembered.current.authenticationOidc;
  const end = first.remembered.follow(signal);
  await first.informers.start(signal);
  const written = () => folder.names.get("features.json")?.content.toString() ?? "";
  await until(() => written().includes('"authenticationOidc":true'), "the file");
  await end();
  const second = open();
  const unread = second.remembered.current.authenticationOidc;
  await second.remembered.restore();

  assert.deepEqual([before, unread, second.remembered.current.authenticationOidc], [false, false, true]);
});
