import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod, Service } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import { staleFlows } from "./conntrack.ts";
import { ElementTable } from "./element-table.ts";
import { type Element, elementsOf } from "./elements.ts";
import { frontendsOf, hostPortFrontends } from "./frontends.ts";
import { elementLines, SharedChains } from "./table.ts";

const node = { nodeName: "n1" };

function service(spec: Service["spec"], status?: Service["status"]): Service {
  const base = { clusterIPs: ["10.43.0.7"], ports: [{ name: "http", port: 80, nodePort: 30_080 }] };
  return {
    metadata: { name: "web", namespace: "shop" },
    spec: { ...base, ...spec },
    ...(status === undefined ? {} : { status }),
  };
}

function slice(endpoints: EndpointSlice["endpoints"], protocol = "TCP"): EndpointSlice {
  return {
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080, protocol }],
    ...(endpoints === undefined ? {} : { endpoints }),
  };
}

const ready = (address: string, nodeName = "n1") => ({
  addresses: [address],
  nodeName,
  conditions: { ready: true, serving: true },
});
const ending = (address: string) => ({
  addresses: [address],
  nodeName: "n1",
  conditions: { ready: false, serving: true, terminating: true },
});
const notReady = (address: string) => ({
  addresses: [address],
  nodeName: "n1",
  conditions: { ready: false, serving: false },
});

function targetsAt(
  address: string,
  spec: Service["spec"],
  slices: readonly EndpointSlice[],
  status?: Service["status"],
): string[] | undefined {
  const frontend = frontendsOf(service(spec, status), slices, node).find((candidate) => candidate.address === address);
  return frontend?.targets.map((target) => `${target.address}:${target.port}`);
}

test("a Service answers at its ClusterIP and its node port, by its ready endpoints in a fixed order", () => {
  const slices = [slice([ready("10.42.0.6"), notReady("10.42.0.9")]), slice([ready("10.42.0.5")])];

  assert.deepEqual(targetsAt("10.43.0.7", {}, slices), ["10.42.0.5:8080", "10.42.0.6:8080"]);
  assert.deepEqual(targetsAt("node", {}, slices), ["10.42.0.5:8080", "10.42.0.6:8080"]);
});

test("endpoints that end serve only while no other is ready", () => {
  assert.deepEqual(targetsAt("10.43.0.7", {}, [slice([ending("10.42.0.5"), ready("10.42.0.6")])]), ["10.42.0.6:8080"]);
  assert.deepEqual(targetsAt("10.43.0.7", {}, [slice([ending("10.42.0.5")])]), ["10.42.0.5:8080"]);
});

test("traffic policy Local keeps to the node's own endpoints and drops when others have some", () => {
  const slices = [slice([ready("10.42.1.5", "n2")])];
  const [internal, , nodePort] = frontendsOf(
    service({ internalTrafficPolicy: "Local", externalTrafficPolicy: "Local", externalIPs: ["192.0.2.9"] }),
    slices,
    node,
  );

  assert.deepEqual([internal?.targets, internal?.whenEmpty], [[], "drop"]);
  assert.deepEqual([nodePort?.targets, nodePort?.whenEmpty, nodePort?.keepsSource], [[], "drop", true]);
});

test("headless, external and foreign Services have no frontends", () => {
  assert.deepEqual(frontendsOf(service({ clusterIPs: ["None"] }), [], node), []);
  assert.deepEqual(frontendsOf(service({ type: "ExternalName" }), [], node), []);
});

test("a load balancer's address is a frontend once it is in the status", () => {
  const status = { loadBalancer: { ingress: [{ ip: "10.42.255.128" }] } };

  assert.deepEqual(targetsAt("10.42.255.128", { type: "LoadBalancer" }, [slice([ready("10.42.0.5")])], status), [
    "10.42.0.5:8080",
  ]);
});

