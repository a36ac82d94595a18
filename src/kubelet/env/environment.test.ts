import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Container, Service } from "#api/generated/types/core-v1.ts";
import { MemoryObjects, podOf } from "#kubelet/testing/engine-house.ts";
import { valueInEnvFile } from "./env-file.ts";
import { environmentOf } from "./environment.ts";
import { expand } from "./expansion.ts";

const facts = { podIPs: ["10.42.0.7"], hostIPs: ["10.0.0.1"], allocatable: { cpu: "4", memory: "8Gi" } };

async function variables(
  container: Partial<Container>,
  prepare: (objects: MemoryObjects) => void = () => {},
): Promise<Record<string, string>> {
  const objects = new MemoryObjects();
  prepare(objects);
  const pod = podOf("web", [container], { nodeName: "n1", serviceAccountName: "robot" });
  const full = pod.spec?.containers[0] as Container;
  const readVolumeFile = async () => "A='one'\nB='two\nlines' # rest\n";
  return Object.fromEntries(await environmentOf(pod, full, { objects, facts, readVolumeFile }));
}

describe("a container's environment", () => {
  it("expands earlier variables, keeps unknown ones and takes $$ as a dollar sign", async () => {
    const env = [
      { name: "A", value: "one" },
      { name: "B", value: "$(A)-$(NONE)-$$(A)" },
    ];
    assert.deepEqual(await variables({ env }), { A: "one", B: "one-$(NONE)-$(A)" });
    assert.equal(
      expand("$(A)$(A", () => "x"),
      "x$(A",
    );
  });

  it("takes whole ConfigMaps and Secrets with a prefix, overridden by single variables", async () => {
    const envFrom = [{ configMapRef: { name: "settings" } }, { prefix: "S_", secretRef: { name: "keys" } }];
    const env = [{ name: "A", value: "own" }];
    const found = await variables({ env, envFrom }, (objects) => {
      objects.configMaps.set("settings", { data: { A: "map", B: "map" } });
      objects.secrets.set("keys", { data: { K: Buffer.from("secret").toString("base64") } });
    });
    assert.deepEqual(found, { A: "own", B: "map", S_K: "secret" });
  });

  it("says in upstream's words what is missing, and leaves out what is optional", async () => {
    const of = (name: string, optional?: boolean) => [
      {
        name: "A",
        valueFrom: { configMapKeyRef: { name, key: "a", ...(optional === undefined ? {} : { optional }) } },
      },
    ];
    const withMap = (objects: MemoryObjects) => void objects.configMaps.set("there", { data: {} });
    const config = { reason: "CreateContainerConfigError" };
    await assert.rejects(variables({ env: of("none") }), { ...config, message: 'configmap "none" not found' });
    await assert.rejects(variables({ env: of("there") }, withMap), {
      ...config,
      message: "couldn't find key a in ConfigMap default/there",
    });
    assert.deepEqual(await variables({ env: of("none", true) }), {});
    assert.deepEqual(await variables({ envFrom: [{ secretRef: { name: "none", optional: true } }] }), {});
    await assert.rejects(variables({ envFrom: [{ secretRef: { name: "none" } }] }), {
      ...config,
      message: 'secret "none" not found',
    });
  });

  it("tells of the pod, the node and the container's resources", async () => {
    const field = (fieldPath: string) => ({ fieldRef: { fieldPath } });
    const env = [
      { name: "NAME", valueFrom: field("metadata.name") },
      { name: "NODE", valueFrom: field("spec.nodeName") },
      { name: "IP", valueFrom: field("status.podIP") },
      { name: "HOST", valueFrom: field("status.hostIP") },
      { name: "ACCOUNT", valueFrom: field("spec.serviceAccountName") },
      { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
      { name: "MEMORY", valueFrom: { resourceFieldRef: { resource: "requests.memory", divisor: "1Mi" } } },
      { name: "ALL_MEMORY", valueFrom: { resourceFieldRef: { resource: "limits.memory" } } },
    ];
    const resources = { requests: { memory: "32Mi" }, limits: { cpu: "1500m" } };
    assert.deepEqual(await variables({ env, resources }), {
      NAME: "web",
      NODE: "n1",
      IP: "10.42.0.7",
      HOST: "10.0.0.1",
      ACCOUNT: "robot",
      CPU: "2",
      MEMORY: "32",
      ALL_MEMORY: String(8 * 2 ** 30),
    });
  });

  it("tells of Services as Docker links once did", async () => {
    const service = (name: string, namespace: string, clusterIP: string): Service => ({
      metadata: { name, namespace },
      spec: { clusterIP, ports: [{ name: "http", port: 80, protocol: "TCP" }] },
    });
    const found = await variables({}, (objects) => {
      objects.allServices.push(
        service("my-db", "default", "10.43.0.5"),
        service("other", "elsewhere", "10.43.0.6"),
        service("headless", "default", "None"),
      );
    });
    assert.deepEqual(found, {
      MY_DB_SERVICE_HOST: "10.43.0.5",
      MY_DB_SERVICE_PORT: "80",
      MY_DB_SERVICE_PORT_HTTP: "80",
      MY_DB_PORT: "tcp://10.43.0.5:80",
      MY_DB_PORT_80_TCP: "tcp://10.43.0.5:80",
      MY_DB_PORT_80_TCP_PROTO: "tcp",
      MY_DB_PORT_80_TCP_PORT: "80",
      MY_DB_PORT_80_TCP_ADDR: "10.43.0.5",
    });
  });

  it("reads variables from files in volumes", async () => {
    const of = (key: string, optional = false) => [
      { name: "V", valueFrom: { fileKeyRef: { volumeName: "v", path: "env", key, optional } } },
    ];
    assert.deepEqual(await variables({ env: of("B") }), { V: "two\nlines" });
    assert.deepEqual(await variables({ env: of("NONE", true) }), {});
    await assert.rejects(variables({ env: of("NONE") }), {
      message: 'environment variable key "NONE" not found in file "env"',
    });
    assert.throws(() => valueInEnvFile("A=plain\n", "A"), {
      message: "invalid environment variable format at line 1: value must be enclosed in single quotes",
    });
    assert.throws(() => valueInEnvFile("A='open\n", "A"), /unclosed single quote/);
  });
});
