import assert from "node:assert/strict";
import { test } from "node:test";
import { findScheduleError } from "#api/batch/cron-schedule.ts";
import { strategyOf } from "#api/strategies.ts";
import type { Draft } from "#api/strategy.ts";
import type { FieldError } from "#apimachinery/field-error.ts";
import type { KubeObject } from "#apimachinery/meta.ts";

const template = { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "c", image: "nginx" }] } };
const selector = { matchLabels: { app: "web" } };

function made(group: string, kind: string, spec: Draft): KubeObject {
  const draft: Draft = { metadata: { name: "web", namespace: "default", uid: "u1" }, spec: structuredClone(spec) };
  strategyOf(group, kind).applyDefaults?.(draft);
  strategyOf(group, kind).prepareForCreate?.(draft);
  return draft as KubeObject;
}

function show(errors: readonly FieldError[] = []): readonly string[] {
  return errors.map(({ field, message }) => `${field}: ${message}`);
}

function created(group: string, kind: string, spec: Draft): readonly string[] {
  return show(strategyOf(group, kind).validate?.(made(group, kind, spec)));
}

function updated(group: string, kind: string, after: Draft, before: Draft): readonly string[] {
  return show(strategyOf(group, kind).validateUpdate?.(made(group, kind, after), made(group, kind, before)));
}

test("workloads with a selector that fits their template are good", () => {
  for (const kind of ["Deployment", "ReplicaSet", "DaemonSet"])
    assert.deepEqual(created("apps", kind, { selector, template }), [], kind);
  const claims = [
    {
      metadata: { name: "data" },
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
    },
  ];
  const container = { ...template.spec.containers[0], volumeMounts: [{ name: "data", mountPath: "/data" }] };
  const stateful = {
    selector,
    serviceName: "web",
    template: { ...template, spec: { containers: [container] } },
    volumeClaimTemplates: claims,
  };
  assert.deepEqual(created("apps", "StatefulSet", stateful), []);
  const once = { ...template, spec: { ...template.spec, restartPolicy: "Never" } };
  assert.deepEqual(created("batch", "Job", { template: once }), []);
  assert.deepEqual(
    created("batch", "CronJob", { schedule: "*/5 * * * *", jobTemplate: { spec: { template: once } } }),
    [],
  );
});

test("a selector must be there and match, and templates of workloads restart always", () => {
  assert.deepEqual(created("apps", "Deployment", { template }), ["spec.selector: Required value"]);
  assert.deepEqual(created("apps", "Deployment", { selector: { matchLabels: { app: "x" } }, template }), [
    'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`',
  ]);
  const never = { ...template, spec: { ...template.spec, restartPolicy: "Never" } };
  assert.deepEqual(created("apps", "Deployment", { selector, template: never }), [
    'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
  ]);
  assert.deepEqual(created("apps", "Deployment", { selector, template, replicas: -1 }), [
    "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
  ]);
});

test("rolling updates must be able to move", () => {
  const strategy = { rollingUpdate: { maxUnavailable: 0, maxSurge: 0 } };
  assert.deepEqual(created("apps", "Deployment", { selector, template, strategy }), [
    "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
  ]);
  assert.deepEqual(
    created("apps", "Deployment", {
      selector,
      template,
      strategy: { type: "Recreate", rollingUpdate: { maxSurge: 1 } },
    }),
    ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
  );
  assert.deepEqual(created("apps", "DaemonSet", { selector, template, updateStrategy: strategy }), [
    "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
  ]);
});

test("selectors never change, and of stateful sets only what says how many and which pods", () => {
  const other = { matchLabels: { app: "web", tier: "x" } };
  const both = { ...template, metadata: { labels: { app: "web", tier: "x" } } };
  assert.deepEqual(updated("apps", "Deployment", { selector: other, template: both }, { selector, template }), [
    'spec.selector: Invalid value: {"matchLabels":{"app":"web","tier":"x"}}: field is immutable',
  ]);
  assert.deepEqual(
    updated("apps", "StatefulSet", { selector, template, serviceName: "b" }, { selector, template, serviceName: "a" }),
    [
      "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
    ],
  );
  assert.deepEqual(updated("apps", "StatefulSet", { selector, template, replicas: 3 }, { selector, template }), []);
});

test("a job's pods do not restart always, its template stays, its selector is its own", () => {
  const once = { ...template, spec: { ...template.spec, restartPolicy: "Never" } };
  assert.deepEqual(created("batch", "Job", { template }), [
    'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
  ]);
  assert.deepEqual(created("batch", "Job", { template: once, backoffLimitPerIndex: 1 }), [
    "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
  ]);
  assert.match(
    updated("batch", "Job", { template: { ...once, metadata: { labels: { app: "other" } } } }, { template: once })[0] ??
      "",
    /^spec\.template: Invalid value: .*: field is immutable$/,
  );
  assert.deepEqual(updated("batch", "Job", { template: once, parallelism: 3, completions: 1 }, { template: once }), []);
  assert.deepEqual(updated("batch", "Job", { template: once, completions: 3 }, { template: once }), [
    "spec.completions: Invalid value: 3: field is immutable",
  ]);
  assert.match(
    created("batch", "Job", { template: once, selector: { matchLabels: { a: "b" } } }).join("\n"),
    /spec\.selector: Invalid value: .*: `selector` not auto-generated/,
  );
});

test("schedules are read as cron reads them", () => {
  for (const good of ["* * * * *", "*/15 0-6,12 1 jan-mar MON", "@daily", "@every 1h30m", "0 0 ? * sun"])
    assert.equal(findScheduleError(good), undefined, good);
  assert.equal(findScheduleError("* * *"), "expected exactly 5 fields, found 3: [* * *]");
  assert.equal(findScheduleError("61 * * * *"), "end of range (61) above maximum (59): 61");
  assert.equal(findScheduleError("* * * * x"), 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax');
  assert.equal(findScheduleError("@never"), "unrecognized descriptor: @never");
});
