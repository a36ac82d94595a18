import assert from "node:assert/strict";
import { test } from "node:test";
import type { Service } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import { hostLines, type HostNameSources } from "./host-names.ts";

const services: readonly Service[] = [
  { metadata: { name: "web", namespace: "shop" }, spec: { clusterIP: "127.43.0.7" } },
  { metadata: { name: "db", namespace: "shop" }, spec: { clusterIP: "None" } },
  { metadata: { name: "out", namespace: "shop" }, spec: { type: "ExternalName", externalName: "example.com" } },
];
const slice: EndpointSlice = {
  addressType: "IPv4",
  endpoints: [
    { addresses: ["127.42.0.5"], hostname: "db-0", conditions: { ready: true } },
    { addresses: ["127.42.0.6"], conditions: { ready: false } },
  ],
};
const sources = {
  services: { list: () => services },
  endpointSlices: { byIndex: (_index: string, key: string) => (key === "shop/db" ? [slice] : []) },
} as unknown as HostNameSources;

test("Services have their names, the shortest in their own namespace only", () => {
  assert.deepEqual(hostLines(sources, "cluster.local", "shop").split("\n"), [
    "127.43.0.7 web.shop.svc.cluster.local web.shop.svc web.shop web",
    "127.42.0.5 db.shop.svc.cluster.local db.shop.svc db.shop db",
    "127.42.0.5 db-0.db.shop.svc.cluster.local db-0.db.shop.svc db-0.db.shop db-0.db",
    "",
  ]);
  assert.match(
    hostLines(sources, "cluster.local", "default"),
    /^127.43.0.7 web.shop.svc.cluster.local web.shop.svc web.shop$/m,
  );
});
