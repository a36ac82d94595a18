import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, describe, it } from "node:test";
import { parseYaml } from "#apimachinery/codecs/yaml-text.ts";
import { YamlFiles } from "#delivery/manifests/read-manifests.ts";
import { buildKustomization } from "./kustomization.ts";

describe("a kustomization", () => {
  const folders: string[] = [];
  after(() => folders.forEach((folder) => rmSync(folder, { recursive: true })));
  const build = async (files: Readonly<Record<string, string>>, folder = "") => {
    const root = mkdtempSync(join(tmpdir(), "nl-kustomize-"));
    folders.push(root);
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    return (await buildKustomization(new YamlFiles(root, { parse: parseYaml }), folder)).map(({ object }) => object);
  };
  const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1.0
        envFrom: [{configMapRef: {name: settings}}]
      - name: side
        image: side
`;

  it("changes names, namespaces, labels, images and replicas, of its bases too", async () => {
    const [web] = await build(
      {
        "base/kustomization.yaml": "resources: [web.yaml]\nnamePrefix: a-\n",
        "base/web.yaml": deployment,
        "over/kustomization.yaml": `resources: [../base]
nameSuffix: -z
namespace: prod
commonLabels: {team: blue}
commonAnnotations: {why: test}
images: [{name: nginx, newName: localhost:5000/nginx, newTag: "2"}]
replicas: [{name: a-web, count: 3}]
`,
      },
      "over",
    );

    assert.deepEqual(web, {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "a-web-z", namespace: "prod", labels: { team: "blue" }, annotations: { why: "test" } },
      spec: {
        selector: { matchLabels: { app: "web", team: "blue" } },
        template: {
          metadata: { labels: { app: "web", team: "blue" }, annotations: { why: "test" } },
          spec: {
            containers: [
              { name: "web", image: "localhost:5000/nginx:2", envFrom: [{ configMapRef: { name: "settings" } }] },
              { name: "side", image: "side" },
            ],
          },
        },
        replicas: 3,
      },
    });
  });

  it("generates objects whose names change with what they hold, also where they are named", async () => {
    const files = (color: string) => ({
      "kustomization.yaml": `resources: [web.yaml]
configMapGenerator: [{name: settings, literals: ["color=${color}"], files: [x.txt]}]
secretGenerator: [{name: keys, envs: [.env], options: {disableNameSuffixHash: true}}]
`,
      "web.yaml": deployment,
      "x.txt": "hello",
      ".env": "# keys\nA=b=c\n",
    });
    type Found = { readonly metadata: { readonly name: string }; readonly data?: object; readonly spec?: unknown };
    const [web, settings, keys] = (await build(files("blue"))) as unknown as readonly Found[];
    const [, other] = (await build(files("red"))) as unknown as readonly Found[];

    assert.match(settings?.metadata.name ?? "", /^settings-[0-9a-f]{10}$/);
    assert.notEqual(settings?.metadata.name, other?.metadata.name);
    assert.deepEqual(settings?.data, { "x.txt": "hello", color: "blue" });
    assert.deepEqual([keys?.metadata.name, keys?.data], ["keys", { A: Buffer.from("b=c").toString("base64") }]);
    assert.ok(JSON.stringify(web).includes(`"configMapRef":{"name":"${settings?.metadata.name}"}`));
  });

  it("adds to what its base generates, and patches what its base calls otherwise", async () => {
    const found = await build(
      {
        "base/kustomization.yaml":
          "resources: [web.yaml]\nnamePrefix: a-\nconfigMapGenerator: [{name: settings, literals: [x=1]}]\n",
        "base/web.yaml": deployment,
        "over/kustomization.yaml": `resources: [../base]
nameSuffix: -z
namespace: prod
configMapGenerator: [{name: settings, behavior: merge, literals: [y=2]}]
patches: [{target: {name: web}, patch: "[{op: replace, path: /spec/replicas, value: 7}]"}]
`,
      },
      "over",
    );

    const [web, settings] = JSON.parse(JSON.stringify(found));
    assert.match(settings.metadata.name, /^a-settings-z-[0-9a-f]{10}$/);
    assert.deepEqual(settings.data, { x: "1", y: "2" });
    assert.equal(web.spec.template.spec.containers[0].envFrom[0].configMapRef.name, settings.metadata.name);
    assert.equal(web.spec.replicas, 7);
  });

  it("patches by the rules of the kind, and by operations for what a target names", async () => {
    const [web] = await build({
      "kustomization.yaml": `resources: [web.yaml]
patches:
- path: more.yaml
- target: {kind: Deployment, name: w.*}
  patch: |
    - op: add
      path: /metadata/labels
      value: {patched: "yes"}
`,
      "more.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: side, $patch: delete}, {name: web, env: [{name: A, value: b}]}]}}}
`,
      "web.yaml": deployment,
    });

    assert.deepEqual(JSON.parse(JSON.stringify(web)).metadata.labels, { patched: "yes" });
    const { containers } = JSON.parse(JSON.stringify(web)).spec.template.spec;
    assert.deepEqual(
      containers.map(({ name, image, env }: { name: string; image: string; env: unknown }) => ({ name, image, env })),
      [{ name: "web", image: "nginx:1.0", env: [{ name: "A", value: "b" }] }],
    );
  });

  it("reads nothing outside the tree, and leaves nothing out in silence", async () => {
    const refused = (text: string, message: RegExp) => assert.rejects(build({ "kustomization.yaml": text }), message);

    await refused("resources: [../../etc/passwd]", /leads out of the tree/);
    await refused("resources: [/etc/passwd]", /leads out of the tree/);
    await refused("resources: ['https://example.com/x.yaml']", /not in the repository/);
    await refused("resources: [github.com/a/b]", /not in the repository/);
    await refused("resources: [missing.yaml]", /there is no missing\.yaml/);
    await refused("helmCharts: [{name: x}]", /"helmCharts" is not known/);
    await refused("resources: x", /resources must be a list/);
    await refused("resources: [./]", /in a circle/);
    await refused("patches: [{patch: '{kind: A, metadata: {name: b}}'}]", /for nothing that is there/);
  });
});
