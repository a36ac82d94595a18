import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { MutatingWebhook } from "#api/generated/types/admissionregistration-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import type { AdmissionAttributes } from "#apiserver/admission.ts";
import { createClient } from "#client/rest-client.ts";
import { FakeInformer } from "#client/testing/fake-informer.ts";
import { FakeTransport } from "#client/testing/fake-transport.ts";
import { ensurePki } from "#component-base/certificates.ts";
import { FakeClock, systemClock } from "#component-base/clock.ts";
import { freePort } from "#component-base/testing/free-port.ts";
import { MutatingWebhookPlugin, ValidatingWebhookPlugin } from "./webhooks.ts";

type Review = { readonly request: { readonly uid: string; readonly object: KubeObject; readonly operation: string } };

/** A webhook over real TLS that answers with what `answer` gives; undefined leaves the call open. */
async function webhook(context: TestContext, answer: (review: Review) => object | undefined): Promise<MutatingWebhook> {
  const folder = await mkdtemp(join(tmpdir(), "webhook-"));
  const pki = await ensurePki(folder, { serverAddresses: ["127.0.0.1"], clock: systemClock });
  await rm(folder, { recursive: true });
  const server = createServer({ cert: pki.server.certificate, key: pki.server.privateKey }, (request, response) => {
    let body = "";
    request.on("data", (part: Buffer) => (body += String(part)));
    request.on("end", () => {
      const review = JSON.parse(body) as Review & object;
      const given = answer(review);
      if (given === undefined) return;
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ ...review, request: undefined, response: { uid: review.request.uid, ...given } }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    name: "check.example.com",
    admissionReviewVersions: ["v1"],
    sideEffects: "None",
    failurePolicy: "Fail",
    clientConfig: {
      url: `https://127.0.0.1:${port}/check`,
      caBundle: Buffer.from(pki.ca.certificate).toString("base64"),
    },
    rules: [{ apiGroups: [""], apiVersions: ["v1"], resources: ["pods"], operations: ["CREATE"] }],
  };
}

const attributes: AdmissionAttributes = {
  request: {
    isResourceRequest: true,
    path: "",
    verb: "create",
    apiGroup: "",
    apiVersion: "v1",
    namespace: "default",
    resource: "pods",
    subresource: "",
    name: "",
  },
  operation: "CREATE",
  user: { name: "ann", groups: [] },
  dryRun: false,
  kind: { group: "", version: "v1", kind: "Pod" },
  object: { metadata: { name: "web", labels: { app: "web" } } },
  oldObject: undefined,
  options: undefined,
};

function parts(hook: MutatingWebhook) {
  return {
    client: createClient(new FakeTransport({ clock: new FakeClock() })),
    configurations: new FakeInformer([{ metadata: { name: "c" }, webhooks: [hook] }]),
    namespaces: new FakeInformer([{ metadata: { name: "default" } }]),
  };
}

async function refusalOf(hook: MutatingWebhook, write = attributes): Promise<StatusError | undefined> {
  const plugin = new ValidatingWebhookPlugin(parts(hook));
  try {
    await plugin.validate(write);
    return undefined;
  } catch (error) {
    assert.ok(error instanceof StatusError);
    return error;
  }
}

test("a webhook refuses a write in its own words", async (context) => {
  const hook = await webhook(context, ({ request }) => ({
    allowed: false,
    status: { code: 403, reason: "Forbidden", message: `no ${request.operation} of ${request.object.metadata?.name}` },
  }));
  const refusal = await refusalOf(hook);
  assert.equal(refusal?.message, 'admission webhook "check.example.com" denied the request: no CREATE of web');
  assert.equal(refusal?.code, 403);
});

test("a webhook lets a write pass, and is not asked about others", async (context) => {
  const hook = await webhook(context, () => ({ allowed: true }));
  assert.equal(await refusalOf(hook), undefined);
  const other = {
    ...hook,
    rules: [{ ...hook.rules?.[0], resources: ["secrets"] }],
    clientConfig: { url: "https://127.0.0.1:1/" },
  };
  assert.equal(await refusalOf(other), undefined);
  const conditions = [{ name: "others", expression: "object.metadata.name != 'web'" }];
  assert.equal(await refusalOf({ ...other, rules: hook.rules ?? [], matchConditions: conditions }), undefined);
});

test("a webhook that cannot be reached refuses, unless its policy is to ignore that", async (context) => {
  const hook = { ...(await webhook(context, () => undefined)), timeoutSeconds: 0.05 };
  const refusal = await refusalOf(hook);
  assert.equal(refusal?.code, 500);
  assert.match(
    refusal?.message ?? "",
    /failed calling webhook "check.example.com": failed to call webhook: Post .*: context deadline exceeded/,
  );
  assert.equal(await refusalOf({ ...hook, failurePolicy: "Ignore" }), undefined);
});

test("one on this machine that is not there yet is waited for, wherever it comes up", async (context) => {
  const hook = await webhook(context, () => ({ allowed: false, status: { message: "here I am" } }));
  const place = `https://127.0.0.1:${await freePort()}/`;
  const { configurations, ...others } = parts({ ...hook, clientConfig: { url: place } });
  const refusal = new ValidatingWebhookPlugin({ configurations, ...others }).validate(attributes);
  setTimeout(() => configurations.put({ metadata: { name: "c" }, webhooks: [hook] }), 60);
  await assert.rejects(refusal, /here I am/);

  const nowhere = { ...hook, timeoutSeconds: 0.1, clientConfig: { url: place } };
  assert.match((await refusalOf(nowhere))?.message ?? "", /failed calling webhook .*ECONNREFUSED/);
});

test("a webhook that has side effects is not asked on a dry run", async (context) => {
  const hook = { ...(await webhook(context, () => ({ allowed: true }))), sideEffects: "Some" };
  const refusal = await refusalOf(hook, { ...attributes, dryRun: true });
  assert.equal(refusal?.message, 'admission webhook "check.example.com" does not support dry run');
});

test("a mutating webhook changes what is written, within the kind's shape", async (context) => {
  const patch = JSON.stringify([{ op: "add", path: "/metadata/labels/seen", value: "yes" }]);
  const hook = await webhook(context, () => ({
    allowed: true,
    patchType: "JSONPatch",
    patch: Buffer.from(patch).toString("base64"),
  }));
  const plugin = new MutatingWebhookPlugin(parts(hook));
  const conform = (object: KubeObject): KubeObject => ({ ...object, kind: "Pod" });
  const object = await plugin.mutate({ ...attributes, conform });
  assert.deepEqual(object, { kind: "Pod", metadata: { name: "web", labels: { app: "web", seen: "yes" } } });
});
