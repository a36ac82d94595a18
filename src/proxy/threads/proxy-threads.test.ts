import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { silentLogger } from "#component-base/logger.ts";
import { metricText } from "#component-base/metrics.ts";
import type { EndpointConfig } from "#proxy/config/cluster.ts";
import type { HeldRequest, HoldVerdict } from "#proxy/config/hold.ts";
import type { Resource } from "#proxy/config/route-source.ts";
import { RawClient } from "#proxy/testing/raw-client.ts";
import { until } from "#proxy/testing/test-proxy.ts";
import { plainResponse, TestUpstream } from "#proxy/testing/upstream.ts";
import { ProxyThread } from "./proxy-thread.ts";
import { ProxyThreads } from "./proxy-threads.ts";

const get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

function cluster({ endpoint }: { readonly endpoint: EndpointConfig | undefined }): Resource {
  return { kind: "cluster", config: { name: "c", endpoints: endpoint === undefined ? [] : [endpoint] } };
}

function route(hold?: string): Resource {
  const backend = hold === undefined ? { cluster: "c" } : { cluster: "c", hold };
  const rules = [{ action: { kind: "forward", backends: [backend] } as const }];
  return { kind: "route", config: { name: "r", listeners: ["l"], hosts: ["*"], rules } };
}

async function ask(threads: ProxyThreads): Promise<string> {
  const client = await RawClient.open(threads.portOf("l"));
  client.send(get);
  const text = await client.until("end");
  client.close();
  return text;
}

type Held = { readonly signal: AbortSignal; go(verdict: HoldVerdict): void };

// One start for all: threads cost more than what is tried on them.
test("the engine on two threads", async (t: TestContext) => {
  const upstream = await TestUpstream.answering(plainResponse("hi"));
  t.after(() => upstream.stop());
  const held: Held[] = [];
  const admit = (_request: HeldRequest, signal: AbortSignal) =>
    new Promise<HoldVerdict>((go) => held.push({ signal, go }));
  const started: ProxyThread[] = [];
  const threads = new ProxyThreads({
    threads: 2,
    log: silentLogger,
    holds: new Map([["h", { admit }]]),
    startThread: (...parts) => {
      const thread = new ProxyThread(...parts);
      started.push(thread);
      return thread;
    },
  });
  t.after(() => threads.stop(0));
  threads.start();
  const config = { name: "l", address: { host: "127.0.0.1", port: 0 } };
  assert.deepEqual(await threads.apply([{ set: { kind: "listener", config } }]), []);

  await t.test("both serve one port, and their counts are added up", async () => {
    await threads.apply([{ set: cluster(upstream) }, { set: route() }]);
    const answers = await Promise.all(Array.from({ length: 40 }, () => ask(threads)));

    assert.ok(answers.every((text) => text.endsWith("hi")));
    const [load] = await threads.takeLoads();
    assert.deepEqual([load?.cluster, load?.requests, load?.concurrency], ["c", 40, 0]);
    const text = metricText(await threads.metrics());
    assert.match(text, /requests_total\{listener="l",route="r",cluster="c",code="200"\} 40\n/);
  });

  await t.test("problems are told once, and what is refused reaches no other thread", async () => {
    const bad: Resource = { kind: "cluster", config: { name: "d", endpoints: [{ address: "nowhere", port: 1 }] } };

    const problems = [{ kind: "cluster", name: "d", message: "nowhere is no IP address" }];
    assert.deepEqual(await threads.apply([{ set: bad }]), problems);
  });

  await t.test("a hold of the main thread keeps requests of all, and hears when they go", async () => {
    await threads.apply([{ set: route("h") }, { set: cluster({ endpoint: undefined }) }]);
    const answers = Promise.all(Array.from({ length: 10 }, () => ask(threads)));
    await until(() => held.length === 10);
    const gone = await RawClient.open(threads.portOf("l"));
    gone.send(get);
    await until(() => held.length === 11);
    gone.close();
    await until(() => held[10]?.signal.aborted === true);
    await threads.apply([{ set: cluster(upstream) }]);
    for (const { go } of held) go({ kind: "go" });

    assert.ok((await answers).every((text) => text.endsWith("hi")));
  });

  await t.test("a thread that dies is started again and told what is in force", async () => {
    await threads.apply([{ set: route() }]);
    await started[0]?.end();
    await until(() => started.length === 3);
    assert.deepEqual(await threads.apply([{ set: cluster(upstream) }]), []);

    assert.match(await ask(threads), /hi$/);
  });
});
