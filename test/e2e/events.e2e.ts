/**
 * Events as a person uses them: the order flow of examples/events through a Broker, its filters, replies and dead letters; a channel and a flow; and what goes on when processes are killed. All in one cluster.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ClusterStatus } from "#cli/machine.ts";
import { canRunContainers, eventually, repository, startCluster, type TestCluster } from "../support/cluster.ts";
import { ask } from "../support/knative.ts";
import { type CollectedSpan, SpanCollector } from "../support/span-collector.ts";

const skip = canRunContainers() ? false : "needs root, conmon and crun or runc";
const name = "events-e2e";
const messaging = "messaging.knative.dev/v1";

type Place = { readonly host: string; readonly path: string };
const orders: Place = { host: "broker-ingress.knative-eventing.svc.cluster.local", path: "/default/orders" };

describe("events", { skip }, () => {
  let cluster: TestCluster;
  let collector: SpanCollector;
  let ingress: string;
  const kubectl = async (...args: readonly string[]) => (await cluster.kubectl(args)).stdout;
  const apply = (objects: readonly object[]) =>
    cluster.kubectl(["apply", "-f", "-"], {
      input: JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }),
    });
  const ready = (what: string, count: number) =>
    eventually(`${count} of ${what} are ready`, async () => {
      const path = "jsonpath={range .items[*]}{.status.conditions[?(@.type=='Ready')].status} {end}";
      return (await kubectl("get", what, "-o", path)).split(" ").filter((one) => one === "True").length === count;
    });
  const logOf = async (fn: string) => (await cluster.nodeless(["fn", "logs", fn, "--name", name])).stdout;
  const logged = (fn: string, line: RegExp) =>
    eventually(`${fn} has logged ${line}`, async () => line.test(await logOf(fn)));
  /** Sends an event and gives the answer's status. */
  const send = async (place: Place, subject: string, data: object, type = "order.created"): Promise<number> => {
    const headers = {
      "ce-specversion": "1.0",
      "ce-id": randomUUID(),
      "ce-source": "/shop",
      "ce-type": type,
      "ce-subject": subject,
      "content-type": "application/json",
    };
    const { host, path } = place;
    const answer = await ask(ingress, { host, path, method: "POST", headers, body: JSON.stringify(data) });
    return answer.status;
  };
  const pidOf = async (role: string) => {
    const { stdout } = await cluster.nodeless(["status", "--name", name, "-o", "json"]);
    const found = (JSON.parse(stdout) as ClusterStatus).processes.find((one) => one.role === role);
    if (found?.pid === undefined) throw new Error(`there is no process ${role}`);
    return found.pid;
  };

  before(async () => {
    collector = await SpanCollector.start();
    cluster = await startCluster(name, { environment: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } });
    await eventually("the kinds are there", async () => {
      const known = await kubectl("api-resources", "-o", "name");
      return known.includes("triggers.eventing.knative.dev") && known.includes("functions.nodeless.dev");
    });
  });
  after(async () => {
    await cluster.remove();
    await collector.close();
  });

  test("an order flow is applied in one go, and kubectl shows it", async () => {
    await eventually("the example is taken", async () => {
      const example = join(repository, "examples/events/orders");
      return (await cluster.kubectl(["apply", "-f", example], { mayFail: true })).code === 0;
    });
    await ready("trigger", 3);
    ingress = await kubectl(
      "-n",
      "knative-eventing",
      "get",
      "svc",
      "broker-ingress",
      "-o",
      "jsonpath={.spec.clusterIP}",
    );

    const shown = await kubectl("get", "broker,trigger");
    assert.match(
      shown,
      /NAME +URL +AGE +READY +REASON\nbroker\.eventing\.knative\.dev\/orders +http:\/\/broker-ingress\.knative-eventing\.svc\.cluster\.local\/default\/orders +\d+s +True/,
    );
    assert.match(
      shown,
      /NAME +BROKER +SUBSCRIBER_URI +AGE +READY +REASON\ntrigger\.eventing\.knative\.dev\/mail +orders +http:\/\/mail\.default\.svc\.cluster\.local +\d+s +True/,
    );
  });

  test("an order is priced, paid and confirmed by functions that know nothing of each other", async () => {
    assert.equal(await send(orders, "ada", { what: "bread", count: 2 }), 202);
    await logged("mail", /mail to ada: order\.paid 2 bread/);
  });

  test("one trace goes from a request through every event and function that it caused", async () => {
    const [traceId, root] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];
    const headers = {
      "ce-specversion": "1.0",
      "ce-id": "traced",
      "ce-source": "/shop",
      "ce-type": "order.created",
      "ce-subject": "tina",
      "content-type": "application/json",
      traceparent: `00-${traceId}-${root}-01`,
    };
    const body = JSON.stringify({ what: "bread", count: 1 });
    assert.equal((await ask(ingress, { ...orders, method: "POST", headers, body })).status, 202);
    const named = (name: string) => collector.spans.find((span) => span.traceId === traceId && span.name === name);
    await eventually("the last step is told of", async () => named("trigger:mail.default") !== undefined);
    await eventually("the nodes have told of theirs", async () => {
      const steps = ["pricing", "payment", "mail"].map((one) => named(`trigger:${one}.default`)?.spanId);
      return steps.every((id) =>
        collector.spans.some((span) => span.parentSpanId === id && span.by === "nodeless-node"),
      );
    });

    const spans = collector.spans.filter((span) => span.traceId === traceId);
    const byId = new Map(spans.map((span) => [span.spanId, span]));
    const way = (span: CollectedSpan | undefined): readonly string[] =>
      span === undefined ? [] : [...way(byId.get(span.parentSpanId ?? "")), span.name];

    assert.deepEqual(way(named("trigger:mail.default")), [
      "broker:orders.default",
      "trigger:pricing.default",
      "trigger:payment.default",
      "trigger:mail.default",
    ]);
    assert.equal(named("broker:orders.default")?.parentSpanId, root);
    const torn = spans.filter(({ parentSpanId = "" }) => parentSpanId !== root && !byId.has(parentSpanId));
    assert.deepEqual(torn, []);
  });

  test("filters decide who gets what", async () => {
    assert.equal(await send(orders, "rich", { what: "yacht", count: 1 }), 202);
    assert.equal(await send(orders, "bob", { what: "unicorn", count: 1 }), 202);
    await logged("mail", /mail to bob: order\.rejected 1 unicorn/);
    await logged("pricing", /order\.priced 1 yacht/);

    assert.doesNotMatch(await logOf("payment"), /9900000/, "what costs too much is nobody's");
  });

  test("what nobody takes is tried again, and ends at the dead-letter sink with what went wrong", async () => {
    assert.equal(await send(orders, "eve", { what: "teapot", count: 1 }), 202);
    await logged("undeliverable", /given up: order\.priced for eve, answered 500/);

    assert.equal((await logOf("payment")).split("the bank does not answer").length - 1, 3);
  });

  test("a Sequence and a Channel lead to functions as well", async () => {
    const fn = (title: string) => ({ ref: { apiVersion: "nodeless.dev/v1alpha1", kind: "Function", name: title } });
    const steps = [fn("pricing"), fn("payment")];
    const channel = { apiVersion: messaging, kind: "Channel", name: "letters" };
    await apply([
      { apiVersion: messaging, kind: "Channel", metadata: { name: "letters" } },
      {
        apiVersion: messaging,
        kind: "Subscription",
        metadata: { name: "letters" },
        spec: { channel, subscriber: fn("mail") },
      },
      {
        apiVersion: "flows.knative.dev/v1",
        kind: "Sequence",
        metadata: { name: "direct" },
        spec: { steps, reply: { ref: channel } },
      },
    ]);
    await ready("sequence", 1);
    await ready("subscription", 3);
    const url = new URL(await kubectl("get", "sequence", "direct", "-o", "jsonpath={.status.address.url}"));

    assert.equal(await send({ host: url.host, path: "/" }, "flo", { what: "apple", count: 3 }), 202);
    await logged("mail", /mail to flo: order\.paid 3 apple/);
  });

  test("what was answered 202 arrives, whoever is killed", async () => {
    assert.equal(await send(orders, "killed-dispatcher", { what: "bread", count: 1 }), 202);
    process.kill(await pidOf("eventing"), "SIGKILL");
    await logged("mail", /mail to killed-dispatcher: order\.paid/);

    const controlPlane = await pidOf("control-plane");
    process.kill(controlPlane, "SIGKILL");
    assert.equal(await send(orders, "killed-control-plane", { what: "bread", count: 1 }), 202);
    await eventually("the control plane is back", async () => (await pidOf("control-plane")) !== controlPlane);
    await logged("mail", /mail to killed-control-plane: order\.paid/);
  });

  test("an event that is none, and objects that cannot be, are refused", async () => {
    const none = await ask(ingress, { ...orders, method: "POST", body: "{}" });
    const unknown = await send({ ...orders, path: "/default/nobody" }, "x", {});
    const get = await ask(ingress, orders);
    const patch = JSON.stringify({ spec: { filters: [{ cesql: "type =" }] } });
    const refused = await cluster.kubectl(["patch", "trigger", "mail", "--type", "merge", "-p", patch], {
      mayFail: true,
    });

    assert.deepEqual([none.status, unknown, get.status], [400, 404, 405]);
    assert.match(
      refused.stderr,
      /admission webhook "validation\.webhook\.eventing\.knative\.dev" denied the request: validation failed: invalid value: type =: spec\.filters\[0\]\.cesql/,
    );
  });
});
