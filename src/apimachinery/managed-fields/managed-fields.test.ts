import assert from "node:assert/strict";
import { test } from "node:test";
import type { Json, KubeObject, ManagedFieldsEntry } from "#apimachinery/meta.ts";
import type { FieldSchema, ListSchema, Schema, StructSchema } from "#apimachinery/schema.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import { applyServerSide, type ServerSideApply } from "./apply-server-side.ts";
import { type FieldSet, fieldTexts } from "./field-set.ts";
import { managedFieldsOfParent, managedFieldsOfScale } from "./scale.ts";
import { updateManagedFields } from "./update-managed-fields.ts";

const text: Schema = { kind: "scalar", type: "string" };
const number: Schema = { kind: "scalar", type: "int32" };
const strings: Schema = { kind: "map", values: text, mapType: "granular", patchStrategy: [] };

function list(items: Schema, listType: ListSchema["listType"], ...mapKeys: string[]): ListSchema {
  return { kind: "list", items, listType, mapKeys, patchStrategy: [] };
}

function struct(
  fields: Readonly<Record<string, Schema>>,
  defaults: Readonly<Record<string, unknown>> = {},
): StructSchema {
  const entries = Object.entries(fields).map(([name, schema]): [string, FieldSchema] => {
    const base = { name, schema, patchStrategy: [], isRequired: false, omitEmpty: true };
    return [name, name in defaults ? { ...base, default: defaults[name] } : base];
  });
  return { kind: "struct", name: "x", fields: new Map(entries), mapType: "granular", preservesUnknownFields: false };
}

const port = struct({ containerPort: number, protocol: text, name: text }, { protocol: "TCP" });
const container = struct({
  name: text,
  image: text,
  args: list(text, "atomic"),
  ports: list(port, "map", "containerPort", "protocol"),
});
const schema = struct({
  apiVersion: text,
  kind: text,
  metadata: struct({
    name: text,
    namespace: text,
    uid: text,
    resourceVersion: text,
    labels: strings,
    annotations: strings,
    finalizers: list(text, "set"),
    managedFields: list(text, "atomic"),
  }),
  spec: struct({ replicas: number, containers: list(container, "map", "name"), raw: { kind: "scalar", type: "any" } }),
  status: struct({ ready: number }),
});

const now = Date.UTC(2026, 0, 1);
const time = "2026-01-01T00:00:00Z";
const identity = { apiVersion: "apps/v1", kind: "Deployment" };

type Fields = Readonly<Record<string, Json>>;

function deployment(spec: Fields, metadata: Fields = {}, rest: Fields = {}): KubeObject {
  return { ...identity, metadata: { name: "web", namespace: "default", ...metadata }, spec, ...rest } as KubeObject;
}

function update(live: KubeObject | undefined, next: KubeObject, manager: string, subresource = "") {
  const base = { live, next, manager, apiVersion: "apps/v1", subresource, now, schema };
  return updateManagedFields(subresource === "" ? { ...base, resetFields: { "f:status": {} } } : base);
}

function apply(
  live: KubeObject | undefined,
  applied: KubeObject,
  manager: string,
  more: Partial<ServerSideApply> = {},
) {
  const frozen = JSON.stringify([live, applied]);
  const base = { live, applied, manager, force: false, subresource: "", now, schema, ...identity };
  const result = applyServerSide({ ...base, resetFields: { "f:status": {} }, ...more });
  assert.equal(JSON.stringify([live, applied]), frozen, "inputs must not change");
  return result;
}

function owned(entries: readonly ManagedFieldsEntry[] | undefined): Record<string, readonly string[]> {
  return Object.fromEntries(
    (entries ?? []).map((entry) => [
      `${entry.manager}/${entry.operation}${entry.subresource ? `/${entry.subresource}` : ""}`,
      fieldTexts(entry.fieldsV1 as FieldSet),
    ]),
  );
}

function specOf(object: KubeObject): Fields {
  return (object as unknown as { spec: Fields }).spec;
}

/** The object as the server would store it. */
function stored(object: KubeObject, entries: readonly ManagedFieldsEntry[] | undefined): KubeObject {
  const metadata = { ...object.metadata, uid: "u", ...(entries === undefined ? {} : { managedFields: entries }) };
  return { ...object, metadata };
}

test("a create gives all fields to its manager, but what the server keeps", () => {
  const entries = update(
    undefined,
    deployment({ replicas: 1, containers: [{ name: "a", image: "x" }] }, { labels: { l: "1" } }),
    "kubectl-create",
  );
  assert.deepEqual(entries, [
    {
      manager: "kubectl-create",
      operation: "Update",
      apiVersion: "apps/v1",
      time,
      fieldsType: "FieldsV1",
      fieldsV1: {
        "f:metadata": { "f:labels": { ".": {}, "f:l": {} } },
        "f:spec": {
          "f:containers": { ".": {}, 'k:{"name":"a"}': { ".": {}, "f:image": {}, "f:name": {} } },
          "f:replicas": {},
        },
      },
    },
  ]);
});

