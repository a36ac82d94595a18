import assert from "node:assert/strict";
import { test } from "node:test";
import { type BodyOptions, decodeBody } from "#apimachinery/codecs/body-codec.ts";
import { ProtobufCodec } from "#apimachinery/codecs/protobuf-codec.ts";
import { writeEnvelope } from "#apimachinery/codecs/protobuf-envelope.ts";
import type { FieldSchema, StructSchema } from "#apimachinery/schema.ts";
import { loadKindFacts } from "./kind-facts-table.ts";

const facts = loadKindFacts();
const protobuf = new ProtobufCodec();
const deployment: BodyOptions = {
  mediaType: "application/json",
  expected: { apiVersion: "apps/v1", kind: "Deployment" },
  findSchema: (group, version, kind) => facts.schemaOf(group, version, kind),
  fieldValidation: "Strict",
  protobuf,
};

test("an object is read into the form that Go gives back", async () => {
  const body = {
    metadata: { name: "web", creationTimestamp: null, labels: {} },
    spec: {
      paused: false,
      replicas: 0,
      selector: { matchLabels: { a: "b" } },
      template: { spec: { containers: [{ name: "c", resources: { limits: { cpu: 2, memory: "0.5Gi" } } }] } },
    },
  };

  const { object, warnings } = await decode(JSON.stringify(body));

  assert.deepEqual(warnings, []);
  assert.deepEqual(object, {
    kind: "Deployment",
    apiVersion: "apps/v1",
    metadata: { name: "web" },
    spec: {
      replicas: 0,
      selector: { matchLabels: { a: "b" } },
      template: {
        metadata: {},
        spec: { containers: [{ name: "c", resources: { limits: { cpu: "2", memory: "512Mi" } } }] },
      },
      strategy: {},
    },
    status: {},
  });
});

test("protobuf and JSON of one object are read alike", async () => {
  const schema = facts.schemaOf("apps", "v1", "Deployment") as StructSchema;
  const body = { metadata: { name: "web" }, spec: { template: { spec: { containers: [{ name: "c", image: "i" }] } } } };
  const raw = protobuf.encode(schema, body);

  const fromJson = await decode(JSON.stringify(body));
  const fromProtobuf = await decodeBody(writeEnvelope({ apiVersion: "apps/v1", kind: "Deployment", raw }), {
    ...deployment,
    mediaType: "application/vnd.kubernetes.protobuf",
  });

  assert.equal(JSON.stringify(fromProtobuf.object), JSON.stringify(fromJson.object));
});

const invalid = `{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"web"},"spec":{
  "unknown1":"x","unknownDupe":1,"unknownDupe":{"a":1,"a":2},"paused":true,"paused":false,
  "template":{"spec":{"containers":[{"name":"n","unknownNested":1,"imagePullPolicy":"Always","imagePullPolicy":"Never"}]}}}}`;

test("Strict refuses unknown and repeated fields with upstream's message", async () => {
  await rejects(
    decode(invalid),
    'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec.unknown1", unknown field "spec.unknownDupe", ' +
      'duplicate field "spec.paused", unknown field "spec.template.spec.containers[0].unknownNested", ' +
      'duplicate field "spec.template.spec.containers[0].imagePullPolicy"',
  );
});

test("Warn tells of the same fields and drops them, Ignore is silent", async () => {
  const warned = await decode(invalid, { fieldValidation: "Warn" });
  const ignored = await decode(invalid, { fieldValidation: "Ignore" });

  assert.equal(warned.warnings.length, 5);
  assert.equal(warned.warnings[0], 'unknown field "spec.unknown1"');
  assert.deepEqual(ignored.warnings, []);
  assert.deepEqual(warned.object, ignored.object);
  assert(!JSON.stringify(warned.object).includes("unknown"));
});

test("values of a wrong type are refused in Go's words", async () => {
  const cases: [string, string][] = [
    [
      '{"spec":{"replicas":"3"}}',
      "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
    ],
    [
      '{"spec":{"replicas":1.5}}',
      "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
    ],
    [
      '{"metadata":{"labels":{"a":true}}}',
      "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
    ],
    [
      '{"spec":{"template":{"spec":{"containers":{}}}}}',
      "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
    ],
    [
      '{"spec":{"strategy":{"type":1}}}',
      "json: cannot unmarshal number into Go struct field DeploymentStrategy.spec.strategy.type of type v1.DeploymentStrategyType",
    ],
    // A text that its type's own parser refuses counts for more than a type error before it.
    [
      '{"spec":{"replicas":"3","template":{"metadata":{"creationTimestamp":"x"}}}}',
      'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"',
    ],
  ];

  for (const [body, message] of cases) {
    await rejects(decode(body), `Deployment in version "v1" cannot be handled as a Deployment: ${message}`);
  }
});

