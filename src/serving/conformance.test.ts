/**
 * The scenarios of Knative Serving's API conformance tests (test/conformance/api/v1, v1.23), under their names, as far as they are about the API: what answers requests is the
 * data plane's. Test images are played: see testing/test-serving.ts.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import type { Deployment } from "#api/generated/types/apps-v1.ts";
import type { Pod, Service as KubeService } from "#api/generated/types/core-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { findCondition } from "#knative/conditions.ts";
import { kubeServices } from "#knative/kube-services.ts";
import { deployments, pods } from "./common/context.ts";
import {
  type Configuration,
  configurations,
  type Ingress,
  ingresses,
  type Revision,
  revisions,
  type Route,
  routes,
  type Service,
  services,
} from "./kinds.ts";
import { type TestNamespace, TestServing, type TestServingOptions } from "./testing/test-serving.ts";

const apiVersion = "serving.knative.dev/v1";
const pizza1 = "registry.example/pizzaplanetv1";
const pizza2 = "registry.example/pizzaplanetv2";

function serviceOf(
  image: string,
  options: { readonly spec?: object; readonly meta?: object; readonly template?: object } = {},
): object {
  const { spec = {}, meta = {}, template = {} } = options;
  return {
    apiVersion,
    kind: "Service",
    metadata: { name: "hello", ...meta },
    spec: { template: { ...template, spec: { containers: [{ image }], ...spec } } },
  };
}

/** Runs a scenario in a namespace of its own: of the Serving that most share, or of one with other options. */
async function inServing(
  shared: () => TestServing,
  body: (serving: TestNamespace) => Promise<void>,
  options?: TestServingOptions,
): Promise<void> {
  const serving = options === undefined ? shared() : await TestServing.start(options);
  try {
    await body(await serving.namespace(`t${randomUUID().slice(0, 8)}`));
  } finally {
    if (options !== undefined) await serving.stop();
  }
}

function ready(object: Service | Configuration | Revision | Route): string | undefined {
  return findCondition(object.status?.conditions, "Ready")?.status;
}

async function service(serving: TestNamespace, name = "hello"): Promise<Service> {
  return await serving.get<Service>(services, name);
}

/** Everything of a Service is ready, and of this generation. As upstream's validateControlPlane. */
async function assertReady(serving: TestNamespace, revision: string): Promise<void> {
  const found = await service(serving);
  assert.equal(ready(found), "True");
  assert.equal(found.status?.latestReadyRevisionName, revision);
  assert.equal(found.status?.latestCreatedRevisionName, revision);
  const made = await serving.get<Revision>(revisions, revision);
  assert.equal(ready(made), "True");
  const configuration = await serving.get<Configuration>(configurations, "hello");
  assert.equal(made.metadata?.labels?.["serving.knative.dev/configuration"], "hello");
  assert.equal(configuration.status?.latestReadyRevisionName, revision);
  assert.equal(ready(await serving.get<Route>(routes, "hello")), "True");
}