test("an update takes fields from others, and what disappears is nobody's", () => {
  const first = deployment({ replicas: 1, raw: { a: 1 } }, { labels: { a: "1", b: "1" } });
  const live = stored(first, update(undefined, first, "one"));
  const next = deployment({ replicas: 2, raw: { a: 1 } }, { labels: { a: "1" }, uid: "u" });
  assert.deepEqual(owned(update(live, next, "two")), {
    "one/Update": [".metadata.labels", ".metadata.labels.a", ".spec.raw"],
    "two/Update": [".spec.replicas"],
  });
});

test("an update that changes nothing leaves the entries as they are, with their times", () => {
  const first = deployment({ replicas: 1 });
  const live = stored(first, update(undefined, first, "one"));
  const entries = updateManagedFields({
    live,
    next: live,
    manager: "two",
    apiVersion: "apps/v1",
    subresource: "",
    now: now + 60_000,
    schema,
  });
  assert.deepEqual(entries, live.metadata?.managedFields);
  assert.equal(entries?.[0], live.metadata?.managedFields?.[0]);
});

test("status belongs to the manager of the status subresource only", () => {
  const first = deployment({ replicas: 1 }, {}, { status: { ready: 1 } });
  const live = stored(first, update(undefined, first, "one"));
  const next = stored(deployment({ replicas: 1 }, {}, { status: { ready: 2 } }), live.metadata?.managedFields);
  assert.deepEqual(owned(update(live, next, "one", "status")), {
    "one/Update": [".spec.replicas"],
    "one/Update/status": [".status.ready"],
  });
});

test("clients reset managedFields with an empty list or an empty entry", () => {
  const first = deployment({ replicas: 1 });
  const live = stored(first, update(undefined, first, "one"));
  assert.equal(update(live, { ...first, metadata: { ...first.metadata, managedFields: [{}] } }, "two"), undefined);
  assert.equal(update(live, { ...first, metadata: { ...first.metadata, managedFields: [] } }, "two"), undefined);
});

test("the eleventh updater makes the oldest two ancient changes", () => {
  let live = stored(deployment({ replicas: 0 }), undefined);
  let entries: readonly ManagedFieldsEntry[] | undefined;
  for (let index = 0; index < 12; index++) {
    const key = `l${index}`;
    const labels = { ...live.metadata?.labels, [key]: "1" };
    const next = { ...live, metadata: { ...live.metadata, labels } };
    entries = updateManagedFields({
      live: index === 0 ? undefined : live,
      next,
      manager: `m${index}`,
      apiVersion: "apps/v1",
      subresource: "",
      now: now + index * 1000,
      schema,
    });
    live = stored(next, entries);
  }
  assert.equal(entries?.length, 10);
  assert.equal(entries?.[0]?.manager, "ancient-changes");
  assert.equal(entries?.[0]?.time, "2026-01-01T00:00:02Z");
});

test("an apply creates, merges by key, and takes its own fields away again", () => {
  const created = apply(undefined, deployment({ replicas: 1, containers: [{ name: "a", image: "x" }] }), "me");
  assert.equal(created.isUnchanged, false);
  const live = stored(created.object, created.object.metadata?.managedFields);
  const other = apply(
    live,
    deployment({ containers: [{ name: "b", image: "y", ports: [{ containerPort: 80 }] }] }),
    "other",
  );
  assert.deepEqual(specOf(other.object)["containers"], [
    { name: "a", image: "x" },
    { name: "b", image: "y", ports: [{ containerPort: 80 }] },
  ]);
  assert.deepEqual(owned(other.object.metadata?.managedFields)["other/Apply"], [
    '.spec.containers[name="b"]',
    '.spec.containers[name="b"].image',
    '.spec.containers[name="b"].name',
    '.spec.containers[name="b"].ports[containerPort=80,protocol="TCP"]',
    '.spec.containers[name="b"].ports[containerPort=80,protocol="TCP"].containerPort',
  ]);
  const fewer = apply(
    stored(other.object, other.object.metadata?.managedFields),
    deployment({ containers: [{ name: "a", image: "x" }] }),
    "me",
  );
  assert.deepEqual(specOf(fewer.object), { containers: specOf(other.object)["containers"] });
});

test("conflicts are refused in upstream's words, and forced on demand", () => {
  const first = deployment({ replicas: 1 });
  const live = stored(first, update(undefined, first, "kubectl-client-side-apply"));
  const wanted = deployment({ replicas: 2 });
  assert.throws(
    () => apply(live, wanted, "me"),
    (error: unknown) => {
      assert.ok(error instanceof StatusError);
      assert.equal(error.code, 409);
      assert.equal(
        error.message,
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas',
      );
      assert.deepEqual(error.details?.causes, [
        {
          reason: "FieldManagerConflict",
          message: 'conflict with "kubectl-client-side-apply" using apps/v1',
          field: ".spec.replicas",
        },
      ]);
      return true;
    },
  );
  const forced = apply(live, wanted, "me", { force: true });
  assert.deepEqual(owned(forced.object.metadata?.managedFields), {
    "me/Apply": [".spec.replicas"],
  });
});

