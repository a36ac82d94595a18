import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { loadKindFacts } from "#api/kind-facts-table.ts";
import type { ResourceFacts } from "#api/kind-facts.ts";
import { Discovery, groupByVersion } from "./discovery.ts";
import { compareVersions } from "./versions.ts";

const facts = loadKindFacts();
const goPath = process.env["GOPATH"] ?? join(homedir(), "go");
const folder = join(process.env["GOMODCACHE"] ?? join(goPath, "pkg/mod"), "k8s.io/kubernetes@v1.36.3/api/discovery");

const widgets: ResourceFacts = {
  group: "example.com",
  version: "v1",
  resource: "widgets",
  singular: "widget",
  kind: "Widget",
  isNamespaced: true,
  verbs: ["create", "get", "list"],
  shortNames: ["wd"],
  categories: ["all"],
  subresources: [{ name: "scale", group: "autoscaling", version: "v1", kind: "Scale", verbs: ["get"] }],
  storageVersion: "v1",
  isEnabledByDefault: true,
};

test("documents of the built-in kinds are upstream's published ones", {
  skip: existsSync(folder) ? false : `${folder} is not on this machine`,
}, () => {
  const discovery = new Discovery(groupByVersion(facts.resources));
  const compare = (actual: unknown, file: string): void => {
    assert.deepEqual(comparable(actual), comparable(JSON.parse(readFileSync(join(folder, file), "utf8"))), file);
  };

  compare(discovery.apiVersions("10.10.10.10:8050"), "api.json");
  compare(discovery.groupList(), "apis.json");
  compare(discovery.resourceList("", "v1"), "api__v1.json");
  compare(JSON.parse(discovery.aggregated("/apis", "v2").body), "aggregated_v2.json");
  for (const file of readdirSync(folder).filter((name) => name.startsWith("apis__"))) {
    const [group = "", version] = file.slice("apis__".length, -".json".length).split("__");
    compare(version === undefined ? discovery.group(group) : discovery.resourceList(group, version), file);
  }
});

test("a custom resource is shown in all documents", () => {
  const discovery = new Discovery(groupByVersion([...facts.resources, widgets]));

  const list = discovery.resourceList("example.com", "v1") as { resources: { name: string; group?: string }[] };
  assert.deepEqual(
    list.resources.map(({ name, group }) => [name, group]),
    [
      ["widgets", undefined],
      ["widgets/scale", "autoscaling"],
    ],
  );
  const group = discovery.group("example.com") as { preferredVersion: object };
  assert.deepEqual(group.preferredVersion, { groupVersion: "example.com/v1", version: "v1" });
  assert.match(discovery.aggregated("/apis", "v2").body, /"resource":"widgets"/);
  assert.equal(discovery.resourceList("example.com", "v2"), undefined);
  assert.equal(discovery.group(""), undefined);
});

test("the ETag stays while the list does, and changes with it", () => {
  const before = new Discovery(groupByVersion(facts.resources)).aggregated("/apis", "v2");
  const same = new Discovery(groupByVersion(facts.resources)).aggregated("/apis", "v2");
  const after = new Discovery(groupByVersion([...facts.resources, widgets])).aggregated("/apis", "v2");

  assert.equal(before.etag, same.etag);
  assert.notEqual(before.etag, after.etag);
  assert.match(before.etag, /^"[0-9A-F]{128}"$/);
});

test("the core group stands at /api only", () => {
  const discovery = new Discovery(groupByVersion(facts.resources));

  const core = JSON.parse(discovery.aggregated("/api", "v2").body);

  assert.equal(core.items.length, 1);
  assert.equal(core.items[0].versions[0].resources[0].resource, "bindings");
  assert(!discovery.aggregated("/apis", "v2").body.includes('"resource":"configmaps"'));
});

test("versions are ordered by stability, then by number", () => {
  const versions = ["v1alpha1", "foo10", "v2", "v11beta2", "v1", "v10", "v3beta1", "foo1", "v11alpha2", "v12alpha1"];

  const expected = ["v10", "v2", "v1", "v11beta2", "v3beta1", "v12alpha1", "v11alpha2", "v1alpha1", "foo1", "foo10"];
  assert.deepEqual(versions.sort(compareVersions), expected);
});

/** Without hashes of storage versions: upstream stores some kinds in an older version for the sake of a downgrade that does not concern us. */
function comparable(document: unknown): unknown {
  return JSON.parse(JSON.stringify(document), (key, value: unknown) =>
    key === "storageVersionHash" ? undefined : value,
  );
}
