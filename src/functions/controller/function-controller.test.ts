import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import { startTestApiServer, type TestApiServer } from "#apiserver/testing/test-api-server.ts";
import { installDefinitions } from "#client/custom-resources.ts";
import { createInformerFactory, type InformerFactory } from "#client/informer-factory.ts";
import { type Clock, systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import type { Removal } from "#functions/build/kept-images.ts";
import type { BuildJob, BuildOutcome } from "#functions/build/job.ts";
import { functionDefinition } from "#functions/crds/function-definition.ts";
import { type FunctionObject, functions } from "#api/nodeless/function.ts";
import { configMaps, type KnativeService, knativeServices } from "#functions/kinds.ts";
import type { NamedController } from "#client/controller.ts";
import type { Condition } from "#knative/duck.ts";
import { createFunctionController } from "./function-controller.ts";

type Job = Omit<BuildJob, "work">;

describe("the controller of Functions", () => {
  let api: TestApiServer;
  let informers: InformerFactory;
  let controller: NamedController;
  const { signal } = new AbortController();
  const jobs: Job[] = [];
  const events: string[] = [];
  /** By repository. */
  const outcomes = new Map<string, (job: Job) => Promise<BuildOutcome>>();
  const settings = {
    imageStore: "/none",
    cluster: "test",
    buildah: { program: undefined, folder: "/none", searchPath: "" },
    bases: { node: "node", python: "python" },
    mostSourceBytes: 1,
  };
  /** What waits for long; tests let it happen. */
  const late: (() => void)[] = [];
  const clock: Clock = {
    ...systemClock,
    setTimer(delayMs, callback) {
      if (delayMs < 1000) return systemClock.setTimer(delayMs, callback);
      late.push(callback);
      return { clear() {} };
    },
  };
  const removals: string[] = [];
  let keptIs: Removal = "removed";
  const makeController = () =>
    createFunctionController({
      client: api.client,
      informers,
      recorderFor: () => ({ record: (_about, { reason }) => events.push(reason) }),
      clock,
      logger: silentLogger,
      settings: () => settings,
      kept: { list: async () => [], remove: async ({ name }) => (removals.push(name), keptIs) },
      async build(job, { listener }) {
        jobs.push(job);
        listener.onFetched?.();
        listener.onLine("Bundling index.ts");
        return (await outcomes.get(job.repository)?.(job)) ?? { image: `localhost:5000/${job.repository}@sha256:1` };
      },
    });

  before(async () => {
    api = await startTestApiServer();
    const { client } = api;
    await installDefinitions(client, [functionDefinition(), looseDefinition()], { clock: systemClock, signal });
    informers = createInformerFactory({ client, clock: systemClock, logger: silentLogger });
    await informers.start(signal);
    controller = makeController();
    await controller.start(signal);
  });
  after(async () => {
    await controller.stop();
    await informers.stop();
    await api.stop();
  });

  const create = (name: string, spec: object) =>
    api.client.create<FunctionObject>({ resource: functions, namespace: "default" }, {
      apiVersion: "nodeless.dev/v1alpha1",
      kind: "Function",
      metadata: { name },
      spec,
    } as FunctionObject);
  const patch = (name: string, body: object) =>
    api.client.patch<FunctionObject>({ resource: functions, namespace: "default", name }, { type: "merge", body });
  const inline = (text: string) => ({ source: { inline: { files: { "index.ts": text } } } });
  const condition = ({ status }: FunctionObject, wanted: string): Partial<Condition> => {
    const found = status?.conditions?.find(({ type }) => type === wanted);
    if (found === undefined) return {};
    const { lastTransitionTime: _time, type: _type, ...rest } = found;
    return rest;
  };
  async function until(name: string, holds: (fn: FunctionObject) => boolean): Promise<FunctionObject> {
    for (let round = 0; round < 400; round++) {
      const fn = await api.client.get<FunctionObject>({ resource: functions, namespace: "default", name });
      if (holds(fn) && fn.status?.observedGeneration === fn.metadata?.generation) return fn;
      await systemClock.sleep(5);
    }
    throw new Error(`waited in vain for function ${name}`);
  }
  const built = (fn: FunctionObject) => condition(fn, "Built").status === "True";
  const serviceOf = (name: string) =>
    api.client.get<KnativeService & { readonly spec?: { readonly template?: { readonly spec?: object } } }>({
      resource: knativeServices,
      namespace: "default",
      name,
    });
  async function serviceWith(name: string, holds: (service: KnativeService) => boolean): Promise<KnativeService> {
    for (let round = 0; round < 400; round++) {
      const service = await serviceOf(name).catch(() => undefined);
      if (service !== undefined && holds(service)) return service;
      await systemClock.sleep(5);
    }
    throw new Error(`waited in vain for service ${name}`);
  }

  it("builds the source once and makes a Service of the image, whose readiness is the function's", async () => {
    await create("hello", {
      ...inline("1"),
      scale: { window: "6s", max: 3 },
      env: [{ name: "A", value: "b" }],
      secrets: ["keys"],
      timeoutSeconds: 30,
    });
    const service = await serviceWith("hello", () => true);
    const ref = { resource: knativeServices, namespace: "default", name: "hello" };
    const status = {
      observedGeneration: service.metadata?.generation,
      url: "http://hello.test",
      address: { url: "http://hello.default.svc.cluster.local" },
      latestReadyRevisionName: "hello-00001",
      conditions: [{ type: "Ready", status: "True" }],
    };
    await api.client.patch({ ...ref, subresource: "status" }, { type: "merge", body: { status } });
    const fn = await until("hello", (found) => condition(found, "Ready").status === "True");

    assert.equal(fn.status?.url, "http://hello.test");
    assert.equal(fn.status?.address?.url, "http://hello.default.svc.cluster.local");
    assert.equal(fn.status?.image, "localhost:5000/functions/test/default/hello@sha256:1");
    assert.deepEqual(service.spec?.template?.metadata?.annotations, {
      "autoscaling.knative.dev/max-scale": "3",
      "autoscaling.knative.dev/window": "6s",
      "serving.knative.dev/progress-deadline": "180s",
    });
    const { containers, runtimeClassName, timeoutSeconds } = (service.spec?.template?.spec ?? {}) as {
      containers: readonly {
        image: string;
        env: object;
        envFrom: object;
        livenessProbe: { failureThreshold: number };
      }[];
      runtimeClassName: string;
      timeoutSeconds: number;
    };
    assert.deepEqual([runtimeClassName, timeoutSeconds, containers[0]?.image], ["isolate", 30, fn.status?.image]);
    assert.deepEqual(
      [containers[0]?.env, containers[0]?.envFrom],
      [
        [
          { name: "A", value: "b" },
          { name: "NODELESS_TIMEOUT_SECONDS", value: "30" },
        ],
        [{ secretRef: { name: "keys" } }],
      ],
    );
    assert.equal(containers[0]?.livenessProbe.failureThreshold, 4);
    assert.equal(jobs.filter(({ repository }) => repository.endsWith("/hello")).length, 1);
    const log = await api.client.get<KubeObject & { data?: { log?: string } }>({
      resource: configMaps,
      namespace: "default",
      name: "hello-build",
    });
    assert.equal(log.data?.log, "Bundling index.ts\n");
    assert.ok(events.includes("Built"));
  });

  it("builds again when the source changes, not when something else does", async () => {
    await create("again", inline("1"));
    await until("again", built);
    await patch("again", { spec: { concurrency: 5 } });
    await serviceWith("again", ({ spec }) => JSON.stringify(spec?.template?.spec).includes('"containerConcurrency":5'));
    assert.equal(jobs.filter(({ repository }) => repository.endsWith("/again")).length, 1);

    outcomes.set("functions/test/default/again", async () => ({ image: "localhost:5000/again@sha256:2" }));
    await patch("again", { spec: inline("2") });
    const fn = await until("again", (found) => found.status?.image === "localhost:5000/again@sha256:2");
    assert.ok(built(fn));
  });

  it("says the compiler's words when a build fails, keeps what runs, and does not try again, nor after a restart", async () => {
    await create("broken", inline("1"));
    await until("broken", built);
    const before = await serviceWith("broken", () => true);
    const failure = {
      stage: "build",
      reason: "DoesNotCompile",
      message: "index.ts:1:8: Unexpected",
      isPassing: false,
    } as const;
    outcomes.set("functions/test/default/broken", async () => ({ failure }));
    await patch("broken", { spec: { ...inline("x"), concurrency: 9 } });
    const fn = await until("broken", (found) => condition(found, "Built").status === "False");

    const expected = { status: "False", reason: "DoesNotCompile", message: "index.ts:1:8: Unexpected" };
    assert.deepEqual(
      [condition(fn, "Built"), condition(fn, "Ready"), condition(fn, "SourceReady")],
      [expected, expected, { status: "True" }],
    );
    assert.equal(fn.status?.image, "localhost:5000/functions/test/default/broken@sha256:1");
    assert.deepEqual((await serviceOf("broken")).spec, before.spec);

    const count = jobs.length;
    await controller.stop();
    controller = makeController();
    await controller.start(signal);
    await patch("broken", { metadata: { labels: { a: "b" } } });
    await until("broken", (found) => found.metadata?.labels?.["a"] === "b");
    await systemClock.sleep(20);
    assert.equal(jobs.length, count);
  });

  it("tries again what may pass by itself, once for each failure", async () => {
    let tries = 0;
    const failure = { stage: "push", reason: "RegistryMissing", message: "no registry yet", isPassing: true } as const;
    outcomes.set("functions/test/default/passing", async () =>
      ++tries < 2 ? { failure: { ...failure } } : { image: "localhost:5000/passing@sha256:1" },
    );
    await create("passing", inline("1"));
    await until("passing", (found) => condition(found, "Built").status === "False");
    // Looked at again and again meanwhile.
    for (const label of ["a", "b", "c"]) await patch("passing", { metadata: { labels: { label } } });
    assert.equal(tries, 1);
    assert.equal(late.length, 1);
    for (const happen of late.splice(0)) happen();
    await until("passing", built);

    assert.equal(tries, 2);
  });

  it("leaves a Service alone that is somebody else's, and builds nothing until it is gone", async () => {
    const service = {
      apiVersion: "serving.knative.dev/v1",
      kind: "Service",
      metadata: { name: "taken" },
      spec: {},
    } as KubeObject;
    await api.client.create({ resource: knativeServices, namespace: "default" }, service);
    await create("taken", inline("1"));
    const fn = await until("taken", (found) => condition(found, "ServiceReady").status === "False");

    assert.deepEqual(condition(fn, "Ready"), {
      status: "False",
      reason: "NotOwned",
      message: 'There is an existing Service "taken" that we do not own.',
    });
    assert.equal(
      jobs.some(({ repository }) => repository.endsWith("/taken")),
      false,
    );
    await api.client.delete({ resource: knativeServices, namespace: "default", name: "taken" });
    await until("taken", built);
  });

  it("runs an image that is built already, and says what is not enforced there", async () => {
    await create("ready", { runtime: "container", source: { image: "nginx" }, network: { outbound: { allow: [] } } });
    await serviceWith("ready", () => true);
    const fn = await until("ready", (found) => condition(found, "Built").status === "True");

    assert.equal(
      jobs.some(({ repository }) => repository.endsWith("/ready")),
      false,
    );
    assert.equal(condition(fn, "OutboundRulesEnforced").status, "False");
  });

  it("takes what was built along when it is deleted, once no container runs on it; not when it is made again at once", async () => {
    await create("gone", inline("1"));
    await until("gone", built);
    const remove = () => api.client.delete({ resource: functions, namespace: "default", name: "gone" });
    const untilLate = async () => {
      for (let round = 0; round < 400 && late.length === 0; round++) await systemClock.sleep(5);
      for (const happen of late.splice(0)) happen();
      await systemClock.sleep(20);
    };
    late.length = 0;
    keptIs = "inUse";

    await remove();
    await untilLate();
    keptIs = "removed";
    await untilLate();
    assert.deepEqual(removals, ["gone", "gone"]);
    await create("gone", inline("1"));
    await until("gone", built);
    await remove();
    await create("gone", inline("1"));
    await until("gone", built);
    await untilLate();

    assert.deepEqual(removals, ["gone", "gone"]);
    await remove();
  });

  it("is refused when it is wrong", async () => {
    const refused = (spec: object, message: RegExp, name = "wrong") => assert.rejects(create(name, spec), { message });

    await refused({}, /spec\.source: Required value/);
    await refused({ source: {} }, /exactly one of inline, git, artifact and image is required/);
    await refused({ source: { image: "a", inline: { files: { "index.ts": "" } } } }, /exactly one of/);
    await refused({ source: { inline: { files: { "../x": "" } } } }, /relative and lead nowhere else/);
    await refused({ source: { git: { url: "file:///etc" } } }, /spec\.source\.git\.url/);
    await refused({ source: { git: { url: "https://x", revision: "--upload-pack=x" } } }, /revision/);
    const limits = (memory: string) => ({ source: { image: "a" }, resources: { limits: { memory } } });
    await refused(limits("1GB"), /spec\.resources\.limits\.memory/);
    await refused(limits("lots"), /spec\.resources\.limits\.memory/);
    await refused({ source: { image: "a" }, runtime: "java" }, /Unsupported value: "java"/);
    await refused({ source: { image: "a" }, entrypoint: "/etc/passwd" }, /relative and lead nowhere else/);
    await refused({ source: { image: "a" }, scale: { min: 3, max: 1 } }, /scale\.min is larger/);
    for (const window of ["3s", "2h"])
      await refused({ source: { image: "a" }, scale: { window } }, /spec\.scale\.window: .*must be from 6s to 1h/);
    await refused({ source: { image: "a" } }, /DNS-1035 label/, "1.a");
  });
});

/** Knative's Service, as loose as can be: its own schema is Serving's affair. */
function looseDefinition(): KubeObject {
  const keep = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  const definition = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "services.serving.knative.dev" },
    spec: {
      group: "serving.knative.dev",
      scope: "Namespaced",
      names: { kind: "Service", plural: "services" },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: { openAPIV3Schema: { type: "object", properties: { spec: keep, status: keep } } },
        },
      ],
    },
  };
  return definition as KubeObject;
}
