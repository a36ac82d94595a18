import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Ingress, Revision } from "#serving/kinds.ts";
import { clusterOf, revisionHold, revisionsOf, type RevisionView, routesOf } from "./engine-config.ts";
import { RevisionHold } from "./revision-hold.ts";

const listeners = { open: "open", secure: "secure", local: "local" };
const awake: RevisionView = { revision: undefined, endpoints: [{ address: "10.0.0.1", port: 8080 }] };

function ingress(
  paths: NonNullable<Ingress["spec"]>["rules"] extends readonly (infer R)[] | undefined ? R : never,
): Ingress {
  return { metadata: { name: "hello", namespace: "default" }, spec: { rules: [paths] } };
}

function split(revision: string, percent: number): object {
  return {
    serviceName: revision,
    serviceNamespace: "default",
    servicePort: 80,
    percent,
    appendHeaders: { "Knative-Serving-Revision": revision },
  };
}

const two = ingress({
  hosts: ["Hello.default.localhost"],
  visibility: "ExternalIP",
  http: { paths: [{ splits: [split("one", 90), split("two", 10)] as never }] },
});

describe("the engine's routes", () => {
  it("are weighted, say which revision it was, and hold while it has no pod", () => {
    const [route] = routesOf(two, listeners, () => undefined);
    const held = { hold: revisionHold, holds: "unserved" };

    assert.deepEqual(
      [route?.name, route?.listeners, route?.hosts],
      ["serving/default/hello/0", ["open", "local"], ["hello.default.localhost"]],
    );
    const action = route?.rules[0]?.action;
    assert.equal(action?.kind, "forward");
    assert.deepEqual(action?.kind === "forward" ? action.backends : [], [
      {
        cluster: "serving/default/one",
        weight: 90,
        requestFields: { set: [["knative-serving-revision", "one"]] },
        ...held,
      },
      {
        cluster: "serving/default/two",
        weight: 10,
        requestFields: { set: [["knative-serving-revision", "two"]] },
        ...held,
      },
    ]);
    assert.deepEqual(revisionsOf(two), ["default/one", "default/two"]);
  });

  it("of the cluster are not open to others", () => {
    const local = ingress({
      hosts: ["hello.default"],
      visibility: "ClusterLocal",
      http: { paths: [{ splits: [split("one", 100)] as never }] },
    });

    assert.deepEqual(routesOf(local, listeners, () => undefined)[0]?.listeners, ["local"]);
  });

  it("match headers, rewrite hosts, and take the longest of their revisions' times", () => {
    const tagged = ingress({
      hosts: ["a"],
      visibility: "ExternalIP",
      http: {
        paths: [
          {
            headers: { "Knative-Serving-Tag": { exact: "blue" } },
            rewriteHost: "b",
            splits: [split("one", 50), split("two", 50)] as never,
          },
        ],
      },
    });
    const revision = (timeoutSeconds: number): Revision => ({ spec: { containers: [], timeoutSeconds } });
    const [route] = routesOf(tagged, listeners, (key) => revision(key === "default/one" ? 4 : 5));
    const rule = route?.rules[0];

    assert.deepEqual(rule?.matches, [{ fields: [{ name: "knative-serving-tag", kind: "exact", value: "blue" }] }]);
    assert.deepEqual(rule?.rewrite, { authority: "b" });
    assert.deepEqual(rule?.timeouts, { requestMs: 5000 });
  });
});

describe("a revision's cluster", () => {
  it("takes as many requests in each pod as containerConcurrency allows", () => {
    const revision: Revision = {
      spec: { containers: [{ name: "c", ports: [{ name: "h2c", containerPort: 80 }] }], containerConcurrency: 3 },
    };
    const cluster = clusterOf("default", "one", { ...awake, revision });

    assert.deepEqual(
      [cluster.name, cluster.maxRequestsPerEndpoint, cluster.protocol],
      ["serving/default/one", 3, "http2"],
    );
    assert.equal(clusterOf("default", "one", awake).maxRequestsPerEndpoint, undefined);
  });
});

describe("a revision's hold", () => {
  const unserved = {
    isServed: () => false,
    onFirst: () => {},
    onUnreachable: () => {},
    refusalFor: () => undefined,
    onAnswer: () => {},
  };
  const request = { route: "r", cluster: "serving/default/one", method: "GET", authority: "a", target: "/" };

  it("makes one cold start of many requests, and lets all go at once", async () => {
    const first: string[] = [];
    const hold = new RevisionHold({ ...unserved, onFirst: (cluster) => first.push(cluster) });
    const { signal } = new AbortController();
    const held = [1, 2, 3].map(() => hold.admit(request, signal));

    assert.deepEqual([first, hold.heldFor(request.cluster)], [[request.cluster], 3]);
    hold.release(request.cluster);
    assert.deepEqual(await Promise.all(held), [{ kind: "go" }, { kind: "go" }, { kind: "go" }]);
    assert.deepEqual([hold.heldFor(request.cluster), hold.clusters], [0, []]);
  });

  it("forgets a request whose client has gone", async () => {
    const hold = new RevisionHold(unserved);
    const client = new AbortController();
    const held = hold.admit(request, client.signal);
    client.abort();

    assert.equal((await held).kind, "refuse");
    assert.equal(hold.heldFor(request.cluster), 0);
  });

  it("refuses at once where waiting is of no use, and those that wait when it is told so", async () => {
    const refusal = { kind: "refuse", status: 503, message: "no" } as const;
    const known: (typeof refusal)[] = [];
    const hold = new RevisionHold({ ...unserved, refusalFor: () => known[0] });
    const { signal } = new AbortController();
    const held = hold.admit(request, signal);
    known.push(refusal);
    hold.release(request.cluster, refusal);

    assert.deepEqual(await held, refusal);
    assert.deepEqual(await hold.admit(request, signal), refusal);
    assert.equal(hold.heldFor(request.cluster), 0);
  });

  it("keeps nothing for a revision with pods", async () => {
    const hold = new RevisionHold({ ...unserved, isServed: () => true, onFirst: () => assert.fail("nobody waits") });

    assert.deepEqual(await hold.admit(request, new AbortController().signal), { kind: "go" });
  });
});
