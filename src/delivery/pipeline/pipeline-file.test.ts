import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { parseYaml } from "#apimachinery/codecs/yaml-text.ts";
import { YamlFiles } from "#delivery/manifests/read-manifests.ts";
import { readSteps } from "./pipeline-file.ts";

describe("a tree's nodeless.yaml", () => {
  const folder = mkdtempSync(join(tmpdir(), "nl-pipeline-"));
  const files = new YamlFiles(folder, { parse: parseYaml });
  after(() => rmSync(folder, { recursive: true }));
  const read = (text: string) => {
    writeFileSync(join(folder, "nodeless.yaml"), text);
    return readSteps(files);
  };

  it("says which steps there are", async () => {
    assert.deepEqual(await readSteps(files), []);
    assert.deepEqual(await read("steps: [{name: a, image: node, commands: [x]}]"), [
      { name: "a", image: "node", commands: ["x"] },
    ]);
    assert.deepEqual(await read(""), []);
  });

  it("is refused with the field that is wrong", async () => {
    const cases: readonly (readonly [string, RegExp])[] = [
      ["stages: []", /"stages" is not known/],
      ["steps: {}", /steps must be a list/],
      ["steps: [x]", /steps\[0\] must be a map/],
      ["steps: [{name: A, image: node, commands: [x]}]", /name must be a DNS label/],
      ["steps: [{name: a, commands: [x]}]", /image is required/],
      ["steps: [{name: a, image: node, commands: x}]", /commands must be a list/],
      ["steps: [{name: a, image: node, commands: [x], privileged: true}]", /"privileged" is not known/],
      [
        "steps: [{name: a, image: node, commands: [x]}, {name: a, image: node, commands: [x]}]",
        /two steps are called a/,
      ],
      ["a: [", /is no YAML/],
    ];
    for (const [text, message] of cases) await assert.rejects(read(text), message);
  });
});
