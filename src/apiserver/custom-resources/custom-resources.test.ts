/** Custom resources as clients see them, from the definition to its end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Json, KubeObject } from "#apimachinery/meta.ts";
import type { JsonObject } from "#apimachinery/json.ts";
import type { CustomResourceDefinition } from "#api/generated/types/apiextensions-v1.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import { startTestApiServer, type TestApiServer } from "#apiserver/testing/test-api-server.ts";

const definitions: ResourceRef = {
  resource: { group: "apiextensions.k8s.io", version: "v1", resource: "customresourcedefinitions" },
};
const crontabs: ResourceRef = {
  resource: { group: "stable.example.com", version: "v1", resource: "crontabs" },
  namespace: "default",
};
const definitionRef = { ...definitions, name: "crontabs.stable.example.com" };

type CronTab = KubeObject & { readonly spec: Readonly<Record<string, Json>>; readonly status?: JsonObject };

const schema = {
  type: "object",
  properties: {
    spec: {
      type: "object",
      required: ["cron"],
      properties: {
        cron: { type: "string", pattern: "^\\S+ \\S+$" },
        image: { type: "string", default: "nginx" },
        replicas: { type: "integer", minimum: 0, maximum: 10 },
      },
    },
    status: { type: "object", properties: { replicas: { type: "integer" }, selector: { type: "string" } } },
  },
} as const;

const keepsAll = { "x-kubernetes-preserve-unknown-fields": true } as const;

function definition(change: Partial<CustomResourceDefinition["spec"]> = {}): CustomResourceDefinition {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "crontabs.stable.example.com" },
    spec: {
      group: "stable.example.com",
      scope: "Namespaced",
      names: { plural: "crontabs", kind: "CronTab", shortNames: ["ct"] },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: { openAPIV3Schema: schema },
          subresources: {
            status: {},
            scale: {
              specReplicasPath: ".spec.replicas",
              statusReplicasPath: ".status.replicas",
              labelSelectorPath: ".status.selector",
            },
          },
          additionalPrinterColumns: [{ name: "Cron", type: "string", jsonPath: ".spec.cron" }],
          selectableFields: [{ jsonPath: ".spec.image" }],
        },
        { name: "v2", served: true, storage: false, schema: { openAPIV3Schema: schema } },
      ],
      ...change,
    },
  };
}

function cronTab(spec: Readonly<Record<string, Json>>, metadata: KubeObject["metadata"] = {}): CronTab {
  return { apiVersion: "stable.example.com/v1", kind: "CronTab", metadata: { name: "a", ...metadata }, spec };
}

async function until<T>(what: () => Promise<T | undefined>): Promise<T> {
  for (let attempt = 0; attempt < 500; attempt++) {
    const found = await what();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new Error("it did not happen");
}

async function install(
  client: Client,
  made: CustomResourceDefinition = definition(),
): Promise<CustomResourceDefinition> {
  await client.create(definitions, made as KubeObject);
  return until(async () => {
    const found = await client.get<CustomResourceDefinition>(definitionRef);
    return isTrue(found, "Established") ? found : undefined;
  });
}

function isTrue(definition: CustomResourceDefinition, type: string): boolean {
  return definition.status?.conditions?.some((each) => each.type === type && each.status === "True") === true;
}

async function start(): Promise<TestApiServer & AsyncDisposable> {
  const setup = await startTestApiServer();
  return { ...setup, [Symbol.asyncDispose]: () => setup.stop() };
}

test("a definition is established, and its resource served with defaults and pruning", async () => {
  await using setup = await start();
  const { client } = setup;

  const established = await install(client);
  const made = await client.create<CronTab>(crontabs, cronTab({ cron: "* *", unknown: 1 }));
  const read = await client.get<CronTab>({ ...crontabs, name: "a" });

  assert.deepEqual(established.status?.acceptedNames, {
    plural: "crontabs",
    singular: "crontab",
    kind: "CronTab",
    listKind: "CronTabList",
    shortNames: ["ct"],
  });
  assert.deepEqual(established.status?.storedVersions, ["v1"]);
  assert.deepEqual(made.spec, { cron: "* *", image: "nginx" });
  assert.equal(made.metadata?.generation, 1);
  assert.deepEqual(read, made);
});

test("what does not fit the schema is refused in upstream's words", async () => {
  await using setup = await start();
  const { client } = setup;
  await install(client);

  await assert.rejects(client.create(crontabs, cronTab({ cron: "x", replicas: 11 })), {
    code: 422,
    message:
      'CronTab.stable.example.com "a" is invalid: [spec.cron: Invalid value: "x": spec.cron in body should match \'^\\S+ \\S+$\', spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10]',
  });
  await assert.rejects(client.create(crontabs, cronTab({})), { message: /spec\.cron: Required value/ });
  await assert.rejects(client.create(crontabs, cronTab({ cron: "* *", x: 1 }), { fieldValidation: "Strict" }), {
    code: 400,
    message: /unknown field "spec\.x"/,
  });
});

test("status and scale are endpoints of their own", async () => {
  await using setup = await start();
  const { client } = setup;
  await install(client);
  const ref = { ...crontabs, name: "a" };
  const made = await client.create<CronTab>(crontabs, {
    ...cronTab({ cron: "* *", replicas: 1 }),
    status: { replicas: 9 },
  });

  const status = await client.patch<CronTab>(
    { ...ref, subresource: "status" },
    { type: "merge", body: { spec: { replicas: 5 }, status: { replicas: 2, selector: "a=b" } } },
  );
  const scale = await client.get<CronTab>({ ...ref, subresource: "scale" });
  const scaled = await client.patch<CronTab>(
    { ...ref, subresource: "scale" },
    { type: "merge", body: { spec: { replicas: 7 } } },
  );
  const after = await client.get<CronTab>(ref);

  assert.equal(made.status, undefined);
  assert.equal(status.spec["replicas"], 1);
  assert.equal(status.metadata?.generation, 1);
  assert.deepEqual(scale.status, { replicas: 2, selector: "a=b" });
  assert.equal(scaled.spec["replicas"], 7);
  assert.equal(after.spec["replicas"], 7);
  assert.equal(after.metadata?.generation, 2);
});

test("versions share their objects, and selectable fields select", async () => {
  await using setup = await start();
  const { client } = setup;
  await install(client);
  await client.create(crontabs, cronTab({ cron: "* *" }));
  await client.create(crontabs, cronTab({ cron: "* *", image: "other" }, { name: "b" }));

  const second = { ...crontabs, resource: { ...crontabs.resource, version: "v2" } };
  const read = await client.get<CronTab>({ ...second, name: "a" });
  const selected = await client.list<CronTab>(crontabs, { fieldSelector: "spec.image=other" });

  assert.equal(read.apiVersion, "stable.example.com/v2");
  assert.deepEqual(
    selected.items.map(({ metadata }) => metadata?.name),
    ["b"],
  );
});

test("what is written in another version is followed in the one that was asked for", async () => {
  await using setup = await start();
  const { client } = setup;
  await install(client);
  const second = { ...crontabs, resource: { ...crontabs.resource, version: "v2" } };
  const events = await client.watch(crontabs);
  const seen: (string | undefined)[] = [];

  const made = await client.create(second, { ...cronTab({ cron: "* *" }), apiVersion: "stable.example.com/v2" });
  await client.update({ ...second, name: "a" }, { ...made, spec: { cron: "1 1" } } as KubeObject);

  for await (const { object } of events) if (seen.push(object.apiVersion) === 2) break;
  assert.deepEqual(seen, ["stable.example.com/v1", "stable.example.com/v1"]);
});

test("another storage version leaves objects readable", async () => {
  await using setup = await start();
  const { client } = setup;
  const before = await install(client);
  await client.create(crontabs, cronTab({ cron: "* *" }));
  const versions = before.spec.versions.map((version) => ({ ...version, storage: version.name === "v2" }));
  const changed = await client.update<CustomResourceDefinition>(definitionRef, {
    ...before,
    spec: { ...before.spec, versions },
  });
  await until(async () =>
    setup.server.table.find("stable.example.com", "v1", "crontabs")?.stored.apiVersion.endsWith("v2")
      ? true
      : undefined,
  );

  assert.deepEqual(changed.status?.storedVersions, ["v1", "v2"]);
  assert.equal((await client.get<CronTab>({ ...crontabs, name: "a" })).spec["cron"], "* *");
});

test("a default that comes later shows in what was stored before, and stays when it goes", async () => {
  await using setup = await start();
  const { client } = setup;
  const withDefault = (properties: object): CustomResourceDefinition["spec"]["versions"] => [
    {
      name: "v1",
      served: true,
      storage: true,
      schema: {
        openAPIV3Schema: { type: "object", properties: { spec: { type: "object", properties: properties as never } } },
      },
    },
  ];
  const before = await install(client, definition({ versions: withDefault({ a: { type: "string" } }) }));
  await client.create(crontabs, cronTab({}));
  const versions = withDefault({ a: { type: "string", default: "x" } });
  await client.update(definitionRef, { ...before, spec: { ...before.spec, versions } } as KubeObject);

  const read = await until(async () => {
    const found = await client.get<CronTab>({ ...crontabs, name: "a" });
    return found.spec["a"] === undefined ? undefined : found;
  });

  assert.deepEqual(read.spec, { a: "x" });
});

test("server-side apply merges custom resources by their schema", async () => {
  await using setup = await start();
  const { client } = setup;
  await install(client);
  const ref = { ...crontabs, name: "a" };
  await client.patch(ref, { type: "apply", body: cronTab({ cron: "* *" }) }, { fieldManager: "one" });
  const both = await client.patch<CronTab>(
    ref,
    { type: "apply", body: cronTab({ replicas: 3 }) },
    { fieldManager: "two" },
  );

  assert.deepEqual(both.spec, { cron: "* *", replicas: 3, image: "nginx" });
});

test("a field without a type takes any value, with server-side apply as well", async () => {
  await using setup = await start();
  const { client } = setup;
  const free = {
    type: "object",
    properties: { spec: { type: "object", properties: { any: keepsAll, more: keepsAll } } },
  };
  const version = { name: "v1", served: true, storage: true, schema: { openAPIV3Schema: free } };
  await install(client, definition({ versions: [version] }));
  const values: readonly Json[] = [[{ a: [1] }], "text", 7, true, { a: { b: [1] } }];

  for (const [index, any] of values.entries()) {
    const name = `a${index}`;
    const made = await client.create<CronTab>(crontabs, cronTab({ any }, { name }));
    const body = { ...cronTab({ more: any }), metadata: { name } };
    const applied = await client.patch<CronTab>({ ...crontabs, name }, { type: "apply", body }, { fieldManager: "me" });

    assert.deepEqual(made.spec, { any });
    assert.deepEqual(applied.spec, { any, more: any });
  }
});

test("a definition's end deletes all objects first, and waits for their finalizers", async () => {
  await using setup = await start();
  const { client } = setup;
  await install(client);
  await client.create(crontabs, cronTab({ cron: "* *" }));
  await client.create(crontabs, cronTab({ cron: "* *" }, { name: "b", finalizers: ["example.com/wait"] }));

  await client.delete(definitionRef);
  const ending = await until(async () => {
    const found = await client.get<CustomResourceDefinition>(definitionRef);
    return isTrue(found, "Terminating") ? found : undefined;
  });
  await assert.rejects(client.create(crontabs, cronTab({ cron: "* *" }, { name: "c" })), { code: 405 });
  await until(async () => ((await client.list(crontabs)).items.length === 1 ? true : undefined));
  await client.patch({ ...crontabs, name: "b" }, { type: "merge", body: { metadata: { finalizers: null } } });
  await until(async () =>
    client.get(definitionRef).then(
      () => undefined,
      (error: { code: number }) => error.code === 404 || undefined,
    ),
  );

  assert.deepEqual(ending.metadata?.finalizers, ["customresourcecleanup.apiextensions.k8s.io"]);
  await until(async () =>
    client.list(crontabs).then(
      () => undefined,
      (error: { code: number }) => error.code === 404 || undefined,
    ),
  );
});

test("two definitions of one group cannot have the same kind", async () => {
  await using setup = await start();
  const { client } = setup;
  await install(client);
  const second = definition({ names: { plural: "others", kind: "CronTab" } });
  await client.create(definitions, { ...second, metadata: { name: "others.stable.example.com" } } as KubeObject);

  const refused = await until(async () => {
    const found = await client.get<CustomResourceDefinition>({ ...definitions, name: "others.stable.example.com" });
    return found.status?.conditions?.length ? found : undefined;
  });

  assert.deepEqual(
    refused.status?.conditions?.map(({ type, status, reason }) => [type, status, reason]),
    [
      ["NamesAccepted", "False", "ListKindConflict"],
      ["Established", "False", "NotAccepted"],
    ],
  );
});

test("definitions that are wrong are refused in upstream's words", async () => {
  await using setup = await start();
  const { client } = setup;
  const wrong = definition({ names: { plural: "others", kind: "CronTab" } });
  await assert.rejects(client.create(definitions, wrong as KubeObject), {
    code: 422,
    message:
      /metadata\.name: Invalid value: "crontabs\.stable\.example\.com": must be spec\.names\.plural\+"\."\+spec\.group/,
  });
  const bare = definition({
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: "object", properties: { spec: {} } } },
      },
    ],
  });
  await assert.rejects(client.create(definitions, bare as KubeObject), {
    message:
      /spec\.validation\.openAPIV3Schema\.properties\[spec\]\.type: Required value: must not be empty for specified object fields/,
  });
});