test("what is no object is refused with the body's beginning", async () => {
  const unrecognized =
    "the object provided is unrecognized (must be of type Deployment): couldn't get version/kind; json parse error: ";

  await rejects(decode("hello"), `${unrecognized}invalid character 'h' looking for beginning of value (68656c6c6f)`);
  await rejects(decode(""), `${unrecognized}unexpected end of JSON input (<empty>)`);
  await rejects(decode('{"a":'), `${unrecognized}unexpected end of JSON input ({"a":)`);
  await assert.rejects(decode("[".repeat(5000)), /exceeded max depth/);
  await assert.rejects(
    decode('{"kind":"Nope","apiVersion":"apps/v1"}'),
    /no kind "Nope" is registered for version "apps\/v1"/,
  );
});

test("YAML is read as Go reads it: octal numbers, yes as true, lines of repeated keys", async () => {
  const yaml = "spec:\n  paused: yes\n  minReadySeconds: 0010\n  minReadySeconds: 0x10\nmetadata:\n  name: web\n";

  const { object, warnings } = await decode(yaml, { mediaType: "application/yaml", fieldValidation: "Warn" });

  assert.deepEqual((object["spec"] as Record<string, unknown>)["paused"], true);
  assert.deepEqual((object["spec"] as Record<string, unknown>)["minReadySeconds"], 16);
  assert.deepEqual(warnings, ['yaml: unmarshal errors:\n  line 4: key "minReadySeconds" already set in map']);
});

test("YAML's aliases are bounded", async () => {
  const levels = Array.from({ length: 12 }, (_, level) => `l${level + 1}: &l${level + 1} [${`*l${level},`.repeat(9)}]`);
  const bomb = `l0: &l0 [x]\n${levels.join("\n")}\n`;

  await assert.rejects(decode(bomb, { mediaType: "application/yaml" }), /alias/i);
});

test("YAML that nests without end is refused, by brackets and by indentation", async () => {
  const blocks = Array.from({ length: 1200 }, (_, depth) => `${" ".repeat(depth)}a:`).join("\n");

  await assert.rejects(decode("[".repeat(100_000), { mediaType: "application/yaml" }), /exceeded max depth/);
  await assert.rejects(decode(`- `.repeat(20_000), { mediaType: "application/yaml" }), { code: 400 });
  await assert.rejects(decode(blocks, { mediaType: "application/yaml" }), { code: 400 });
});

test("YAML's first document counts, and an empty one is an object without values", async () => {
  const first = await decode("spec:\n  replicas: 2\n---\nspec:\n  replicas: 3\n", { mediaType: "application/yaml" });
  const empty = await decode("# nothing\n", { mediaType: "application/yaml" });

  assert.equal((first.object["spec"] as Record<string, unknown>)["replicas"], 2);
  assert.equal(empty.object["kind"], "Deployment");
});

test("keys named like parts of a prototype are ordinary", async () => {
  const body =
    '{"metadata":{"name":"a","labels":{"__proto__":"x","constructor":"y"}},"__proto__":{"spec":{"replicas":7}}}';

  const { object, warnings } = await decode(body, { fieldValidation: "Warn" });

  assert.equal(
    JSON.stringify((object["metadata"] as Record<string, unknown>)["labels"]),
    '{"__proto__":"x","constructor":"y"}',
  );
  assert.equal(Object.getPrototypeOf(object), Object.prototype);
  assert.deepEqual(warnings, ['unknown field "__proto__"']);
});

test("custom resources keep nulls and wrong types for their schema's validation, and lose unknown fields", async () => {
  const scalar = { kind: "scalar", type: "string" } as const;
  const spec = struct({ size: scalar, kept: { ...struct({}), preservesUnknownFields: true } });
  const schema = struct({ apiVersion: scalar, kind: scalar, spec });
  const body = '{"apiVersion":"x.io/v1","kind":"Foo","spec":{"size":null,"size":3,"nope":1,"kept":{"a":{"b":null}}}}';

  const { object, warnings } = await decode(body, {
    expected: { apiVersion: "x.io/v1", kind: "Foo" },
    findSchema: () => schema,
    fieldValidation: "Warn",
  });

  assert.deepEqual(object, { apiVersion: "x.io/v1", kind: "Foo", spec: { size: 3, kept: { a: { b: null } } } });
  assert.deepEqual(warnings, ['duplicate field "spec.size"', 'unknown field "spec.nope"']);
});

function decode(text: string, changes: Partial<BodyOptions> = {}) {
  return decodeBody(Buffer.from(text), { ...deployment, ...changes });
}

async function rejects(promise: Promise<unknown>, message: string): Promise<void> {
  await assert.rejects(promise, (error: { code?: number; message: string }) => {
    assert.equal(error.message, message);
    assert.equal(error.code, 400);
    return true;
  });
}

function struct(fields: Readonly<Record<string, FieldSchema["schema"]>>): StructSchema {
  const entries = Object.entries(fields).map(([name, schema]): [string, FieldSchema] => [
    name,
    { name, schema, isRequired: false, omitEmpty: true, patchStrategy: [] },
  ]);
  return { kind: "struct", name: "", fields: new Map(entries), mapType: "granular", preservesUnknownFields: false };
}
