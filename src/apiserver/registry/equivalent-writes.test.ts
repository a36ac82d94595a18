import assert from "node:assert/strict";
import { test } from "node:test";
import { loadKindFacts } from "#api/kind-facts-table.ts";
import { strategyOf } from "#api/strategies.ts";
import type { AdmissionAttributes } from "#apiserver/admission.ts";
import { requestOf } from "#apiserver/admission/admission-request.ts";
import { createBuiltInTable } from "#apiserver/built-in-resources.ts";
import type { RequestInfo } from "#apiserver/request.ts";
import { equivalentWrites } from "./equivalent-writes.ts";

const table = createBuiltInTable(loadKindFacts(), (group, _version, kind) => strategyOf(group, kind));

function requestFor(apiGroup: string, apiVersion: string, resource: string, subresource = ""): RequestInfo {
  const place = { namespace: "default", resource, subresource, name: "" };
  return { isResourceRequest: true, path: "", verb: "create", apiGroup, apiVersion, ...place };
}

function equivalentsOf(request: RequestInfo) {
  const resource = table.find(request.apiGroup, request.apiVersion, request.resource);
  assert.ok(resource);
  return equivalentWrites(table, resource, request);
}

test("a write in one version is the same write in the other, converted there and back", async () => {
  const request = requestFor("autoscaling", "v1", "horizontalpodautoscalers");
  const spec = {
    maxReplicas: 3,
    targetCPUUtilizationPercentage: 70,
    scaleTargetRef: { kind: "Deployment", name: "web" },
  };
  const attributes: AdmissionAttributes = {
    request,
    operation: "CREATE",
    user: { name: "ann", groups: [] },
    dryRun: false,
    kind: { group: "autoscaling", version: "v1", kind: "HorizontalPodAutoscaler" },
    object: { metadata: { name: "web" }, spec } as AdmissionAttributes["object"],
    oldObject: undefined,
    options: undefined,
  };

  const [write, ...more] = equivalentsOf(request);
  assert.ok(write);
  const seen = await write.convert(attributes);
  const back = await write.convertBack({ ...seen.object, metadata: { name: "web", labels: { seen: "yes" } } });

  assert.deepEqual(more, []);
  assert.equal(seen.object?.apiVersion, "autoscaling/v2");
  assert.match(JSON.stringify(seen.object), /"averageUtilization":70/);
  const told = requestOf(seen) as Record<string, { readonly version: string }>;
  assert.equal(told["kind"]?.version, "v2");
  assert.equal(told["resource"]?.version, "v2");
  assert.equal(told["requestKind"]?.version, "v1");
  assert.equal(told["requestResource"]?.version, "v1");
  assert.equal(back.apiVersion, "autoscaling/v1");
  assert.deepEqual(back.metadata?.labels, { seen: "yes" });
  assert.match(JSON.stringify(back), /"targetCPUUtilizationPercentage":70/);
});

test("resources that have one version, and subresources of kinds of their own, have no other", () => {
  assert.deepEqual(equivalentsOf(requestFor("", "v1", "pods")), []);
  assert.deepEqual(equivalentsOf(requestFor("apps", "v1", "deployments", "scale")), []);
});

test("events are one resource in two groups", () => {
  const [write] = equivalentsOf(requestFor("", "v1", "events"));

  assert.equal(write?.request.apiGroup, "events.k8s.io");
});
