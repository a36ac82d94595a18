import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ProtobufCodec } from "#apimachinery/codecs/protobuf-codec.ts";
import {
  hasEnvelope,
  readEnvelope,
  writeEnvelope,
  writeListHead,
  writeListItem,
  writeWatchFrame,
} from "#apimachinery/codecs/protobuf-envelope.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { ScalarSchema, Schema, StructSchema } from "#apimachinery/schema.ts";
import { loadKindFacts } from "./kind-facts-table.ts";

const facts = loadKindFacts();
const codec = new ProtobufCodec();

test("whatever is encoded is decoded to an object that encodes to the same bytes", () => {
  for (const resource of facts.resources) {
    const schema = schemaOf(resource.group, resource.version, resource.kind);
    const check = fc.property(objectOf(schema, 4), (object) => {
      const bytes = codec.encode(schema, object);
      assert(codec.encode(schema, codec.decode(schema, bytes)).equals(bytes));
    });
    fc.assert(check, { numRuns: 3, seed: 36 });
  }
});

test("what is made of an object's text is read as what is made of the object", () => {
  let made = 0;
  for (const resource of facts.resources) {
    const schema = schemaOf(resource.group, resource.version, resource.kind);
    const check = fc.property(objectOf(schema, 5), fc.constantFrom("", "7"), (given, resourceVersion) => {
      const { kind, apiVersion, metadata = {}, ...rest } = given as KubeObject;
      const object = { kind, apiVersion, metadata, ...rest };
      const whole = { ...object, metadata: { ...metadata, ...(resourceVersion === "" ? {} : { resourceVersion }) } };
      const { resourceVersion: _, ...stored } = whole.metadata;
      const text = JSON.stringify({ ...object, metadata: resourceVersion === "" ? metadata : stored });

      const bytes = codec.encodeText(schema, Buffer.from(text), resourceVersion);

      if (bytes === undefined) return;
      made++;
      assert.deepEqual(codec.decode(schema, bytes), codec.decode(schema, codec.encode(schema, whole)));
    });
    fc.assert(check, { numRuns: 6, seed: 37 });
  }
  assert.ok(made > facts.resources.length * 5, `only ${made} were made of their text`);
});

test("an object comes out the same whatever was made before it, also where they have much in common", () => {
  const schema = schemaOf("", "v1", "Pod");
  const text = fc.constantFrom("a", "é", "a".repeat(40), "b".repeat(200), "c".repeat(20_000));
  const container = fc.record({
    name: text,
    env: fc.array(fc.record({ name: text, value: text }), { maxLength: 10 }),
    resources: fc.record({ limits: fc.constantFrom({ cpu: "1", memory: "128Mi" }, { cpu: "200m" }) }),
  });
  const pod = fc.record({
    metadata: fc.record({
      labels: fc.dictionary(fc.constantFrom("a", "b"), text),
      managedFields: fc.array(fc.record({ manager: text, fieldsV1: fc.constant({ "f:spec": { "f:a": {} } }) })),
    }),
    spec: fc.record({ containers: fc.array(container, { maxLength: 3 }), nodeName: text }),
  });
  const check = fc.property(fc.array(pod, { minLength: 2, maxLength: 6 }), (pods) => {
    const warm = new ProtobufCodec();
    for (const each of [...pods, ...pods]) {
      const json = Buffer.from(JSON.stringify(each));
      const bytes = warm.encodeText(schema, json, "7");
      assert.deepEqual(bytes, new ProtobufCodec().encodeText(schema, json, "7"));
      assert.ok(bytes !== undefined);
    }
  });
  fc.assert(check, { numRuns: 60, seed: 39 });
});

test("what is left to the encoder half way leaves nothing behind for the objects after it", () => {
  const schema = schemaOf("", "v1", "Pod");
  const labels = { app: "web-with-a-name-that-is-long-enough", tier: "front" };
  const good = Buffer.from(JSON.stringify({ metadata: { name: "b", labels } }));
  const bad = Buffer.from(JSON.stringify({ metadata: { name: "a", labels }, spec: 7 }));

  assert.equal(codec.encodeText(schema, bad, "7"), undefined);

  assert.deepEqual(codec.encodeText(schema, good, "7"), new ProtobufCodec().encodeText(schema, good, "7"));
});

