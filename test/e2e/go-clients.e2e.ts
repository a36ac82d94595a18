/**
 * Programs in Go, as people write them: one on client-go, step by step, and an operator on controller-runtime that runs in the cluster, with webhooks that default, validate and convert,
 * and an aggregated API. They are built here; skipped with a line where Go is missing.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { dirname } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ClusterStatus } from "#cli/machine.ts";
import {
  canRunContainers,
  eventually,
  loadExampleImages,
  run,
  startCluster,
  type TestCluster,
} from "../support/cluster.ts";
import { buildGoPrograms, layoutOf } from "../support/go-programs.ts";

const programs = canRunContainers() ? buildGoPrograms() : { missing: "needs root, conmon and crun or runc" };
const skip = programs.missing ?? false;

const operatorManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: operator}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: operator, namespace: operator}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: operator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: operator, namespace: operator}]
---
apiVersion: v1
kind: Service
metadata: {name: operator, namespace: operator}
spec:
  selector: {app: operator}
  ports: [{name: webhooks, port: 443, targetPort: 9443}, {name: api, port: 8443, targetPort: 8443}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: operator, namespace: operator}
spec:
  selector: {matchLabels: {app: operator}}
  template:
    metadata: {labels: {app: operator}}
    spec:
      serviceAccountName: operator
      securityContext: {runAsNonRoot: true}
      containers:
      - name: operator
        image: test/operator:1
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
        livenessProbe: {httpGet: {path: /healthz, port: 8081}}
        readinessProbe: {httpGet: {path: /readyz, port: 8081}, periodSeconds: 1}
`;

const site = (name: string, pages: string, more = "") => `
apiVersion: web.example.com/v1
kind: Site
metadata: {name: ${name}, namespace: default${more}}
spec: {pages: ${pages}}
`;

describe("programs in Go", { skip }, () => {
  let cluster: TestCluster;
  const kubectl = async (args: string, input?: string): Promise<string> =>
    (await cluster.kubectl(args.split(" "), input === undefined ? {} : { input })).stdout;
  const fails = async (args: string, input?: string): Promise<string> => {
    const options = { mayFail: true, ...(input === undefined ? {} : { input }) };
    const { code, stderr } = await cluster.kubectl(args.split(" "), options);
    assert.notEqual(code, 0);
    return stderr;
  };
  const environment = () => ({ ...cluster.environment, CONTEXT: cluster.context });
  const client = (...args: string[]) =>
    run(programs.missing === undefined ? programs.client : "", args, { environment: environment(), timeoutMs: 60_000 });
  const statusOf = async (): Promise<ClusterStatus> =>
    JSON.parse(
      (await cluster.nodeless(["status", "--name", "go", "-o", "json"], { mayFail: true })).stdout,
    ) as ClusterStatus;

  before(async () => {
    cluster = await startCluster("go");
    await loadExampleImages(cluster, ["nginx:1.16.0"]);
    const layout = await layoutOf("test/operator:1", programs.missing === undefined ? programs.operator : "");
    await cluster.nodeless(["image", "load", layout]);
    rmSync(dirname(layout), { recursive: true });
    await kubectl("run web --image=nginx:1.16.0");
    await kubectl("wait pod/web --for=condition=Ready --timeout=30s");
  });

  after(async () => {
    await cluster?.remove();
  });

  describe("client-go", () => {
    for (const step of [
      "informers",
      "watch-list",
      "protobuf",
      "dynamic",
      "metadata",
      "discovery",
      "apply",
      "scale",
      "leader-election",
    ])
      test(step, async () => assert.match((await client(step)).stdout, /^ok$/m));

    for (const transport of ["websocket", "spdy"])
      for (const step of ["exec", "port-forward"])
        test(`${step} over ${transport}`, async () => {
          assert.match((await client(step, "web", transport)).stdout, /^ok$/m);
        });

    test("informers live through the death of the control plane", async () => {
      const child = spawn(programs.missing === undefined ? programs.client : "", ["survive"], { env: environment() });
      let text = "";
      child.stdout.on("data", (part: Buffer) => (text += String(part)));
      const ended = once(child, "exit");
      await eventually("the informer has synced", async () => text.includes("synced"), 20_000);
      const before = (await statusOf()).processes.find(({ role }) => role === "control-plane")?.pid ?? 0;
      process.kill(before, "SIGKILL");
      await eventually("another control plane", async () => {
        const { isReady, processes } = await statusOf();
        return isReady && processes.every(({ pid }) => pid !== before);
      });
      await kubectl("create configmap after-restart");

      const [code] = (await ended) as [number | null];
      assert.equal(code, 0, text);
      assert.match(text, /^ok$/m);
    });
  });

  describe("an operator", () => {
    before(async () => {
      await kubectl("apply -f -", operatorManifest);
      await kubectl("-n operator rollout status deployment/operator --timeout=60s");
    });

    test("it leads, and its webhooks fill in and refuse", async () => {
      assert.match(
        await kubectl("-n operator get lease operator.web.example.com -o jsonpath={.spec.holderIdentity}"),
        /^operator-/,
      );
      await kubectl("apply -f -", site("home", "[{name: index, text: hello}]"));

      assert.equal(await kubectl("get site home -o jsonpath={.spec.theme}"), "plain");
      assert.match(
        await fails("apply -f -", site("bad", '[{name: index, text: "<script>"}]')),
        /admission webhook "validate.web.example.com" denied the request: page index has a script/,
      );
      const empty = await cluster.kubectl(["apply", "-f", "-"], {
        input: site("empty", "[]", ", labels: {keep: 'yes'}"),
      });
      assert.match(empty.stderr, /Warning: a site without pages/);
      assert.match(await fails("delete site empty"), /site empty is to be kept/);
    });

    test("it publishes: owned objects, status, columns, events", async () => {
      await kubectl("wait site/home --for=condition=Ready --timeout=20s");

      assert.equal(await kubectl("get configmap home-pages -o jsonpath={.data.index}"), "hello");
      assert.equal(await kubectl("get configmap home-pages -o jsonpath={.metadata.ownerReferences[0].kind}"), "Site");
      assert.match(await kubectl("get st home"), /NAME\s+THEME\s+PAGES\s+READY\s*\nhome\s+plain\s+1\s+True/);
      assert.match(await kubectl("events --for site/home"), /Normal\s+Published\s+Site\/home\s+pages were created/);
    });

    test("both versions are one object, and the older one can be written", async () => {
      assert.equal(await kubectl("get sites.v1beta1.web.example.com home -o jsonpath={.spec.pages}"), "index=hello");
      const old =
        'apiVersion: web.example.com/v1beta1\nkind: Site\nmetadata: {name: old, namespace: default}\nspec: {pages: "a=1\\nb=2"}\n';
      await kubectl("create -f -", old);

      assert.equal(await kubectl("get site old -o jsonpath={.spec.pages[*].name}"), "a b");
      // The webhooks' rules name v1 only; matchPolicy Equivalent shows them this write, in v1.
      assert.equal(await kubectl("get site old -o jsonpath={.spec.theme}"), "plain");
      assert.match(
        await fails("create -f -", old.replace("name: old", "name: bad").replace("b=2", "b=<script>")),
        /page b has a script/,
      );
      await kubectl("wait site/old --for=jsonpath={.status.pageCount}=2 --timeout=20s");
      assert.equal(
        await kubectl('get sites.v1beta1.web.example.com -o jsonpath={.items[?(@.metadata.name=="old")].spec.pages}'),
        "a=1\nb=2",
      );
    });

    test("the operator is stopped, and a new one takes over its work and its webhooks' certificate", async () => {
      await kubectl("-n operator rollout restart deployment/operator");
      await kubectl("-n operator rollout status deployment/operator --timeout=60s");
      await eventually("the site changes", async () => {
        await kubectl("apply -f -", site("home", "[{name: index, text: again}]"));
        return true;
      });

      await eventually(
        "the new one publishes",
        async () => (await kubectl("get configmap home-pages -o jsonpath={.data.index}")) === "again",
      );
    });

    test("a site that goes is archived first, and takes what it owns along", async () => {
      await kubectl("delete site home --timeout=20s");

      assert.equal(await kubectl("get configmap home-archive -o jsonpath={.data.index}"), "again");
      await eventually(
        "what it owned is gone",
        async () => (await kubectl("get configmap home-pages --ignore-not-found")) === "",
      );
    });

    test("its aggregated API is available, discovered, authorized and watched", async () => {
      await kubectl("wait apiservice/v1.clock.example.com --for=condition=Available --timeout=20s");

      assert.match(await kubectl("get apiservice v1.clock.example.com"), /operator\/operator\s+True/);
      assert.match(await kubectl("get tz"), /utc[\s\S]*local/);
      assert.match(
        await kubectl("api-resources --api-group=clock.example.com"),
        /zones\s+tz\s+clock.example.com\/v1\s+false\s+Zone/,
      );
      assert.equal(await kubectl("get zone utc -o jsonpath={.status.groups}"), "system:masters,system:authenticated");
      assert.match(
        await fails("get zones --as=ann"),
        /User "ann" cannot list resource "zones" in API group "clock.example.com"/,
      );
      const events = await kubectl("get --raw /apis/clock.example.com/v1/zones?watch=1");
      assert.equal(events.trim().split("\n").length, 3);
    });

    test("when its server is gone, the API says so and everything else goes on", async () => {
      await kubectl("-n operator scale deployment/operator --replicas=0");
      await kubectl("wait apiservice/v1.clock.example.com --for=condition=Available=False --timeout=40s");

      assert.match(
        await kubectl("get apiservice v1.clock.example.com"),
        /False \((MissingEndpoints|FailedDiscoveryCheck)\)/,
      );
      assert.match(
        await fails("get --raw /apis/clock.example.com/v1/zones"),
        /the server is currently unable to handle the request/,
      );
      // Conversion needs the operator; what is stored so does not.
      assert.match(
        await fails("get sites.v1beta1.web.example.com"),
        /conversion webhook for web.example.com\/v1beta1, Kind=SiteList failed: .*operator/,
      );
      assert.match(await kubectl("get sites.v1.web.example.com -o name"), /site.web.example.com\/old/);
    });
  });
});
