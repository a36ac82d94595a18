import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { loadKindFacts } from "#api/kind-facts-table.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import { startTestApiServer } from "#apiserver/testing/test-api-server.ts";
import { systemClock } from "#component-base/clock.ts";
import { ensureClusterRoles } from "#knative/roles.ts";
import { revisions, services } from "#serving/kinds.ts";
import { customResourceDefinitions } from "./custom-resources.ts";
import { installCustomResources } from "./install.ts";
import { servingRoles } from "./roles.ts";

const options = { clock: systemClock, signal: new AbortController().signal };
const definitions = { group: "apiextensions.k8s.io", version: "v1", resource: "customresourcedefinitions" };

describe("Serving's CustomResourceDefinitions", () => {
  it("are accepted by the API server, serve all kinds, and are left alone the second time", async () => {
    const { client, stop } = await startTestApiServer();
    try {
      await installCustomResources(client, options);
      const first = await client.list({ resource: definitions });
      await installCustomResources(client, options);
      const second = await client.list({ resource: definitions });

      assert.deepEqual(
        first.items.map(({ metadata }) => metadata?.name).toSorted(),
        customResourceDefinitions(loadKindFacts())
          .map(({ metadata }) => metadata?.name)
          .toSorted(),
      );
      assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion);
    } finally {
      await stop();
    }
  });

  it("have words for kubectl explain: of the kinds that people write all of Serving's own fields, and what containers usually say", () => {
    const schemaOf = (kind: string): JsonSchemaProps => {
      const found = customResourceDefinitions(loadKindFacts()).find(({ metadata }) =>
        metadata?.name?.startsWith(`${kind}.`),
      ) as unknown as { spec: { versions: [{ schema: { openAPIV3Schema: JsonSchemaProps } }] } };
      return found.spec.versions[0].schema.openAPIV3Schema;
    };
    const at = (schema: JsonSchemaProps | undefined, path: string): JsonSchemaProps | undefined =>
      path
        .split(".")
        .reduce((inner, name) => ((inner?.items ?? inner) as JsonSchemaProps | undefined)?.properties?.[name], schema);
    const without = (kind: string, ...paths: readonly string[]) =>
      paths.filter((path) => !at(schemaOf(kind), path)?.description).map((path) => `${kind} ${path}`);
    const traffic = ["", ".revisionName", ".percent", ".tag", ".latestRevision"].map((name) => `spec.traffic${name}`);
    const own = ["spec", "status", "status.conditions", "status.observedGeneration"];
    const template = [
      "",
      ".metadata",
      ".spec",
      ".spec.containerConcurrency",
      ".spec.timeoutSeconds",
      ".spec.containers",
    ];
    const container = ["image", "env", "ports", "resources", "readinessProbe", "volumeMounts"];

    const missing = [
      ...without("services", ...own, ...traffic, ...template.map((name) => `spec.template${name}`)),
      ...without("services", ...container.map((name) => `spec.template.spec.containers.${name}`)),
      ...without("configurations", ...own, "spec.template", "status.latestReadyRevisionName"),
      ...without("revisions", ...own, "spec.containers", "spec.containerConcurrency", "status.desiredReplicas"),
      ...without("routes", ...own, ...traffic, "status.url"),
      ...without("domainmappings", ...own, "spec.ref", "spec.tls", "spec.tls.secretName", "status.url"),
    ];

    assert.deepEqual(missing, []);
    for (const kind of ["services", "configurations", "revisions", "routes", "domainmappings"])
      assert.ok(schemaOf(kind).description, kind);
  });

  it("come with roles for those who may edit a namespace, made once", async () => {
    const { client, stop } = await startTestApiServer();
    try {
      await ensureClusterRoles(client, servingRoles(), options.signal);
      await ensureClusterRoles(client, servingRoles(), options.signal);
      const resource = { group: "rbac.authorization.k8s.io", version: "v1", resource: "clusterroles" };
      const edit = await client.get({ resource, name: "knative-serving-namespaced-edit" });

      assert.equal(edit.metadata?.labels?.["rbac.authorization.k8s.io/aggregate-to-edit"], "true");
    } finally {
      await stop();
    }
  });

  it("keep what a revision may have, refuse wrong types, and drop what no pod of a revision has", async () => {
    const { client, stop } = await startTestApiServer();
    try {
      await installCustomResources(client, options);
      const make = (name: string, spec: object): KubeObject =>
        ({
          apiVersion: "serving.knative.dev/v1",
          kind: "Service",
          metadata: { name },
          spec: { template: { spec } },
        }) as KubeObject;
      const at = { resource: services, namespace: "default" };
      const container = {
        image: "a",
        ports: [{ containerPort: 80 }],
        env: [{ name: "A", value: "b" }],
        resources: { limits: { cpu: 1 } },
        readinessProbe: { tcpSocket: {} },
      };
      const good = await client.create(
        at,
        make("good", { containers: [container], hostname: "x", affinity: { a: 1 } }),
      );
      const { template } = (good as { spec?: { template?: { spec?: object } } }).spec ?? {};

      assert.deepEqual(template?.spec, { containers: [container], affinity: { a: 1 } });
      await assert.rejects(
        client.create(at, make("bad", { containers: [{ image: 7 }] })),
        /image.*must be of type string/,
      );
      const limits = { memory: "1GB", cpu: "500m" };
      await assert.rejects(
        client.create(at, make("typo", { containers: [{ ...container, resources: { limits } }] })),
        /resources\.limits\.memory: Invalid value: "1GB"/,
      );
    } finally {
      await stop();
    }
  });

  it("have a status of their own and columns", async () => {
    const { client, stop } = await startTestApiServer();
    try {
      await installCustomResources(client, options);
      const at = { resource: revisions, namespace: "default" };
      const revision = {
        apiVersion: "serving.knative.dev/v1",
        kind: "Revision",
        metadata: { name: "hello-00001" },
        spec: { containers: [{ name: "c", image: "a" }] },
        status: { actualReplicas: 3 },
      };
      const made = (await client.create(at, revision as KubeObject)) as typeof revision;
      assert.equal(made.status, undefined);

      const body = { status: { actualReplicas: 2 } };
      const patched = await client.patch(
        { ...at, name: "hello-00001", subresource: "status" },
        { type: "merge", body },
      );
      assert.equal((patched as typeof revision).status.actualReplicas, 2);
    } finally {
      await stop();
    }
  });
});
