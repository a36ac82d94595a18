import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ProtobufCodec } from "#apimachinery/codecs/protobuf-codec.ts";
import { RawJson } from "#apimachinery/codecs/raw-json.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { StructSchema } from "#apimachinery/schema.ts";
import { loadKindFacts } from "#api/kind-facts-table.ts";
import { parseLean } from "./lean-object.ts";
import { PartialReader } from "./partial-reader.ts";
import { StoredObject, toStoredBytes } from "./stored-object.ts";
import { createStoredResource } from "./stored-resource.ts";

const resource = createStoredResource({ groupResource: "pods", isNamespaced: true, kind: "Pod", apiVersion: "v1" });
const texts = fc.oneof(fc.string(), fc.constantFrom("fieldsV1", '"fieldsV1":{', "}]}", "\\", 'fieldsV1":{'));
const empty = fc.constant({});
/** Keys that end with a backslash are refused: see own-key.ts. */
const keys = texts.filter((text) => text !== '"' && !text.includes("\\"));
const inner = fc.dictionary(keys, empty, { maxKeys: 3 });
const sets = fc.dictionary(keys, fc.oneof(empty, inner), { maxKeys: 3 });

type Given = {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly entries: readonly {
    readonly manager: string;
    readonly fields: object | null;
    readonly subresource: string;
  }[];
  readonly isFirst: boolean;
  readonly command: readonly string[];
};

const pods: fc.Arbitrary<Given> = fc.record({
  labels: fc.dictionary(keys, texts),
  annotations: fc.dictionary(keys, texts),
  entries: fc.array(fc.record({ manager: texts, fields: fc.option(sets), subresource: texts }), { maxLength: 3 }),
  isFirst: fc.boolean(),
  command: fc.array(texts),
});

function podOf({ labels, annotations, entries, isFirst, command }: Given): KubeObject {
  const managedFields = entries.map(({ manager, fields, subresource }) => ({
    manager,
    operation: "Update",
    apiVersion: "v1",
    fieldsType: "FieldsV1",
    ...(fields === null ? {} : { fieldsV1: fields }),
    subresource,
  }));
  const owned = entries.length === 0 ? {} : { managedFields };
  const metadata = { ...(isFirst ? owned : {}), name: "p", labels, annotations, ...owned };
  const inner = { metadata: { labels, managedFields }, fieldsV1: { a: {} } };
  return { metadata, spec: { containers: [{ name: "c", command }], fieldsV1: inner } } as unknown as KubeObject;
}

function storedOf(object: KubeObject): StoredObject {
  return new StoredObject(resource, { key: "/registry/pods/a/p", revision: 7, bytes: toStoredBytes(resource, object) });
}

test("an object without what managers own is the object, and their sets are there as bytes", () => {
  fc.assert(
    fc.property(pods, (given) => {
      const stored = storedOf(podOf(given));

      const whole = JSON.parse(
        JSON.stringify(stored.lean, (_, value) => (value instanceof RawJson ? parsed(value) : value)),
      );

      assert.deepEqual(whole, JSON.parse(JSON.stringify(stored.passing)));
    }),
  );
});

test("protobuf made of it is the protobuf of the whole object", () => {
  const codec = new ProtobufCodec();
  const schema = loadKindFacts().schemaOf("", "v1", "Pod") as StructSchema;
  fc.assert(
    fc.property(pods, (given) => {
      const stored = storedOf(podOf(given));

      assert.ok(codec.encode(schema, stored.lean).equals(codec.encode(schema, stored.passing)));
    }),
  );
});

test("an object without some fields is the object with null for them", () => {
  const unread = ["labels", "command", "fieldsV1", "a", "managedFields"];
  fc.assert(
    fc.property(pods, fc.subarray(unread), (given, names) => {
      const bytes = toStoredBytes(resource, podOf(given));
      const expected: unknown = JSON.parse(bytes.toString(), (key, value) => (names.includes(key) ? null : value));

      const { object, metadataEnd } = new PartialReader(names).read(bytes, resource.head.length);

      assert.deepEqual(object, expected);
      assert.equal(metadataEnd, parseLean(bytes, resource.head.length).metadataEnd);
    }),
  );
});

test("an object without some fields is the same whatever was read before it", () => {
  const unread = ["labels", "command", "fieldsV1", "managedFields"];
  const check = fc.property(fc.array(pods, { minLength: 2, maxLength: 4 }), fc.subarray(unread), (given, names) => {
    const reader = new PartialReader(names);
    const objects = given.map(podOf);
    // Some have all but their name in common, some a part.
    const mixed = objects.map((object, index) => ({
      ...object,
      ...objects[index - 1],
      metadata: object.metadata ?? {},
    }));
    for (const object of [...objects, ...mixed, ...objects]) {
      const bytes = toStoredBytes(resource, object);
      assert.deepEqual(
        reader.read(bytes, resource.head.length),
        new PartialReader(names).read(bytes, resource.head.length),
      );
    }
  });
  fc.assert(check);
});

test("values that only begin alike are told apart", () => {
  const reader = new PartialReader(["a"]);
  const read = (rest: string): unknown => reader.read(Buffer.from(`{"metadata":{${rest}}`), 13).object;

  assert.deepEqual(read('"a":1},"b":1,"c":"x"'), { metadata: { a: null }, b: 1, c: "x" });
  assert.deepEqual(read('"a":12},"b":12,"c":"x"'), { metadata: { a: null }, b: 12, c: "x" });
  assert.deepEqual(read('"a":12,"d":3},"b":12,"c":"xy"'), { metadata: { a: null, d: 3 }, b: 12, c: "xy" });
});

test("metadata alone is the same before and after", () => {
  fc.assert(
    fc.property(pods, (given) => {
      const stored = storedOf(podOf(given));
      const metadata = storedOf(podOf(given)).passingMetadata;

      assert.ok(stored.lean);

      assert.deepEqual(stored.passingMetadata, metadata);
    }),
    { numRuns: 30 },
  );
});

test("nothing is parsed where the object is at hand", () => {
  const parsed = podOf({ labels: {}, annotations: {}, entries: [], isFirst: false, command: [] });
  const bytes = toStoredBytes(resource, parsed);
  const stored = new StoredObject(resource, { key: "/registry/pods/a/p", revision: 7, bytes, parsed });

  assert.equal((stored.lean as { spec?: unknown }).spec, (parsed as { spec?: unknown }).spec);
});

function parsed({ bytes }: RawJson): unknown {
  return JSON.parse(Buffer.from(bytes).toString());
}
