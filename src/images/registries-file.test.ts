import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readRegistriesFile } from "./registries-file.ts";
import { registryAddresses } from "./registry-client.ts";

async function read(text: string) {
  const folder = mkdtempSync(join(tmpdir(), "nodeless-registries-"));
  const path = join(folder, "registries.yaml");
  try {
    writeFileSync(path, text);
    return await readRegistriesFile(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("mirrors, credentials and certificates are read as K3s has them", async () => {
  const settings = await read(`
mirrors:
  docker.io: { endpoint: ["https://mirror:5000/", "http://second"] }
  "*": { endpoint: ["https://all"] }
configs:
  mirror:5000:
    auth: { username: me, password: 42 }
    tls: { ca_file: /ca.pem, insecure_skip_verify: true }
  other:
    auth: { auth: ${Buffer.from("you:a:b").toString("base64")} }
`);

  assert.deepEqual(registryAddresses("docker.io", settings), [
    "https://mirror:5000",
    "http://second",
    "https://registry-1.docker.io",
  ]);
  assert.deepEqual(registryAddresses("quay.io", settings), ["https://all", "https://quay.io"]);
  assert.deepEqual(settings.hosts, { "mirror:5000": { caFile: "/ca.pem", skipsVerification: true }, other: {} });
  assert.deepEqual(settings.credentials, [
    { registry: "mirror:5000", username: "me", password: "42" },
    { registry: "other", username: "you", password: "a:b" },
  ]);
});

test("a file that is not there, or empty, says nothing", async () => {
  assert.deepEqual(await readRegistriesFile("/nowhere/registries.yaml"), {});
  assert.deepEqual(await read(""), { mirrors: {}, hosts: {}, credentials: [] });
});

test("a file that cannot be understood is refused, with what is wrong in it", async () => {
  await assert.rejects(read("mirrors: [a]"), /cannot use .*registries.yaml: mirrors must be a map/);
  await assert.rejects(read("mirror: {}"), /unknown field "mirror"/);
  await assert.rejects(read("mirrors: { a: { endpoint: [b] } }"), /mirrors.a.endpoint must be URLs/);
  await assert.rejects(read("a: [b"), /cannot use/);
});
