/** Versions that a webhook converts, as clients see them. The webhook is a real one, over TLS. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { CustomResourceDefinition } from "#api/generated/types/apiextensions-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import { startTestApiServer } from "#apiserver/testing/test-api-server.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import { ensurePki } from "#component-base/certificates.ts";
import { systemClock } from "#component-base/clock.ts";

type Address = KubeObject & {
  readonly spec: { readonly hostPort?: string; readonly host?: string; readonly port?: string; readonly note?: string };
};
type Converter = (object: Address, apiVersion: string) => unknown;
type Webhook = {
  readonly clientConfig: { readonly url: string; readonly caBundle: string };
  /** How many objects each call brought. */
  readonly calls: number[];
  convert: Converter;
};

/** v1 has one text, v2 its two parts. */
function split(object: Address, apiVersion: string): Address {
  const { spec } = object;
  const isNew = apiVersion.endsWith("v2");
  const [host = "", port = ""] = (spec.hostPort ?? "").split(":");
  const converted: Address["spec"] = isNew ? { host, port } : { hostPort: `${spec.host}:${spec.port}` };
  return { ...object, apiVersion, spec: { ...converted, note: "no version knows it: pruned" } };
}

async function startWebhook(context: TestContext): Promise<Webhook> {
  const folder = await mkdtemp(join(tmpdir(), "conversion-"));
  const pki = await ensurePki(folder, { serverAddresses: ["127.0.0.1"], clock: systemClock });
  await rm(folder, { recursive: true });
  const server = createServer({ cert: pki.server.certificate, key: pki.server.privateKey }, (request, response) => {
    let body = "";
    request.on("data", (part: Buffer) => (body += String(part)));
    request.on("end", () => {
      const {
        kind,
        apiVersion,
        request: asked,
      } = JSON.parse(body) as {
        readonly kind: string;
        readonly apiVersion: string;
        readonly request: { uid: string; desiredAPIVersion: string; objects: readonly Address[] };
      };
      webhook.calls.push(asked.objects.length);
      const answer = (): object => {
        try {
          const convertedObjects = asked.objects.map((object) => webhook.convert(object, asked.desiredAPIVersion));
          return { result: { status: "Success" }, convertedObjects };
        } catch (error) {
          return { result: { status: "Failure", message: (error as Error).message } };
        }
      };
      response.end(JSON.stringify({ kind, apiVersion, response: { uid: asked.uid, ...answer() } }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const caBundle = Buffer.from(pki.ca.certificate).toString("base64");
  const webhook: Webhook = {
    clientConfig: { url: `https://127.0.0.1:${port}/convert`, caBundle },
    calls: [],
    convert: split,
  };
  return webhook;
}

const text = { type: "string" } as const;
const schemaOf = (...names: string[]) => ({
  openAPIV3Schema: {
    type: "object",
    properties: {
      spec: { type: "object", properties: Object.fromEntries(names.map((name) => [name, text])) },
      status: { type: "object", properties: { seen: text } },
    },
  },
});

function definition(webhook: Webhook, storage: "v1" | "v2"): CustomResourceDefinition {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "addresses.example.com" },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "addresses", kind: "Address" },
      versions: [
        {
          name: "v1",
          served: true,
          storage: storage === "v1",
          schema: schemaOf("hostPort"),
          subresources: { status: {} },
        },
        {
          name: "v2",
          served: true,
          storage: storage === "v2",
          schema: schemaOf("host", "port"),
          subresources: { status: {} },
        },
      ],
      conversion: {
        strategy: "Webhook",
        webhook: { clientConfig: webhook.clientConfig, conversionReviewVersions: ["v1"] },
      },
    },
  };
}

const definitionRef = {
  resource: { group: "apiextensions.k8s.io", version: "v1", resource: "customresourcedefinitions" },
  name: "addresses.example.com",
} as const;

function addresses(version: string, name?: string): ResourceRef {
  const resource = { group: "example.com", version, resource: "addresses" };
  return { resource, namespace: "default", ...(name === undefined ? {} : { name }) };
}

function address(version: string, name: string, spec: Address["spec"]): Address {
  return { apiVersion: `example.com/${version}`, kind: "Address", metadata: { name }, spec };
}

/** A server with the definition, served. */
async function start(context: TestContext): Promise<{ readonly client: Client; readonly webhook: Webhook }> {
  const webhook = await startWebhook(context);
  const setup = await startTestApiServer();
  context.after(() => setup.stop());
  await setup.client.create({ resource: definitionRef.resource }, definition(webhook, "v1") as KubeObject);
  await until(async () => {
    const { status } = await setup.client.get<CustomResourceDefinition>(definitionRef);
    return status?.conditions?.some(({ type, status: is }) => type === "Established" && is === "True");
  });
  return { client: setup.client, webhook };
}

async function until(what: () => Promise<boolean | undefined>): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt++) {
    if ((await what()) === true) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new Error("it did not happen");
}

/** Makes v2 the version that objects are stored in. */
async function storeInV2({ client, webhook }: { readonly client: Client; readonly webhook: Webhook }): Promise<void> {
  const current = await client.get<CustomResourceDefinition>(definitionRef);
  await client.update(definitionRef, { ...current, spec: definition(webhook, "v2").spec } as KubeObject);
  // Served anew when a new object does not come from v1 any more.
  await until(async () => {
    const name = `probe-${webhook.calls.length}`;
    const before = webhook.calls.length;
    await client.create(addresses("v2"), address("v2", name, { host: "p", port: "1" }));
    await client.delete(addresses("v2", name));
    return webhook.calls.length === before;
  });
}

test("an object is the same in each version, and goes through each", async (context) => {
  const { client } = await start(context);

  const made = await client.create<Address>(addresses("v2"), address("v2", "a", { host: "h", port: "1" }));
  const old = await client.get<Address>(addresses("v1", "a"));
  await client.patch(addresses("v2", "a"), { type: "merge", body: { spec: { port: "2" } } });
  const patched = await client.get<Address>(addresses("v1", "a"));

  assert.deepEqual(made.spec, { host: "h", port: "1" });
  assert.equal(made.apiVersion, "example.com/v2");
  assert.deepEqual(old.spec, { hostPort: "h:1" });
  assert.equal(old.apiVersion, "example.com/v1");
  assert.equal(old.metadata?.uid, made.metadata?.uid);
  assert.equal(old.metadata?.resourceVersion, made.metadata?.resourceVersion);
  assert.deepEqual(patched.spec, { hostPort: "h:2" });
  assert.equal(patched.metadata?.generation, 2);
});

test("a list is converted in one call, and the stored version in none", async (context) => {
  const { client, webhook } = await start(context);
  for (let i = 0; i < 5; i++) await client.create(addresses("v1"), address("v1", `a${i}`, { hostPort: `h:${i}` }));
  assert.deepEqual(webhook.calls, []);

  const list = await client.list<Address>(addresses("v2"));

  assert.deepEqual(
    list.items.map(({ spec }) => spec.port),
    ["0", "1", "2", "3", "4"],
  );
  assert.deepEqual(webhook.calls, [5]);
  assert.equal((await client.list<Address>(addresses("v1"))).items[0]?.spec.hostPort, "h:0");
  assert.deepEqual(webhook.calls, [5]);
});

test("watches tell of changes in their own version", async (context) => {
  const { client } = await start(context);
  const ended = new AbortController();
  await client.create(addresses("v1"), address("v1", "a", { hostPort: "h:1" }));
  const events = await client.watch<Address>(addresses("v2"), { resourceVersion: "0", signal: ended.signal });
  await client.patch(addresses("v1", "a"), { type: "merge", body: { spec: { hostPort: "h:2" } } });
  await client.delete(addresses("v1", "a"));

  const seen: string[] = [];
  for await (const event of events) {
    seen.push(`${event.type} ${(event.object as Address).apiVersion} ${(event.object as Address).spec.port}`);
    if (event.type === "DELETED") break;
  }
  ended.abort();

  assert.deepEqual(seen, ["ADDED example.com/v2 1", "MODIFIED example.com/v2 2", "DELETED example.com/v2 2"]);
});

test("when the storage version changes, older objects are read in both, and a write that changes nothing migrates them", async (context) => {
  const setup = await start(context);
  const { client, webhook } = setup;
  const before = await client.create<Address>(addresses("v1"), address("v1", "a", { hostPort: "h:1" }));

  await storeInV2(setup);
  const { status } = await client.get<CustomResourceDefinition>(definitionRef);
  const read = await client.get<Address>(addresses("v2", "a"));
  webhook.calls.length = 0;
  assert.deepEqual((await client.get<Address>(addresses("v1", "a"))).spec, { hostPort: "h:1" });
  assert.deepEqual(webhook.calls, []); // it is still stored so
  const migrated = await client.update<Address>(addresses("v2", "a"), read);
  webhook.calls.length = 0;

  assert.deepEqual(status?.storedVersions, ["v1", "v2"]);
  assert.deepEqual(read.spec, { host: "h", port: "1" });
  assert.notEqual(migrated.metadata?.resourceVersion, before.metadata?.resourceVersion);
  assert.equal(migrated.metadata?.generation, 1);
  assert.deepEqual((await client.get<Address>(addresses("v2", "a"))).spec, { host: "h", port: "1" });
  assert.deepEqual(webhook.calls, []);
  assert.deepEqual((await client.get<Address>(addresses("v1", "a"))).spec, { hostPort: "h:1" });
});

test("an object that waits for its finalizers stays in the version it was stored in", async (context) => {
  const setup = await start(context);
  const { client } = setup;
  const held = address("v1", "a", { hostPort: "h:1" });
  await client.create(addresses("v1"), { ...held, metadata: { name: "a", finalizers: ["example.com/x"] } });
  await storeInV2(setup);

  await client.delete(addresses("v2", "a"));
  const ending = await client.get<Address>(addresses("v2", "a"));
  await client.patch(addresses("v1", "a"), { type: "merge", body: { metadata: { finalizers: null } } });

  assert.deepEqual(ending.spec, { host: "h", port: "1" });
  await assert.rejects(client.get(addresses("v2", "a")), { reason: "NotFound" });
});

test("what the webhook says, and what it must not do, is an error of the request; nothing is stored", async (context) => {
  const { client, webhook } = await start(context);
  const message = async (convert: Converter): Promise<string> => {
    webhook.convert = convert;
    const create = client.create(addresses("v2"), address("v2", "a", { host: "h", port: "1" }));
    const error = await create.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    assert(error instanceof StatusError);
    assert.equal(error.code, 500);
    return error.message.replace("conversion webhook for example.com/v2, Kind=Address ", "");
  };
  const changed = (change: object) => (object: Address, apiVersion: string) => ({
    ...split(object, apiVersion),
    ...change,
  });

  assert.equal(
    await message(() => {
      throw new Error("no such thing");
    }),
    "failed: no such thing",
  );
  assert.match(await message(changed({ metadata: { name: "b" } })), /must have the same name: a != b/);
  assert.match(await message(changed({ kind: "Other" })), /invalid kind \(expected Address, received Other\)/);
  assert.match(
    await message(changed({ apiVersion: "example.com/v3" })),
    /invalid groupVersion \(expected example.com\/v1, received example.com\/v3\)/,
  );
  assert.match(await message(() => null), /returned invalid object at index 0/);
  webhook.convert = split;
  assert.equal((await client.list(addresses("v2"))).items.length, 0);
});

test("labels and annotations are the webhook's to change, the rest of metadata is not", async (context) => {
  const { client, webhook } = await start(context);
  await client.create(addresses("v1"), address("v1", "a", { hostPort: "h:1" }));
  webhook.convert = (object, apiVersion) => {
    const metadata = { ...object.metadata, labels: { seen: "yes" }, generation: 77, finalizers: ["x"] };
    return { ...split(object, apiVersion), metadata };
  };

  const { metadata } = await client.get<Address>(addresses("v2", "a"));

  assert.deepEqual(metadata?.labels, { seen: "yes" });
  assert.equal(metadata?.generation, 1);
  assert.equal(metadata?.finalizers, undefined);
});
