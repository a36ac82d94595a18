import assert from "node:assert/strict";
import { stripTypeScriptTypes } from "node:module";
import { test } from "node:test";
import { parse } from "yaml";
import { templateFiles } from "./templates.ts";

type Handler = { readonly default: { fetch(request: Request): Promise<Response> } };

test("a function that is begun for events reads one and answers with another", async () => {
  const files = templateFiles("thumbs", "isolate", true);
  const code = stripTypeScriptTypes(files["index.ts"] ?? "");
  const module = (await import(
    `data:text/javascript,${encodeURIComponent(code.replace("console.log", "void "))}`
  )) as Handler;
  const headers = { "ce-type": "image.wanted", "ce-subject": "a.png" };

  const answer = await module.default.fetch(new Request("http://f/", { method: "POST", headers, body: "12345" }));

  assert.deepEqual(await answer.json(), { subject: "a.png", size: 5 });
  assert.equal(answer.headers.get("ce-type"), "image.wanted.seen");
  for (const name of ["ce-id", "ce-source", "ce-specversion"]) assert(answer.headers.get(name), name);
});

test("what is begun for events needs no variables", () => {
  for (const runtime of ["isolate", "node", "python"] as const) {
    const described = parse(templateFiles("thumbs", runtime, true)["function.yaml"] ?? "") as object;
    assert.deepEqual(described, {
      apiVersion: "nodeless.dev/v1alpha1",
      kind: "Function",
      metadata: { name: "thumbs" },
      spec: { runtime },
    });
  }
});