describe("Knative Serving API conformance", () => {
  let running: TestServing | undefined;
  const shared = (): TestServing => {
    assert.ok(running);
    return running;
  };
  before(async () => {
    running = await TestServing.start();
  });
  after(() => running?.stop());

  it("TestServiceCreateListAndDelete", async () => {
    await inServing(shared, async (serving) => {
      await serving.create(services, serviceOf(pizza1));
      await assertReady(serving, "hello-00001");
      assert.deepEqual(
        (await serving.list(services)).map(({ metadata }) => metadata?.name),
        ["hello"],
      );
      const found = await service(serving);
      assert.equal(found.status?.url, `http://hello.${serving.name}.localhost`);
      assert.equal(found.status?.address?.url, `http://hello.${serving.name}.svc.cluster.local`);
      assert.deepEqual(found.status?.traffic, [{ revisionName: "hello-00001", percent: 100, latestRevision: true }]);

      await serving.delete(services, "hello");
      assert.deepEqual(await serving.list(services), []);
    });
  });

  it("TestServiceCreateAndUpdate", async () => {
    await inServing(shared, async (serving) => {
      await serving.create(services, serviceOf(pizza1));
      await serving.merge(services, "hello", { spec: { template: { spec: { containers: [{ image: pizza2 }] } } } });
      await assertReady(serving, "hello-00002");
      assert.deepEqual(
        (await service(serving)).status?.traffic?.map(({ revisionName }) => revisionName),
        ["hello-00002"],
      );
      const first = await serving.get<Revision>(revisions, "hello-00001");
      assert.equal(first.metadata?.labels?.["serving.knative.dev/routingState"], "reserve");

      const labelled = { spec: { template: { metadata: { labels: { labelX: "abc" } } } } };
      await serving.merge(services, "hello", labelled);
      await assertReady(serving, "hello-00003");
      const third = await serving.get<Revision>(revisions, "hello-00003");
      assert.equal(third.metadata?.labels?.["labelX"], "abc");
    });
  });

  it("TestServiceBYOName", async () => {
    await inServing(shared, async (serving) => {
      const named = (name: string, image: string) => serviceOf(image, { template: { metadata: { name } } });
      await serving.create(services, named("hello-byo-foo", pizza1));
      await assertReady(serving, "hello-byo-foo");

      const other = { spec: { template: { spec: { containers: [{ image: pizza2 }] } } } };
      await assert.rejects(serving.merge(services, "hello", other), /without a name change/);
      await serving.merge(services, "hello", {
        spec: { template: { metadata: { name: "hello-byo-bar" }, spec: { containers: [{ image: pizza2 }] } } },
      });
      await assertReady(serving, "hello-byo-bar");

      // Back to the first by its name.
      await serving.merge(services, "hello", {
        spec: { template: { metadata: { name: "hello-byo-foo" }, spec: { containers: [{ image: pizza1 }] } } },
      });
      assert.equal((await service(serving)).status?.latestReadyRevisionName, "hello-byo-foo");
      assert.equal((await serving.list(revisions)).length, 2);
    });
  });

  it("TestServiceWithTrafficSplit", async () => {
    await inServing(shared, async (serving) => {
      await serving.create(services, serviceOf(pizza1));
      const traffic = [
        { tag: "current", revisionName: "hello-00001", percent: 100 },
        { tag: "latest", latestRevision: true, percent: 0 },
      ];
      await serving.merge(services, "hello", { spec: { traffic } });
      await serving.merge(services, "hello", { spec: { template: { spec: { containers: [{ image: pizza2 }] } } } });
      const split = [
        { tag: "current", revisionName: "hello-00001", percent: 50 },
        { tag: "candidate", revisionName: "hello-00002", percent: 50 },
        { tag: "latest", latestRevision: true, percent: 0 },
      ];
      await serving.merge(services, "hello", { spec: { traffic: split } });

      assert.deepEqual((await service(serving)).status?.traffic, [
        {
          tag: "current",
          revisionName: "hello-00001",
          percent: 50,
          latestRevision: false,
          url: `http://current-hello.${serving.name}.localhost`,
        },
        {
          tag: "candidate",
          revisionName: "hello-00002",
          percent: 50,
          latestRevision: false,
          url: `http://candidate-hello.${serving.name}.localhost`,
        },
        {
          tag: "latest",
          revisionName: "hello-00002",
          percent: 0,
          latestRevision: true,
          url: `http://latest-hello.${serving.name}.localhost`,
        },
      ]);
      await assertReady(serving, "hello-00002");
      const table = await hosts(serving);
      assert.deepEqual(table.get(`hello.${serving.name}.localhost`), { "hello-00001": 50, "hello-00002": 50 });
      assert.deepEqual(table.get(`latest-hello.${serving.name}.localhost`), { "hello-00002": 100 });
      assert.deepEqual(table.get(`current-hello.${serving.name}.svc.cluster.local`), { "hello-00001": 100 });
    });
  });

  it("TestBlueGreenRoute", async () => {
    await inServing(shared, async (serving) => {
      await serving.create(services, serviceOf(pizza1));
      await serving.merge(services, "hello", { spec: { template: { spec: { containers: [{ image: pizza2 }] } } } });
      const traffic = [
        { tag: "blue", revisionName: "hello-00001", percent: 50 },
        { tag: "green", revisionName: "hello-00002", percent: 50 },
      ];
      await serving.merge(services, "hello", { spec: { traffic } });

      const table = await hosts(serving);
      assert.deepEqual(table.get(`blue-hello.${serving.name}.localhost`), { "hello-00001": 100 });
      assert.deepEqual(table.get(`green-hello.${serving.name}.localhost`), { "hello-00002": 100 });
      assert.equal(ready(await service(serving)), "True");
      const names = (await serving.list<KubeService>(kubeServices)).map(({ metadata }) => metadata?.name ?? "");
      assert.ok(names.includes("blue-hello") && names.includes("green-hello"), names.join(" "));

      await serving.merge(services, "hello", { spec: { traffic: [{ latestRevision: true, percent: 100 }] } });
      const left = (await serving.list<KubeService>(kubeServices)).map(({ metadata }) => metadata?.name ?? "");
      assert.ok(!left.includes("blue-hello"), left.join(" "));
    });
  });

  it("TestContainerErrorMsg", async () => {
    const images = { resolve: () => Promise.reject(new Error("unexpected status code 404 Not Found")) };
    await inServing(
      shared,
      async (serving) => {
        await serving.create(services, serviceOf("registry.example/invalidhelloworld"));
        const why =
          'Unable to fetch image "registry.example/invalidhelloworld": failed to resolve image to digest: unexpected status code 404 Not Found';
        const revision = await serving.get<Revision>(revisions, "hello-00001");
        const healthy = findCondition(revision.status?.conditions, "ContainerHealthy");
        assert.deepEqual([healthy?.status, healthy?.reason, healthy?.message], ["False", "ContainerMissing", why]);
        const configuration = findCondition(
          (await serving.get<Configuration>(configurations, "hello")).status?.conditions,
          "Ready",
        );
        assert.deepEqual(
          [configuration?.status, configuration?.reason, configuration?.message],
          ["False", "RevisionFailed", `Revision "hello-00001" failed with message: ${why}.`],
        );
        const route = findCondition((await serving.get<Route>(routes, "hello")).status?.conditions, "Ready");
        const missing = 'Configuration "hello" does not have any ready Revision.';
        assert.deepEqual([route?.status, route?.reason, route?.message], ["False", "RevisionMissing", missing]);
        assert.equal(ready(await service(serving)), "False");
      },
      { images },
    );
  });

  it("TestContainerErrorMsg, where the node is the first to know", async () => {
    const missing = { waiting: "ImagePullBackOff", message: "manifest unknown" };
    await inServing(
      shared,
      async (serving) => {
        await serving.create(services, serviceOf("registry.example/invalidhelloworld"));
        const why = 'Unable to fetch image "registry.example/invalidhelloworld": manifest unknown';
        const revision = await serving.get<Revision>(revisions, "hello-00001");
        const condition = findCondition(revision.status?.conditions, "Ready");
        assert.deepEqual(
          [condition?.status, condition?.reason, condition?.message],
          ["False", "ContainerMissing", why],
        );
        assert.equal(ready(await service(serving)), "False");
      },
      { behaviourOf: () => missing },
    );
  });

  it("TestContainerExitingMsg", async () => {
    await inServing(
      shared,
      async (serving) => {
        await serving.create(services, serviceOf("registry.example/failing"));
        const why = "Container failed with: panic: failed to start";
        const revision = findCondition(
          (await serving.get<Revision>(revisions, "hello-00001")).status?.conditions,
          "Ready",
        );
        assert.deepEqual([revision?.status, revision?.reason, revision?.message], ["False", "ExitCode5", why]);
        const configuration = findCondition(
          (await serving.get<Configuration>(configurations, "hello")).status?.conditions,
          "Ready",
        );
        assert.equal(configuration?.message, `Revision "hello-00001" failed with message: ${why}.`);
        assert.equal(ready(await service(serving)), "False");
      },
      { behaviourOf: () => ({ exitCode: 5, message: "panic: failed to start" }) },
    );
  });

  it("TestServiceGenerateName", async () => {
    await inServing(shared, async (serving) => {
      const { metadata: _name, ...rest } = serviceOf(pizza1) as KubeObject;
      const made = await serving.create<Service>(services, { ...rest, metadata: { generateName: "generated-" } });
      const name = made.metadata?.name ?? "";
      assert.match(name, /^generated-[a-zA-Z0-9\-.]+$/);
      assert.equal((await service(serving, name)).status?.latestReadyRevisionName, `${name}-00001`);
      assert.equal(ready(await service(serving, name)), "True");
    });
  });

  it("TestRouteAndConfigGenerateName", async () => {
    await inServing(shared, async (serving) => {
      const template = { spec: { containers: [{ image: pizza1 }] } };
      const config = await serving.create<Configuration>(configurations, {
        apiVersion,
        kind: "Configuration",
        metadata: { generateName: "config-" },
        spec: { template },
      });
      const name = config.metadata?.name ?? "";
      assert.match(name, /^config-.+/);
      const traffic = [{ configurationName: name, percent: 100 }];
      const route = await serving.create<Route>(routes, {
        apiVersion,
        kind: "Route",
        metadata: { generateName: "route-" },
        spec: { traffic },
      });
      const found = await serving.get<Route>(routes, route.metadata?.name ?? "");
      assert.match(found.metadata?.name ?? "", /^route-.+/);
      assert.equal(ready(found), "True");
      assert.deepEqual(found.status?.traffic, [{ revisionName: `${name}-00001`, percent: 100, latestRevision: true }]);
    });
  });

  it("TestRouteCreation", async () => {
    await inServing(shared, async (serving) => {
      const template = (image: string) => ({ spec: { containers: [{ image }] } });
      await serving.create(configurations, {
        apiVersion,
        kind: "Configuration",
        metadata: { name: "hello" },
        spec: { template: template(pizza1) },
      });
      const traffic = [{ configurationName: "hello", percent: 100 }];
      await serving.create(routes, { apiVersion, kind: "Route", metadata: { name: "hello" }, spec: { traffic } });
      const first = await serving.get<Revision>(revisions, "hello-00001");
      assert.equal(first.metadata?.annotations?.["serving.knative.dev/routes"], "hello");
      assert.equal(first.metadata?.labels?.["serving.knative.dev/routingState"], "active");

      await serving.merge(configurations, "hello", { spec: { template: template(pizza2) } });
      const route = await serving.get<Route>(routes, "hello");
      assert.equal(route.status?.traffic?.[0]?.revisionName, "hello-00002");
      assert.equal(ready(route), "True");
    });
  });

  it("TestRouteGetAndList", async () => {
    await inServing(shared, async (serving) => {
      await serving.create(services, serviceOf(pizza1));
      assert.equal((await serving.get<Route>(routes, "hello")).metadata?.name, "hello");
      assert.deepEqual(
        (await serving.list(routes)).map(({ metadata }) => metadata?.name),
        ["hello"],
      );
    });
  });

  it("TestConfigurationGetAndList", async () => {
    await inServing(shared, async (serving) => {
      await serving.create(services, serviceOf(pizza1));
      assert.equal((await serving.get<Configuration>(configurations, "hello")).metadata?.name, "hello");
      assert.deepEqual(
        (await serving.list(configurations)).map(({ metadata }) => metadata?.name),
        ["hello"],
      );
    });
  });

  it("TestRevisionGetAndList", async () => {
    await inServing(shared, async (serving) => {
      await serving.create(services, serviceOf(pizza1));
      assert.equal((await serving.get<Revision>(revisions, "hello-00001")).metadata?.name, "hello-00001");
      assert.deepEqual(
        (await serving.list(revisions)).map(({ metadata }) => metadata?.name),
        ["hello-00001"],
      );
    });
  });

  it("TestUpdateConfigurationMetadata", async () => {
    await inServing(shared, async (serving) => {
      const template = { spec: { containers: [{ image: pizza1 }] } };
      await serving.create(configurations, {
        apiVersion,
        kind: "Configuration",
        metadata: { name: "hello" },
        spec: { template },
      });
      const metadata = {
        labels: { labelX: "abc", labelY: "def" },
        annotations: { annotationA: "123", annotationB: "456" },
      };
      const changed = await serving.merge<Configuration>(configurations, "hello", { metadata });
      const after = await serving.get<Configuration>(configurations, "hello");
      assert.equal(changed.metadata?.generation, 1);
      assert.equal(after.status?.latestCreatedRevisionName, "hello-00001");
      const revision = await serving.get<Revision>(revisions, "hello-00001");
      assert.equal(revision.metadata?.labels?.["labelX"], undefined);
      assert.equal(revision.metadata?.annotations?.["annotationA"], undefined);
    });
  });

  it("TestAnnotationPropagation", async () => {
    await inServing(shared, async (serving) => {
      await serving.create(services, serviceOf(pizza1));
      await serving.merge(services, "hello", {
        metadata: { annotations: { juicy: "jamba" } },
        spec: { template: { spec: { containers: [{ image: pizza2 }] } } },
      });
      const juicy = async () => {
        const all = [
          await serving.get<Configuration>(configurations, "hello"),
          await serving.get<Route>(routes, "hello"),
          await serving.get<KubeService>(kubeServices, "hello"),
        ];
        return all.map(({ metadata }) => metadata?.annotations?.["juicy"]);
      };
      assert.deepEqual(await juicy(), ["jamba", "jamba", "jamba"]);

      await serving.merge(services, "hello", {
        metadata: { annotations: { juicy: null } },
        spec: { template: { spec: { containers: [{ image: pizza1 }] } } },
      });
      assert.deepEqual(await juicy(), [undefined, undefined, undefined]);
      await assertReady(serving, "hello-00003");
    });
  });

  it("TestLabelPropagation", async () => {
    await inServing(shared, async (serving) => {
      await serving.create(services, serviceOf(pizza1, { meta: { labels: { team: "blue" } } }));
      const of = async (resource: typeof routes, name: string) => (await serving.get(resource, name)).metadata?.labels;
      assert.equal((await of(configurations, "hello"))?.["team"], "blue");
      assert.equal((await of(routes, "hello"))?.["team"], "blue");
      const revision = await of(revisions, "hello-00001");
      assert.equal(revision?.["serving.knative.dev/service"], "hello");
      assert.equal(revision?.["serving.knative.dev/configuration"], "hello");
      assert.equal(revision?.["serving.knative.dev/configurationGeneration"], "1");
      const [pod] = await serving.list<Pod>(pods);
      assert.equal(pod?.metadata?.labels?.["serving.knative.dev/revision"], "hello-00001");
    });
  });

  it("TestServiceAccountValidation", async () => {
    await inServing(shared, async (serving) => {
      const made = serving.create(services, serviceOf(pizza1, { spec: { serviceAccountName: "foo@bar.baz" } }));
      await assert.rejects(
        made,
        /foo@bar\.baz: spec\.template\.spec\.serviceAccountName\na lowercase RFC 1123 subdomain must consist of/,
      );
    });
  });

  it("TestCustomResourcesLimits", async () => {
    await inServing(shared, async (serving) => {
      const resources = { limits: { memory: "350Mi" }, requests: { memory: "128Mi" } };
      await serving.create(services, serviceOf(pizza1, { spec: { containers: [{ image: pizza1, resources }] } }));
      await assertReady(serving, "hello-00001");
      assert.deepEqual((await serving.list<Pod>(pods))[0]?.spec?.containers?.[0]?.resources, resources);
    });
  });

  it("TestRevisionTimeout", async () => {
    await inServing(shared, async (serving) => {
      await serving.create(services, serviceOf(pizza1, { spec: { timeoutSeconds: 600 } }));
      assert.equal((await serving.get<Revision>(revisions, "hello-00001")).spec?.timeoutSeconds, 600);
      assert.equal((await serving.list<Pod>(pods))[0]?.spec?.terminationGracePeriodSeconds, 600);
    });
  });

  it("TestSingleConcurrency", async () => {
    await inServing(shared, async (serving) => {
      await serving.create(services, serviceOf(pizza1, { spec: { containerConcurrency: 1 } }));
      assert.equal((await serving.get<Revision>(revisions, "hello-00001")).spec?.containerConcurrency, 1);
      await serving.pass(4, () => serving.report("hello-00001", 7));
      assert.equal((await serving.get<Deployment>(deployments, "hello-00001-deployment")).spec?.replicas, 10);
    });
  });

  it("TestServiceCreateWithMultipleContainers", async () => {
    await inServing(shared, async (serving) => {
      const containers = [{ image: pizza1, ports: [{ containerPort: 8881 }] }, { image: pizza2 }];
      await serving.create(services, serviceOf(pizza1, { spec: { containers } }));
      await assertReady(serving, "hello-00001");
      const [pod] = await serving.list<Pod>(pods);
      assert.deepEqual(
        pod?.spec?.containers.map(({ name, image }) => [name, image]),
        [
          ["user-container-0", pizza1],
          ["user-container-1", pizza2],
        ],
      );
      assert.equal(pod?.spec?.containers[0]?.env?.find(({ name }) => name === "PORT")?.value, "8881");
      assert.equal(
        pod?.spec?.containers[1]?.env?.find(({ name }) => name === "PORT"),
        undefined,
      );
    });
  });

  const volumes: readonly (readonly [string, object, boolean])[] = [
    ["TestServiceCreateWithEmptyDir", { emptyDir: {} }, false],
    ["TestConfigMapVolume", { configMap: { name: "test" } }, true],
    ["TestProjectedConfigMapVolume", { projected: { sources: [{ configMap: { name: "test" } }] } }, true],
    ["TestSecretVolume", { secret: { secretName: "test" } }, true],
    ["TestProjectedSecretVolume", { projected: { sources: [{ secret: { name: "test" } }] } }, true],
    [
      "TestProjectedComplex",
      {
        projected: {
          sources: [
            { configMap: { name: "test", items: [{ key: "a", path: "b/c" }] } },
            { secret: { name: "test", items: [{ key: "d", path: "e" }] } },
          ],
        },
      },
      true,
    ],
    [
      "TestProjectedServiceAccountToken",
      { projected: { sources: [{ serviceAccountToken: { audience: "api", path: "token", expirationSeconds: 600 } }] } },
      true,
    ],
  ];
  for (const [name, source, isReadOnly] of volumes) {
    it(name, async () => {
      await inServing(shared, async (serving) => {
        const volumeMounts = [{ name: "data", mountPath: "/test/volume" }];
        const spec = {
          serviceAccountName: "default",
          volumes: [{ name: "data", ...source }],
          containers: [{ image: pizza1, volumeMounts }],
        };
        await serving.create(services, serviceOf(pizza1, { spec }));
        await assertReady(serving, "hello-00001");
        const [pod] = await serving.list<Pod>(pods);
        assert.equal(pod?.spec?.volumes?.[0]?.name, "data");
        assert.equal(pod?.spec?.containers[0]?.volumeMounts?.[0]?.readOnly ?? false, isReadOnly);
      });
    });
  }
});

/** Which revisions a host leads to, with their shares. */
async function hosts(serving: TestNamespace): Promise<ReadonlyMap<string, Readonly<Record<string, number>>>> {
  const table = new Map<string, Record<string, number>>();
  for (const ingress of await serving.list<Ingress>(ingresses))
    for (const rule of ingress.spec?.rules ?? [])
      for (const host of rule.hosts) {
        const splits = rule.http.paths[0]?.splits ?? [];
        table.set(host, Object.fromEntries(splits.map(({ serviceName, percent = 0 }) => [serviceName, percent])));
      }
  return table;
}
