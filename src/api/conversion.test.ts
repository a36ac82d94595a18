import assert from "node:assert/strict";
import { test } from "node:test";
import { readObject } from "#apimachinery/codecs/object-reader.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { findConversion } from "./conversion.ts";
import { loadKindFacts } from "./kind-facts-table.ts";
import type { Draft } from "./strategy.ts";

const facts = loadKindFacts();
const events = findConversion("events.k8s.io", "v1", "Event");
const autoscalers = findConversion("autoscaling", "v1", "HorizontalPodAutoscaler");

test("an event of events.k8s.io is stored in the core form and comes back as it was", () => {
  const event = read("events.k8s.io", "v1", "Event", {
    metadata: { name: "e", namespace: "a" },
    eventTime: "2026-01-01T00:00:00.000001Z",
    reportingController: "x.io/c",
    reportingInstance: "c-1",
    action: "Pull",
    reason: "Pulled",
    regarding: { kind: "Pod", name: "web" },
    note: "Pulled it",
    type: "Normal",
    deprecatedCount: 3,
  });

  const stored = events?.toStored(event) as Draft;

  assert.deepEqual({ ...stored }, read("", "v1", "Event", stored));
  assert.equal(stored["message"], "Pulled it");
  assert.equal(stored["involvedObject"].name, "web");
  assert.equal(stored["reportingComponent"], "x.io/c");
  assert.deepEqual(back(events, stored), event);
});

test("a core event is an event of events.k8s.io", () => {
  const stored = read("", "v1", "Event", {
    metadata: { name: "e" },
    involvedObject: { kind: "Pod" },
    message: "m",
    count: 2,
  });

  const event = back(events, stored);

  assert.deepEqual(event, read("events.k8s.io", "v1", "Event", event));
  assert.equal((event as Draft)["deprecatedCount"], 2);
});

test("an autoscaler of v1 aims at its CPU target in v2, and without one at 80 %", () => {
  const spec = { scaleTargetRef: { kind: "Deployment", name: "web" }, maxReplicas: 3 };
  const targets = [{ ...spec, targetCPUUtilizationPercentage: 50 }, spec].map((each) => {
    const stored = autoscalers?.toStored(read("autoscaling", "v1", "HorizontalPodAutoscaler", { spec: each })) as Draft;
    return stored["spec"].metrics[0].resource.target.averageUtilization;
  });

  assert.deepEqual(targets, [50, 80]);
});

test("what v1 has no field for survives a client that reads and writes v1", () => {
  const quantity = { type: "AverageValue", averageValue: "10" };
  const stored = read("autoscaling", "v2", "HorizontalPodAutoscaler", {
    metadata: { name: "a", annotations: { mine: "kept" } },
    spec: {
      scaleTargetRef: { kind: "Deployment", name: "web" },
      maxReplicas: 3,
      metrics: [
        { type: "Pods", pods: { metric: { name: "hits" }, target: quantity } },
        {
          type: "Object",
          object: {
            describedObject: { kind: "Service", name: "s" },
            metric: { name: "m" },
            target: { type: "Value", value: "5" },
          },
        },
        {
          type: "External",
          external: { metric: { name: "q", selector: { matchLabels: { a: "b" } } }, target: quantity },
        },
        { type: "Resource", resource: { name: "memory", target: { type: "Utilization", averageUtilization: 70 } } },
        { type: "ContainerResource", containerResource: { name: "cpu", container: "c", target: quantity } },
        { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 60 } } },
      ],
      behavior: { scaleDown: { stabilizationWindowSeconds: 60 } },
    },
    status: {
      desiredReplicas: 2,
      currentMetrics: [
        { type: "Resource", resource: { name: "cpu", current: { averageUtilization: 33, averageValue: "330m" } } },
      ],
      conditions: [{ type: "AbleToScale", status: "True" }],
    },
  });

  const old = back(autoscalers, stored);

  assert.deepEqual(old, read("autoscaling", "v1", "HorizontalPodAutoscaler", old));
  assert.equal((old as Draft)["spec"].targetCPUUtilizationPercentage, 60);
  assert.equal((old as Draft)["status"].currentCPUUtilizationPercentage, 33);
  const again = read("autoscaling", "v2", "HorizontalPodAutoscaler", autoscalers?.toStored(old) as KubeObject);
  assert.deepEqual(again, stored);
});

test("annotations that cannot be read are dropped, not trusted", () => {
  const annotations = {
    "autoscaling.alpha.kubernetes.io/metrics": "[null]",
    "autoscaling.alpha.kubernetes.io/behavior": "{",
  };
  const spec = { scaleTargetRef: { kind: "Deployment", name: "web" }, maxReplicas: 3 };

  const stored = autoscalers?.toStored(
    read("autoscaling", "v1", "HorizontalPodAutoscaler", { metadata: { annotations }, spec }),
  ) as Draft;

  assert.deepEqual(stored["metadata"], {});
  assert.equal(stored["spec"].metrics.length, 1);
  assert.equal(stored["spec"].behavior, undefined);
});

function read(group: string, version: string, kind: string, object: object): KubeObject {
  const schema = facts.schemaOf(group, version, kind);
  assert(schema);
  const apiVersion = group === "" ? version : `${group}/${version}`;
  const { object: result, unknownFields } = readObject(schema, { ...object, kind, apiVersion });
  assert.deepEqual(unknownFields, []);
  return result as KubeObject;
}

function back(conversion: typeof events, stored: object): KubeObject {
  return conversion?.fromStored([stored as KubeObject])[0] as KubeObject;
}