test("text that is cut off, or no object of this kind, is left to the encoder", () => {
  const schema = schemaOf("", "v1", "Pod");
  const text = JSON.stringify({
    metadata: { name: "web", labels: { a: "b" } },
    spec: { containers: [{ name: "c", ports: [{ containerPort: 80 }] }] },
  });
  assert.ok(codec.encodeText(schema, Buffer.from(text), "7"));

  for (let length = 0; length < text.length; length++)
    assert.equal(codec.encodeText(schema, Buffer.from(text.slice(0, length)), "7"), undefined, text.slice(0, length));
  for (const wrong of ["[]", '{"metadata":7}', '{"spec":{"containers":{}}}', '{"spec":{"hostNetwork":1}}', `${text}x`])
    assert.equal(codec.encodeText(schema, Buffer.from(wrong), ""), undefined, wrong);
});

test("an object keeps its values, and empty structs and required lists appear as Go shows them", () => {
  const schema = schemaOf("apps", "v1", "Deployment");
  const given = { metadata: { name: "web", labels: { a: "b", __proto__x: "c" } }, spec: { replicas: 0 } };

  const decoded = codec.decode(schema, codec.encode(schema, given), { apiVersion: "apps/v1", kind: "Deployment" });

  assert.deepEqual(decoded, {
    kind: "Deployment",
    apiVersion: "apps/v1",
    metadata: { name: "web", labels: { a: "b", __proto__x: "c" } },
    spec: {
      replicas: 0,
      selector: null,
      template: { metadata: {}, spec: { containers: null } },
      strategy: {},
    },
    status: {},
  });
});

test("the key __proto__ is an ordinary key", () => {
  const schema = schemaOf("", "v1", "ConfigMap");
  const given = JSON.parse('{"data":{"__proto__":"x","a":"b"}}');

  const decoded = codec.decode(schema, codec.encode(schema, given));

  assert.equal(JSON.stringify(decoded["data"]), '{"__proto__":"x","a":"b"}');
  assert.equal(Object.getPrototypeOf(decoded["data"]), Object.prototype);
});

test("negative numbers, large numbers and text beyond ASCII survive", () => {
  const schema = schemaOf("", "v1", "Pod");
  const spec = {
    priority: -2147483648,
    terminationGracePeriodSeconds: 9007199254740991,
    hostname: "h\u00e9\ud83d\ude00",
    containers: [],
  };

  const decoded = codec.decode(schema, codec.encode(schema, { spec }));

  assert.deepEqual(decoded["spec"], { ...spec, containers: null });
});

test("schemas of CustomResourceDefinitions keep booleans, lists and nested schemas apart", () => {
  const schema = schemaOf("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
  const openAPIV3Schema = {
    type: "object",
    default: { a: [1, null] },
    items: { type: "string" },
    properties: {
      a: { additionalProperties: true, "x-kubernetes-preserve-unknown-fields": false },
      b: { additionalProperties: { type: "integer" }, items: [{ type: "string" }, {}] },
      c: { additionalProperties: false, dependencies: { d: ["e", "f"], g: { type: "array" } } },
    },
  };
  const version = { name: "v1", served: true, storage: true, schema: { openAPIV3Schema } };

  const decoded = codec.decode(schema, codec.encode(schema, { spec: { versions: [version] } }));

  const [found] = (decoded["spec"] as { versions: (typeof version)[] }).versions;
  assert.deepEqual(found?.schema.openAPIV3Schema, openAPIV3Schema);
});

test("bytes that are cut off or are no protobuf are refused with 400, whatever they are", () => {
  const schema = schemaOf("", "v1", "Pod");
  const refuses = (bytes: Uint8Array): void => {
    try {
      codec.decode(schema, bytes);
    } catch (error) {
      assert.equal((error as { readonly code?: number }).code, 400, String(error));
    }
  };

  const whole = codec.encode(schema, { metadata: { name: "web" }, spec: { containers: [{ name: "a", image: "b" }] } });

  for (let length = 1; length < whole.length; length++) refuses(whole.subarray(0, length));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), refuses), { numRuns: 200 });
  assert.throws(() => readEnvelope(Buffer.from("{}")), /does not appear to be a protobuf message/);
});