test("several conflicts are listed by manager", () => {
  const first = deployment({ replicas: 1 }, { labels: { a: "1" } });
  const live = stored(first, update(undefined, first, "one"));
  assert.throws(() => apply(live, deployment({ replicas: 2 }, { labels: { a: "2" } }), "me"), {
    message:
      'Apply failed with 2 conflicts: conflicts with "one" using apps/v1:\n- .metadata.labels.a\n- .spec.replicas',
  });
});

test("values that two managers agree on belong to both", () => {
  const first = deployment({ replicas: 1 });
  const live = stored(first, update(undefined, first, "one"));
  const result = apply(live, deployment({ replicas: 1 }), "me");
  assert.equal(result.isUnchanged, true);
  assert.deepEqual(owned(result.object.metadata?.managedFields), {
    "me/Apply": [".spec.replicas"],
    "one/Update": [".spec.replicas"],
  });
  const given = apply(stored(result.object, result.object.metadata?.managedFields), deployment({}), "me");
  assert.deepEqual(specOf(given.object), { replicas: 1 });
});

test("what nobody was tracked for belongs to before-first-apply", () => {
  const live = stored(deployment({ replicas: 1 }), undefined);
  const result = apply(live, deployment({ containers: [{ name: "a" }] }), "me");
  assert.deepEqual(owned(result.object.metadata?.managedFields)["before-first-apply/Update"], [".spec.replicas"]);
});

test("kubectl takes over what it applied on the client's side", () => {
  const lastApplied = JSON.stringify(deployment({ replicas: 1 }));
  const annotations = { "kubectl.kubernetes.io/last-applied-configuration": lastApplied };
  const first = deployment({ replicas: 1 }, { annotations });
  const live = stored(first, update(undefined, first, "kubectl-client-side-apply"));
  const result = apply(live, deployment({ replicas: 3 }), "kubectl");
  assert.equal(specOf(result.object)["replicas"], 3);
  const updated = result.object.metadata?.annotations?.["kubectl.kubernetes.io/last-applied-configuration"] as string;
  assert.deepEqual(JSON.parse(updated), deployment({ replicas: 3 }));
});

test("unknown fields, duplicate items and a wrong version are refused in upstream's words", () => {
  assert.throws(() => apply(undefined, deployment({ foo: 1 }), "me"), {
    code: 500,
    message:
      "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema",
  });
  assert.throws(() => apply(undefined, deployment({ containers: [{ name: "a" }, { name: "a" }] }), "me"), {
    message: /\.spec\.containers: duplicate entries for key \[name="a"\]$/,
  });
  assert.throws(() => apply(undefined, { ...deployment({}), apiVersion: "v2" }, "me"), { code: 400 });
  assert.throws(() => apply(undefined, deployment({}, { managedFields: [] }), "me"), {
    code: 400,
    message: "metadata.managedFields must be nil",
  });
});

test("an apply that repeats itself changes nothing, not even times", () => {
  const first = apply(undefined, deployment({ replicas: 1 }), "me");
  const live = stored(first.object, first.object.metadata?.managedFields);
  const again = apply(live, deployment({ replicas: 1 }), "me", { now: now + 60_000 });
  assert.equal(again.isUnchanged, true);
  assert.deepEqual(again.object, live);
});

test("an empty apply gives up everything and deletes what nobody else owns", () => {
  const first = apply(
    undefined,
    deployment({ replicas: 1, containers: [{ name: "a", image: "x" }] }, { labels: { a: "1" } }),
    "me",
  );
  const result = apply(
    stored(first.object, first.object.metadata?.managedFields),
    { ...identity, metadata: { name: "web" } },
    "me",
  );
  assert.equal(specOf(result.object), undefined);
  assert.equal(result.object.metadata?.labels, undefined);
  assert.equal(result.object.metadata?.managedFields, undefined);
});

test("replicas that were set through scale are owned in the parent", () => {
  const first = deployment({ replicas: 1 });
  const parent = update(undefined, first, "one");
  const paths = { "apps/v1": ["f:spec", "f:replicas"] };
  const shown = managedFieldsOfScale(parent, paths);
  assert.deepEqual(owned(shown), { "one/Update": [".spec.replicas"] });
  const scaled: ManagedFieldsEntry[] = [
    {
      manager: "hpa",
      operation: "Update",
      apiVersion: "autoscaling/v1",
      subresource: "scale",
      time,
      fieldsType: "FieldsV1",
      fieldsV1: { "f:spec": { "f:replicas": {} } },
    },
  ];
  const after = managedFieldsOfParent(parent, scaled, { paths, apiVersion: "apps/v1" });
  assert.deepEqual(owned(after), { "hpa/Update/scale": [".spec.replicas"] });
});
