/**
 * Sources as objects, on a real API server: defaults, validation, and what their controllers say and do.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Deployment } from "#api/generated/types/apps-v1.ts";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { TestEventing, type TestNamespace } from "#eventing/testing/test-eventing.ts";
import { findCondition } from "#knative/conditions.ts";
import type { ReviewRequest } from "#knative/admission/admission-review.ts";
import { sinkBindingReviewer } from "./binding/sink-binding-webhook.ts";
import {
  type ApiServerSource,
  apiServerSources,
  type ContainerSource,
  containerSources,
  type GitSource,
  gitSources,
  type ObjectSource,
  objectSources,
  type PingSource,
  pingSources,
  type SinkBinding,
  sinkBindings,
  type Source,
} from "./kinds.ts";

const deployments: GroupVersionResource = { group: "apps", version: "v1", resource: "deployments" };
const kinds: Readonly<Record<string, string>> = {
  pingsources: "PingSource",
  apiserversources: "ApiServerSource",
  containersources: "ContainerSource",
  sinkbindings: "SinkBinding",
  objectsources: "ObjectSource",
  gitsources: "GitSource",
  deployments: "Deployment",
};

describe("sources", () => {
  let eventing: TestEventing;
  let space: TestNamespace;
  let sink: { readonly ref: object };
  const sinkUri = "http://sink.sources.svc.cluster.local";
  before(async () => {
    eventing = await TestEventing.start();
    space = await eventing.namespace("sources", { team: "a" });
    await eventing.namespace("more-sources", { team: "a" });
    const { ref } = await space.service("sink");
    sink = { ref };
  });
  after(() => eventing.stop());

  async function make<T extends KubeObject>(
    resource: GroupVersionResource,
    name: string,
    spec: object,
    labels = {},
  ): Promise<T> {
    const apiVersion = `${resource.group}/${resource.version}`;
    return await space.create<T>(resource, {
      apiVersion,
      kind: kinds[resource.resource],
      metadata: { name, labels },
      spec,
    });
  }

  async function refused(resource: GroupVersionResource, spec: object, problem: RegExp): Promise<void> {
    await assert.rejects(make(resource, "refused", spec), problem);
  }

  function condition(source: Source, type = "Ready"): string {
    const found = findCondition(source.status?.conditions, type);
    return [found?.status, found?.reason, found?.message].filter((part) => part).join(" ");
  }

  describe("PingSource", () => {
    it("is due every minute unless it says otherwise, and finds its sink", async () => {
      await make(pingSources, "ping", { sink });

      const source = await space.get<PingSource>(pingSources, "ping");
      assert.equal(source.spec?.schedule, "* * * * *");
      assert.equal(condition(source), "True", JSON.stringify(source.status));
      assert.equal(source.status?.sinkUri, sinkUri);
      assert.deepEqual(source.status?.ceAttributes, [
        { type: "dev.knative.sources.ping", source: "/apis/v1/namespaces/sources/pingsources/ping" },
      ]);
    });

    it("waits for a sink that is not there, and finds it when it comes", async () => {
      const ref = { apiVersion: "v1", kind: "Service", name: "late" };
      await make(pingSources, "early", { sink: { ref } });
      const early = await space.get<PingSource>(pingSources, "early");
      assert.match(condition(early, "SinkProvided"), /^False NotFound /);
      assert.equal(early.status?.sinkUri, undefined);

      await space.service("late");

      assert.equal(condition(await space.get<PingSource>(pingSources, "early")), "True");
    });

    it("is refused with what is wrong and where", async () => {
      await refused(
        pingSources,
        { sink, schedule: "* *" },
        /expected 5 to 6 fields, found 2: \[\* \*\]: spec\.schedule/,
      );
      await refused(pingSources, { sink, timezone: "Mars" }, /provided bad location Mars.*: spec\.timezone/);
      await refused(
        pingSources,
        { sink, data: "a", dataBase64: "YQ==" },
        /expected exactly one, got both: spec\.data, spec\.dataBase64/,
      );
      await refused(pingSources, { sink, data: "{", contentType: "application/json" }, /spec\.data\b/);
      await refused(pingSources, { sink, dataBase64: "%" }, /illegal base64 data: spec\.dataBase64/);
      await refused(pingSources, {}, /expected at least one, got none: spec\.sink\.ref, spec\.sink\.uri/);
      await refused(
        pingSources,
        { sink, ceOverrides: { extensions: { "a-b": "x" } } },
        /invalid key name "a-b": spec\.ceOverrides\.extensions\.a-b/,
      );
    });
  });

  describe("ApiServerSource", () => {
    const resources = [{ apiVersion: "v1", kind: "Pod" }];

    it("watches its own namespace, with the rights of its service account", async () => {
      const made = await make<ApiServerSource>(apiServerSources, "own", { sink, resources });

      assert.deepEqual([made.spec?.mode, made.spec?.serviceAccountName], ["Reference", "default"]);
      const source = await space.get<ApiServerSource>(apiServerSources, "own");
      assert.equal(condition(source), "True", JSON.stringify(source.status));
      assert.deepEqual(source.status?.namespaces, ["sources"]);
      assert.deepEqual(source.status?.ceAttributes?.[0], {
        type: "dev.knative.apiserver.ref.add",
        source: "https://10.41.0.1:443",
      });
    });

    it("does not become ready when its service account may not look", async () => {
      await make(apiServerSources, "powerless", { sink, resources, serviceAccountName: "powerless" });

      const source = await space.get<ApiServerSource>(apiServerSources, "powerless");
      assert.equal(
        condition(source),
        'False User system:serviceaccount:sources:powerless cannot get, list, watch resource "pods" in API group "" in Namespace "sources"',
      );
    });

    it("watches the namespaces that its selector picks, new ones too", async () => {
      await make(apiServerSources, "team", { sink, resources, namespaceSelector: { matchLabels: { team: "a" } } });
      assert.deepEqual((await space.get<ApiServerSource>(apiServerSources, "team")).status?.namespaces, [
        "more-sources",
        "sources",
      ]);

      await eventing.namespace("newest", { team: "a" });

      const { status } = await space.get<ApiServerSource>(apiServerSources, "team");
      assert.deepEqual(status?.namespaces, ["more-sources", "newest", "sources"]);
    });

    it("is refused with what is wrong and where", async () => {
      await refused(apiServerSources, { sink }, /missing field\(s\): spec\.resources/);
      await refused(
        apiServerSources,
        { sink, resources: [{ apiVersion: "a/b/c", kind: "" }] },
        /a\/b\/c: spec\.resources\[0\]\.apiVersion[^]*spec\.resources\[0\]\.kind/,
      );
      await refused(apiServerSources, { sink, resources, mode: "All" }, /invalid value: All: spec\.mode/);
      await refused(apiServerSources, { sink, resources, filters: [{ cesql: "(" }] }, /spec\.filters\[0\]\.cesql/);
    });
  });

  describe("ObjectSource and GitSource", () => {
    it("say where a bucket lies on this machine", async () => {
      await make(objectSources, "uploads", { sink, bucket: "uploads", pattern: "*.png" });

      const source = await space.get<ObjectSource>(objectSources, "uploads");
      assert.equal(condition(source), "True", JSON.stringify(source.status));
      assert.equal(source.status?.path, "/objects/sources/uploads");
    });

    it("say of a bucket of a service what whoever looks at it has found", async () => {
      const s3 = { bucket: "uploads", endpoint: "http://minio:9000", secretRef: { name: "keys" } };
      await make(objectSources, "stored", { sink, s3, pattern: "*.png" });
      const found = async () => await space.get<ObjectSource>(objectSources, "stored");
      assert.match(condition(await found()), /^Unknown NotYetListed /);
      assert.equal((await found()).status?.sinkUri, sinkUri);

      const listing = { observedGeneration: 1, reason: "AccessDenied", message: "403" };
      await space.mergeStatus(objectSources, "stored", { listing });
      assert.equal(condition(await found()), "False AccessDenied 403");
      await space.mergeStatus(objectSources, "stored", { listing: { reason: null, message: null } });

      assert.equal(condition(await found()), "True", JSON.stringify((await found()).status));
      await space.merge(objectSources, "stored", { spec: { pattern: "*.jpg" } });
      assert.match(condition(await found()), /^Unknown NotYetListed /);
    });

    it("wait for a claim that is not bound", async () => {
      await make(objectSources, "claimed", { sink, persistentVolumeClaim: { claimName: "data" } });

      const source = await space.get<ObjectSource>(objectSources, "claimed");
      assert.equal(condition(source), "False NotFound no volume of this machine is bound to claim data");
      assert.equal(source.status?.path, undefined);
    });

    it("wait for a repository that is not there", async () => {
      await make(gitSources, "pushes", { sink, repository: "site" });

      assert.match(
        condition(await space.get<GitSource>(gitSources, "pushes")),
        /^False NotFound Repository "site" does not exist/,
      );
    });

    it("are refused with what is wrong and where", async () => {
      await refused(
        objectSources,
        { sink },
        /expected exactly one, got neither: spec\.bucket, spec\.persistentVolumeClaim/,
      );
      await refused(objectSources, { sink, bucket: "../etc" }, /invalid value: \.\.\/etc: spec\.bucket/);
      const s3 = { bucket: "uploads" };
      await refused(objectSources, { sink, bucket: "a", s3 }, /expected exactly one, got both: spec\.bucket, spec\.s3/);
      await refused(objectSources, { sink, s3: {} }, /missing field\(s\): spec\.s3\.bucket/);
      await refused(objectSources, { sink, s3: { bucket: "a/../b" } }, /invalid value: a\/\.\.\/b: spec\.s3\.bucket/);
      for (const endpoint of ["minio:9000", "ftp://a", "http://me:secret@a", "http://a?x"])
        await refused(objectSources, { sink, s3: { ...s3, endpoint } }, /invalid value: .*: spec\.s3\.endpoint/);
      for (const pollInterval of ["10", "1ms", "-5s"])
        await refused(objectSources, { sink, s3: { ...s3, pollInterval } }, /spec\.s3\.pollInterval/);
      await refused(objectSources, { sink, s3: { ...s3, region: "a/b" } }, /spec\.s3\.region/);
      await refused(objectSources, { sink, s3: { ...s3, secretRef: {} } }, /spec\.s3\.secretRef\.name/);
      await refused(gitSources, { repository: "site" }, /expected at least one, got none: spec\.sink\.ref/);
    });
  });

  describe("SinkBinding", () => {
    const template = {
      metadata: { labels: { app: "web" } },
      spec: {
        containers: [{ name: "web", image: "web", env: [{ name: "A", value: "1" }] }],
        initContainers: [{ name: "init", image: "web" }],
      },
    };
    const deployment = { selector: { matchLabels: { app: "web" } }, template };
    const env = (object: Deployment) =>
      Object.fromEntries(
        (object.spec?.template?.spec?.containers?.[0]?.env ?? []).map(({ name, value }) => [name, value]),
      );

    it("puts the sink into its subject's containers, and takes it out when it goes", async () => {
      await make(deployments, "web", deployment);
      const subject = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
      await make(sinkBindings, "bind", { sink, subject, ceOverrides: { extensions: { team: "a" } } });

      const binding = await space.get<SinkBinding>(sinkBindings, "bind");
      assert.equal(condition(binding), "True", JSON.stringify(binding.status));
      const bound = await space.get<Deployment>(deployments, "web");
      assert.deepEqual(env(bound), { A: "1", K_SINK: sinkUri, K_CE_OVERRIDES: '{"extensions":{"team":"a"}}' });
      assert.equal(bound.spec?.template?.spec?.initContainers?.[0]?.env?.[0]?.value, sinkUri);

      await space.delete(sinkBindings, "bind");

      assert.deepEqual(env(await space.get<Deployment>(deployments, "web")), { A: "1" });
      await assert.rejects(space.get(sinkBindings, "bind"), /not found/);
    });

    it("says that its subject is missing, and binds it when it comes", async () => {
      const subject = { apiVersion: "apps/v1", kind: "Deployment", name: "later" };
      await make(sinkBindings, "waiting", { sink, subject });
      assert.match(condition(await space.get<SinkBinding>(sinkBindings, "waiting")), /^False SubjectMissing/);

      await make(deployments, "later", deployment);

      assert.equal(env(await space.get<Deployment>(deployments, "later"))["K_SINK"], sinkUri);
      assert.equal(condition(await space.get<SinkBinding>(sinkBindings, "waiting")), "True");
    });

    it("binds what its selector picks, in the write that makes it", async () => {
      const subject = { apiVersion: "batch/v1", kind: "Job", selector: { matchLabels: { role: "sender" } } };
      await make(sinkBindings, "jobs", { sink, subject });
      const binding = await space.get<SinkBinding>(sinkBindings, "jobs");
      const review = (labels: object): ReviewRequest => ({
        uid: "1",
        kind: { group: "batch", version: "v1", kind: "Job" },
        operation: "CREATE",
        object: { metadata: { name: "send", namespace: "sources", labels }, spec: { template } } as KubeObject,
      });

      const reviewer = sinkBindingReviewer(() => [binding]);

      const spec = (reviewer(review({ role: "sender" })).object as Deployment | undefined)?.spec;
      assert.deepEqual(spec?.template?.spec?.containers?.[0]?.env?.at(-2), { name: "K_SINK", value: sinkUri });
      assert.deepEqual(reviewer(review({ role: "other" })), {});
    });

    it("is refused with what is wrong and where", async () => {
      await refused(
        sinkBindings,
        { sink, subject: { apiVersion: "v1", kind: "Pod" } },
        /expected exactly one, got neither: spec\.subject\.name, spec\.subject\.selector/,
      );
      await refused(
        sinkBindings,
        { sink, subject: { apiVersion: "v1", kind: "Pod", name: "a", namespace: "other" } },
        /invalid value: other: spec\.subject\.namespace/,
      );
    });
  });

  describe("ContainerSource", () => {
    it("runs its containers in a Deployment that is told of the sink", async () => {
      await make(containerSources, "sender", {
        sink,
        template: { spec: { containers: [{ name: "c", image: "sender" }] } },
      });

      const deployment = await space.get<Deployment>(deployments, "sender-deployment");
      const [container] = deployment.spec?.template?.spec?.containers ?? [];
      assert.equal(container?.env?.find(({ name }) => name === "K_SINK")?.value, sinkUri);
      const source = await space.get<ContainerSource>(containerSources, "sender");
      assert.equal(condition(source, "SinkBindingReady"), "True", JSON.stringify(source.status));
      assert.equal(source.status?.sinkUri, sinkUri);
      assert.match(condition(source), /^Unknown/);

      await space.mergeStatus(deployments, "sender-deployment", {
        conditions: [{ type: "Available", status: "True" }],
      });
      assert.equal(condition(await space.get<ContainerSource>(containerSources, "sender")), "True");
    });

    it("is refused without containers", async () => {
      await refused(containerSources, { sink, template: { spec: {} } }, /missing field\(s\): spec\.containers/);
    });
  });
});