test("a list put together from encoded items is what encoding it whole gives", () => {
  const list = schemaOf("", "v1", "ConfigMapList");
  const item = schemaOf("", "v1", "ConfigMap");
  const items = [{ metadata: { name: "a" } }, { metadata: { name: "b" }, data: { x: "y" } }];
  const metadata = codec.encode(facts.structOf("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta") as StructSchema, {
    resourceVersion: "7",
  });

  const encoded = items.map((each) => codec.encode(item, each));
  const { head, tail } = writeListHead({ apiVersion: "v1", kind: "ConfigMapList", metadata, items: encoded });
  const target = Buffer.alloc(10_000);
  let used = head.copy(target);
  for (const each of encoded) used = writeListItem(target, used, each);
  used += tail.copy(target, used);

  const whole = codec.encode(list, { metadata: { resourceVersion: "7" }, items });
  assert(target.subarray(0, used).equals(writeEnvelope({ apiVersion: "v1", kind: "ConfigMapList", raw: whole })));
});

test("a watch frame is a length and a WatchEvent that holds the object in its own envelope", () => {
  const schema = schemaOf("", "v1", "ConfigMap");
  const raw = codec.encode(schema, { metadata: { name: "a" } });
  const object = writeEnvelope({ apiVersion: "v1", kind: "ConfigMap", raw });

  const frame = writeWatchFrame("ADDED", object);

  assert.equal(frame.readUInt32BE(0), frame.length - 4);
  assert.equal(frame.subarray(4, 11).toString("latin1"), "\n\x05ADDED");
  const inner = frame.subarray(frame.length - object.length);
  assert(hasEnvelope(inner));
  assert.deepEqual(readEnvelope(inner), { apiVersion: "v1", kind: "ConfigMap", raw });
});

function schemaOf(group: string, version: string, kind: string): StructSchema {
  const schema = facts.schemaOf(group, version, kind);
  assert(schema, kind);
  return schema;
}

function objectOf(schema: StructSchema, depth: number): fc.Arbitrary<object> {
  const fields = [...schema.fields.values()].filter((field) => depth > 0 || field.schema.kind === "scalar");
  const arbitraries = fields.map((field) => [field.name, valueOf(field.schema, depth - 1)] as const);
  return fc.record(Object.fromEntries(arbitraries), { requiredKeys: [] });
}

/** Those that end with a backslash are refused: see own-key.ts. */
const mapKeys = fc.string({ maxLength: 4 }).filter((key) => !key.endsWith("\\"));

function valueOf(schema: Schema, depth: number): fc.Arbitrary<unknown> {
  if (schema.kind === "struct") return depth <= 0 ? fc.constant({}) : objectOf(schema, depth);
  if (schema.kind === "list") return fc.array(valueOf(schema.items, depth), { maxLength: 2 });
  if (schema.kind === "map") return fc.dictionary(mapKeys, valueOf(schema.values, depth), { maxKeys: 2 });
  return scalarOf(schema);
}

function scalarOf(schema: ScalarSchema): fc.Arbitrary<unknown> {
  switch (schema.type) {
    case "string":
      return fc.string({ unit: "grapheme", maxLength: 8 });
    case "boolean":
      return fc.boolean();
    case "int32":
      return fc.integer();
    case "int64":
      return fc.maxSafeInteger();
    case "double":
      return fc.double({ noNaN: true, noDefaultInfinity: true });
    case "bytes":
      return fc.base64String({ minLength: 4, maxLength: 8 });
    case "quantity":
      return fc.constantFrom("1", "100m", "1Gi", "0");
    case "time":
      return fc.constantFrom("2024-01-02T03:04:05Z", "1969-12-31T23:59:59Z");
    case "microTime":
      return fc.constantFrom("2024-01-02T03:04:05.000001Z", "2024-01-02T03:04:05.999999Z");
    case "duration":
      return fc.constantFrom("1h0m0s", "1.5s", "0s");
    case "intOrString":
      return fc.oneof(fc.integer(), fc.constant("25%"));
    case "any":
      return schema.union === undefined ? fc.constantFrom({ a: [1, "b", null] }, "text", 3) : fc.constant(null);
  }
}
