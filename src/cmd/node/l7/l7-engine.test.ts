import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { FakeClock, systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { openHeldListener, releaseHeldListeners } from "#linux/held-sockets.ts";
import { loadLibc } from "#linux/libc.ts";
import type { NodeListener } from "#network/ingress/node-listeners.ts";
import type { ConfigChange } from "#proxy/config/route-source.ts";
import { L7Engine } from "./l7-engine.ts";

const libc = await loadLibc();
const address = "127.1.2.4";

type House = { readonly engine: L7Engine; readonly told: (readonly NodeListener[])[]; readonly released: string[] };

function start(t: TestContext, clock = systemClock): House {
  const name = (listener: string) => `/test/${process.pid}/l7/${listener}`;
  const told: (readonly NodeListener[])[] = [];
  const released: string[] = [];
  const release = (listener: string) => {
    released.push(listener);
    releaseHeldListeners(name(listener));
  };
  const engine = new L7Engine({
    async open(listener) {
      const ports = listener === "http" ? [15_480, 15_481] : [15_443];
      const held = openHeldListener(libc, { name: name(listener), address, ports });
      return held === undefined ? [] : [{ ...held, address }];
    },
    release,
    onListening: (addresses) => told.push(addresses),
    clock,
    logger: silentLogger,
  });
  t.after(async () => {
    release("http");
    release("https");
    await engine.stop();
  });
  return { engine, told, released };
}

function says(host: string, body: string): ConfigChange {
  const rules = [{ action: { kind: "respond", status: 200, body } as const }];
  return { set: { kind: "route", config: { name: body, listeners: ["http", "https"], hosts: [host], rules } } };
}

async function ask(path = "/"): Promise<string> {
  const answer = await fetch(`http://${address}:15480${path}`, { headers: { connection: "close" } });
  return `${answer.status} ${(await answer.text()).trim()}`;
}

describe("the node's L7 engine", () => {
  test("listens once all who have joined are ready, and closes when nobody wants it", async (t) => {
    const { engine, told, released } = start(t);
    const [one, two] = [engine.join("one", { shared: ["http"] }), engine.join("two", { shared: ["http", "https"] })];
    await engine.apply([says(address, "hello")]);
    await one.ready();
    assert.deepEqual(told, []);
    await two.ready();

    assert.deepEqual(told.at(-1), [{ address, httpPort: 15_480, httpsPort: 15_443 }]);
    assert.equal(await ask(), "200 hello");
    await two.leave();
    assert.deepEqual([released, told.at(-1)], [["https"], [{ address, httpPort: 15_480 }]]);
    await one.leave();
    assert.deepEqual([released, told.at(-1)], [["https", "http"], []]);
    await assert.rejects(ask());
  });

  test("does not wait for ever for one that knows nothing yet", async (t) => {
    const clock = new FakeClock();
    const { engine, told } = start(t, clock);
    engine.join("late", { shared: ["http"] });
    await engine.join("ready", { shared: ["http"] }).ready();
    assert.deepEqual(told, []);
    await clock.advance(3000);

    await engine.join("third", { shared: ["http"] }).ready();
    assert.deepEqual(told, [[{ address, httpPort: 15_480 }]]);
  });

  test("opens and closes what only one source wants with it", async (t) => {
    const { engine } = start(t);
    const own = { name: "own", address: { host: address, port: 15_480 } };
    const seat = engine.join("one", { shared: [], own: [own] });
    await seat.ready();
    assert.match(await ask(), /^404/);
    await seat.leave();

    await assert.rejects(ask());
  });
});
