/**
 * Requests that mean harm: what is sent, and the statuses that are right. Their tests stand in src/apiserver/hostile-requests.test.ts; here it is about what they cost.
 */

/** One request. */
export type Attack = {
  readonly name: string;
  readonly method?: string;
  readonly path?: string;
  readonly type?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly statuses: readonly number[];
};

const configMaps = "/api/v1/namespaces/default/configmaps";
const pods = "/api/v1/namespaces/default/pods";
const yaml = "application/yaml";
const merge = "application/merge-patch+json";

function configMap(name: string, data: object): string {
  return JSON.stringify({ metadata: { name }, data });
}

function keys(count: number, value: string): Readonly<Record<string, string>> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, value]));
}

function lines(count: number): string {
  return Array.from({ length: count }, (_, index) => `  k${index}: value-${index}`).join("\n");
}

const variables = Array.from({ length: 50_000 }, (_, index) => ({ name: `V${index}`, value: `v${index}` }));
const manyVariables = { metadata: { name: "p" }, spec: { containers: [{ name: "c", image: "i", env: variables }] } };
const repeated = Array(300_000).fill('"a":"b"').join(",");
const unknown = Array.from({ length: 150_000 }, (_, index) => `"f${index}":1`).join(",");
const operations = Array(60_000).fill({ op: "add", path: "/data/a", value: "b" });
const inserts = Array(10_000).fill({ op: "add", path: "/metadata/finalizers/0", value: "v" });
const values = Array.from({ length: 100_000 }, (_, index) => `v${index}`).join(",");
const requirements = Array.from({ length: 80_000 }, (_, index) => `k${index}!=v`).join(",");
const laughs = `a: &a [x,x,x,x,x,x,x,x,x]\n${"bcdefgh"
  .split("")
  .map((key, index) => `${key}: &${key} [${Array(9).fill(`*${"abcdefg"[index]}`).join(",")}]`)
  .join("\n")}`;
const unsigned = [{ alg: "none" }, { sub: "system:serviceaccount:kube-system:x" }]
  .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
  .join(".");

/** The largest that is legal. */
export const legal: readonly Attack[] = [
  { name: "ConfigMap of 1,000 keys, 0.9 MB", body: configMap("l1", keys(1000, "x".repeat(900))), statuses: [201] },
  { name: "ConfigMap of one key, 1 MB", body: configMap("l2", { a: "x".repeat(1_000_000) }), statuses: [201] },
  { name: "ConfigMap of 90,000 keys, 1 MB", body: configMap("l3", keys(90_000, "x")), statuses: [201] },
  { name: "pod of 50,000 variables, 1.7 MB", path: pods, body: JSON.stringify(manyVariables), statuses: [201] },
  {
    name: "YAML of 10,000 lines",
    type: yaml,
    body: `metadata: {name: l5}\ndata:\n${lines(10_000)}\n`,
    statuses: [201],
  },
];

/** What is not, or should cost nothing. */
export const attacks: readonly Attack[] = [
  { name: "JSON, 4 MB", body: configMap("a", { a: "y".repeat(4_000_000) }), statuses: [413] },
  { name: "JSON, 1,400,000 deep", body: "[".repeat(1_400_000), statuses: [400] },
  {
    name: "JSON, the same key 300,000 times",
    path: `${configMaps}?fieldValidation=Strict`,
    body: `{"metadata":{"name":"a"},"data":{${repeated}}}`,
    statuses: [400],
  },
  {
    name: "JSON, 150,000 unknown fields",
    path: `${configMaps}?fieldValidation=Strict`,
    body: `{"metadata":{"name":"a"},${unknown}}`,
    statuses: [400],
  },
  { name: "YAML, aliases of aliases", type: yaml, body: laughs, statuses: [400] },
  { name: "YAML, 1,000,000 brackets", type: yaml, body: "[".repeat(1_000_000), statuses: [400] },
  { name: "YAML, 100,000 quotes", type: yaml, body: '"'.repeat(100_000), statuses: [400] },
  { name: "YAML, 3 MB of lines", type: yaml, body: `data:\n${lines(120_000)}\n`, statuses: [422] },
  {
    name: "JSON patch of 60,000 operations",
    method: "PATCH",
    path: `${configMaps}/one`,
    type: "application/json-patch+json",
    body: JSON.stringify(operations),
    statuses: [413],
  },
  {
    name: "JSON patch, 10,000 insertions at the front",
    method: "PATCH",
    path: `${configMaps}/one`,
    type: "application/json-patch+json",
    body: JSON.stringify(inserts),
    statuses: [422],
  },
  {
    name: "merge patch of 100,000 keys",
    method: "PATCH",
    path: `${configMaps}/one`,
    type: merge,
    body: JSON.stringify({ data: keys(100_000, "x".repeat(12)) }),
    statuses: [422],
  },
  {
    name: "strategic merge patch of 100,000 keys",
    method: "PATCH",
    path: `${configMaps}/one`,
    type: "application/strategic-merge-patch+json",
    body: JSON.stringify({ data: keys(100_000, "x".repeat(12)) }),
    statuses: [422],
  },
  {
    name: "server-side apply of 100,000 keys",
    method: "PATCH",
    path: `${configMaps}/two?fieldManager=x&force=true`,
    type: "application/apply-patch+yaml",
    body: JSON.stringify({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "two" },
      data: keys(100_000, "x".repeat(12)),
    }),
    statuses: [422],
  },
  {
    name: "replacement of 100,000 keys",
    method: "PUT",
    path: `${configMaps}/one`,
    body: configMap("one", keys(100_000, "x".repeat(12))),
    statuses: [422],
  },
  {
    name: "merge patch of 100,000 keys, one of them a number",
    method: "PATCH",
    path: `${configMaps}/one`,
    type: merge,
    body: JSON.stringify({ data: { ...keys(100_000, "x".repeat(12)), z: 7 } }),
    statuses: [422],
  },
  {
    name: "label selector of 100,000 values",
    method: "GET",
    path: `${configMaps}?labelSelector=${encodeURIComponent("a in (")}${values})`,
    statuses: [200],
  },
  {
    name: "label selector of 80,000 requirements",
    method: "GET",
    path: `${configMaps}?labelSelector=${requirements}`,
    statuses: [200],
  },
  { name: "head of 1.2 MB", method: "GET", path: `${configMaps}?a=${"a".repeat(1_200_000)}`, statuses: [431, 0] },
  { name: "path of ..", method: "GET", path: `${configMaps}/%2e%2e`, statuses: [400] },
  {
    name: "token without a signature",
    method: "GET",
    headers: { authorization: `Bearer ${unsigned}.` },
    statuses: [401],
  },
];
