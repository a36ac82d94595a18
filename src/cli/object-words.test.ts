import assert from "node:assert/strict";
import { test } from "node:test";
import type { Transport } from "#client/transport.ts";
import { UserError } from "./command.ts";
import { findObjects, splitWords } from "./object-words.ts";

test("types and names are given apart, several types by commas, or as pairs", () => {
  assert.deepEqual(splitWords(["deploy,svc"]), [
    { type: "deploy", names: [] },
    { type: "svc", names: [] },
  ]);
  assert.deepEqual(splitWords(["pod", "a", "b"]), [{ type: "pod", names: ["a", "b"] }]);
  assert.deepEqual(splitWords(["pod/a", "Deployment/web"]), [
    { type: "pod", names: ["a"] },
    { type: "deployment", names: ["web"] },
  ]);
});

test("a mixture of the forms is refused", () => {
  for (const words of [["pod", "deploy/web"], ["pod/"], ["/a"], ["a/b/c"]])
    assert.throws(() => splitWords(words), { name: "Error", kind: "UserError", exitCode: 2 }, words.join(" "));
});

test("a word is a resource by any of its names, or a category", async () => {
  const found = await findObjects(discovery, ["svc,all"]);

  assert.deepEqual(
    found.map(({ resource }) => resource.resource),
    ["services", "pods", "services"],
  );
  await assert.rejects(findObjects(discovery, ["xyzzy"]), UserError);
  await assert.rejects(findObjects(discovery, ["all", "web"]), UserError);
});

const discovery = {
  request: async ({ path }: { readonly path: string }) => ({ body: { items: path === "/api" ? [core] : [] } }),
} as unknown as Transport;

const core = {
  versions: [
    {
      version: "v1",
      resources: [
        resourceOf("pods", "pod", "po", ["all"]),
        resourceOf("services", "service", "svc", ["all"]),
        resourceOf("configmaps", "configmap", "cm", undefined),
      ],
    },
  ],
};

function resourceOf(resource: string, singularResource: string, shortName: string, categories: string[] | undefined) {
  return { resource, singularResource, shortNames: [shortName], categories, scope: "Namespaced" };
}
