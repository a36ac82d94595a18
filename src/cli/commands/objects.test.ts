import assert from "node:assert/strict";
import { test } from "node:test";
import type { CommandContext } from "#cli/command.ts";
import { runCommandLine } from "#cli/command-line.ts";
import { objectCommands } from "./objects.ts";

type Script = { readonly answer?: boolean; readonly hasData?: boolean };

/** Runs a command line; `done` is what was asked of the cluster, and how. */
async function run(line: string, { answer, hasData = true }: Script = {}) {
  const [said, done]: [string[], string[]] = [[], []];
  const transport = {
    request: async ({
      method,
      path,
      query,
    }: {
      readonly method: string;
      readonly path: string;
      readonly query?: object;
    }) => {
      if (/^\/apis?$/.test(path)) return { status: 200, body: path === "/api" ? discovery : { items: [] } };
      const selector = Object.values(query ?? {}).join();
      done.push(`${method} ${path}${method === "GET" && selector !== "" ? `?${selector}` : ""}`);
      return {
        status: 200,
        body: { kind: "PodList", items: [{ metadata: { name: "a" } }, { metadata: { name: "b" } }] },
      };
    },
    close: async () => {},
  };
  const context = {
    terminal: {
      print: (text: string) => void said.push(text),
      warn: (text: string) => void said.push(text),
      confirm: async (question: string) => (said.push(question), answer),
    },
    machine: {
      connect: async () => transport,
      hasData: () => hasData,
      delete: async (name: string) => void done.push(`delete cluster ${name}`),
    },
    isDebugging: true,
  } as unknown as CommandContext;
  const code = await runCommandLine(objectCommands, line.split(" "), context);
  return { code, said: said.join("\n"), done };
}

const discovery = {
  items: [
    {
      versions: [
        {
          version: "v1",
          resources: [
            { resource: "pods", singularResource: "pod", scope: "Namespaced", responseKind: { kind: "Pod" } },
            { resource: "nodes", singularResource: "node", scope: "Cluster", responseKind: { kind: "Node" } },
          ],
        },
      ],
    },
  ],
};

test("delete removes a cluster only when nothing was said that is about objects", async () => {
  assert.deepEqual((await run("delete --name one")).done, ["delete cluster one"]);

  for (const line of [
    "delete -n shop",
    "delete --name one -n shop",
    "delete --all",
    "delete -l app=web",
    "delete -R",
  ]) {
    const { code, said, done } = await run(line);
    assert.deepEqual([code, done], [2, []], line);
    assert.match(said, /but no objects: 'nodeless delete RESOURCE NAME'.* a whole cluster\. Nothing was deleted/, line);
  }
});

test("delete of a cluster that has data asks whoever is there, and --yes has answered", async () => {
  const refused = await run("delete", { answer: false });
  assert.deepEqual([refused.code, refused.done], [1, []]);
  assert.match(
    refused.said,
    /^Delete the whole cluster "default" with all its objects and data\?\nNothing was done\.$/,
  );

  assert.deepEqual((await run("delete", { answer: true })).done, ["delete cluster default"]);
  for (const line of ["delete --yes", "delete -y"])
    assert.deepEqual((await run(line, { answer: false })).done, ["delete cluster default"], line);
  assert.deepEqual((await run("delete", { answer: false, hasData: false })).done, ["delete cluster default"]);
});

test("delete takes objects by name, as pairs, by labels and all of them", async () => {
  const pods = "/api/v1/namespaces/shop/pods";
  const cases = {
    "delete -n shop pod a": [`DELETE ${pods}/a`],
    "delete -n shop pod/a node/n": [`DELETE ${pods}/a`, "DELETE /api/v1/nodes/n"],
    "delete -n shop pods -l app=web": [`GET ${pods}?app=web`, `DELETE ${pods}/a`, `DELETE ${pods}/b`],
    "delete -n shop pods --all": [`GET ${pods}`, `DELETE ${pods}/a`, `DELETE ${pods}/b`],
  };
  for (const [line, done] of Object.entries(cases)) assert.deepEqual((await run(line)).done, done, line);

  for (const line of ["delete pods", "delete pod a --all", "delete pod a -l app=web"])
    assert.deepEqual([(await run(line)).code, (await run(line)).done], [2, []], line);
});

test("get takes several resources, and refuses names where they mean nothing", async () => {
  const { code, said } = await run("get pods,nodes -o json");

  assert.equal(code, 0);
  assert.deepEqual(
    (JSON.parse(said) as { readonly items: readonly { readonly kind: string }[] }).items.map(({ kind }) => kind),
    ["Pod", "Pod", "Pod", "Pod"],
  );
  for (const line of ["get pod a -A", "get pod a -l app=web", "get pods -o jsonpath"])
    assert.deepEqual([(await run(line)).code, (await run(line)).done], [2, []], line);
});