test("a pod's host ports lead to it while it runs", () => {
  const containers = [
    {
      name: "main",
      ports: [
        { containerPort: 80, hostPort: 8080 },
        { containerPort: 81 },
        { containerPort: 53, hostPort: 53, protocol: "UDP", hostIP: "127.0.0.1" },
      ],
    },
  ];
  const pod: Pod = { spec: { containers }, status: { podIP: "10.42.0.5", phase: "Running" } };

  const places = hostPortFrontends(pod).map(({ address, protocol, port, targets }) => [
    address,
    protocol,
    port,
    targets[0]?.port,
  ]);

  assert.deepEqual(places, [
    ["node", "tcp", 8080, 80],
    ["127.0.0.1", "udp", 53, 53],
  ]);
  assert.deepEqual(hostPortFrontends({ ...pod, status: { podIP: "10.42.0.5", phase: "Succeeded" } }), []);
});

test("elements lead to shared chains by the number of endpoints", () => {
  const { elements, dispatches } = elementsOf(
    frontendsOf(
      service({ ports: [{ name: "http", port: 80 }] }),
      [slice([ready("10.42.0.5"), ready("10.42.0.6")])],
      node,
    ),
  );

  assert.deepEqual(elements, [
    { set: "services", key: "10.43.0.7 . tcp . 80", value: "goto pick-2" },
    { set: "eps-0", key: "10.43.0.7 . tcp . 80", value: "10.42.0.5 . 8080" },
    { set: "eps-1", key: "10.43.0.7 . tcp . 80", value: "10.42.0.6 . 8080" },
    { set: "hairpin", key: "10.42.0.5 . 10.42.0.5", value: "" },
    { set: "hairpin", key: "10.42.0.6 . 10.42.0.6", value: "" },
  ]);
  assert.deepEqual(dispatches, [{ space: "", count: 2, affinitySeconds: undefined }]);
});

test("a Service without endpoints is refused, one with affinity remembers its clients", () => {
  assert.deepEqual(
    elementsOf(frontendsOf(service({}), [], node)).elements.map(({ set }) => set),
    ["to-reject", "nto-reject"],
  );
  const sticky = elementsOf(frontendsOf(service({ sessionAffinity: "ClientIP" }), [slice([ready("10.42.0.5")])], node));
  assert.equal(sticky.elements[0]?.value, "goto stick-1-10800");
});

test("a changed Service changes its own elements only, and shared ones stay until the last owner goes", () => {
  const table = new ElementTable();
  const [a, b]: Element[] = [
    { set: "eps-0", key: "k", value: "1" },
    { set: "hairpin", key: "h", value: "" },
  ];
  assert.ok(a && b);
  table.replace("one", [a, b]);
  table.replace("two", [b]);

  assert.deepEqual(table.replace("one", [{ ...a, value: "2" }]), { deleted: [a], added: [{ ...a, value: "2" }] });
  assert.deepEqual(table.replace("two", []), { deleted: [b], added: [] });
});

test("shared chains are made once", () => {
  const chains = new SharedChains("t");

  assert.match(
    chains.ensure({ space: "", count: 2, affinitySeconds: undefined }),
    /add map ip t eps-0[\s\S]*add map ip t eps-1[\s\S]*numgen random mod 2/,
  );
  assert.equal(chains.ensure({ space: "", count: 2, affinitySeconds: undefined }), "");
  assert.doesNotMatch(chains.ensure({ space: "", count: 3, affinitySeconds: undefined }), /eps-1 \{/);
});

test("elements of one set go in one line", () => {
  const lines = elementLines("add", "t", [
    { set: "m", key: "a", value: "1" },
    { set: "m", key: "b", value: "2" },
    { set: "s", key: "c", value: "" },
  ]);

  assert.equal(lines, "add element ip t m { a : 1, b : 2 }\nadd element ip t s { c }\n");
});

test("UDP flows to an endpoint that went are stale, and those of a frontend that had none", () => {
  const before = elementsOf(
    frontendsOf(
      service({ ports: [{ name: "http", port: 53, protocol: "UDP" }] }),
      [slice([ready("10.42.0.5")], "UDP")],
      node,
    ),
  ).elements;
  const empty = elementsOf(
    frontendsOf(service({ ports: [{ name: "http", port: 53, protocol: "UDP" }] }), [], node),
  ).elements;

  assert.deepEqual(staleFlows(before, empty), [{ address: "10.43.0.7", port: 53, target: "10.42.0.5" }]);
  assert.deepEqual(staleFlows(empty, before), [{ address: "10.43.0.7", port: 53, target: undefined }]);
});
