import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import { runAsLeader } from "./leader-election.ts";
import { createClient } from "./rest-client.ts";
import { FakeTransport } from "./testing/fake-transport.ts";
import { settle } from "./testing/settle.ts";

function setUp() {
  const clock = new FakeClock();
  let isCutOff = "";
  const hook = (request: { readonly body?: unknown }) => {
    const body = request.body as { readonly spec?: { readonly holderIdentity?: string } } | undefined;
    if (isCutOff === "" || body?.spec?.holderIdentity !== isCutOff) return;
    throw new StatusError({ reason: "ServiceUnavailable", code: 503, message: "cut off" });
  };
  const client = createClient(new FakeTransport({ clock, hook }));
  const leading: string[] = [];
  const run = (identity: string) => {
    const abort = new AbortController();
    const lead = async (signal: AbortSignal) => {
      leading.push(identity);
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      leading.splice(leading.indexOf(identity), 1);
    };
    const options = { client, clock, logger: silentLogger, namespace: "kube-system", name: "test", identity };
    return { abort, done: runAsLeader(options, lead, abort.signal) };
  };
  const pass = async (seconds: number) => {
    for (let i = 0; i < seconds; i++) {
      await clock.advance(1000);
      await settle(5);
      assert.ok(leading.length <= 1, `${leading.join(" and ")} lead at the same time`);
    }
  };
  return { run, pass, leading, cutOff: (identity: string) => (isCutOff = identity) };
}

test("only one leads, and the next takes over as soon as it gives up", async () => {
  const { run, pass, leading } = setUp();
  const first = run("a");
  await pass(1);
  const second = run("b");
  await pass(60);
  assert.deepEqual(leading, ["a"]);

  first.abort.abort();
  await first.done;
  await pass(4);

  assert.deepEqual(leading, ["b"]);
  second.abort.abort();
  await second.done;
});

test("a leader that cannot renew stops before another one begins", async () => {
  const { run, pass, leading, cutOff } = setUp();
  const first = run("a");
  await pass(1);
  const second = run("b");
  await pass(5);

  cutOff("a");
  await pass(9);
  assert.deepEqual(leading, ["a"]);
  await pass(11);
  await first.done;

  assert.deepEqual(leading, ["b"]);
  second.abort.abort();
  await second.done;
});
