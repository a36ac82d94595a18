import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { ServingCertificate } from "#apiserver/server/https-server.ts";
import type { Cluster } from "#cmd/machine/clusters.ts";
import { clusterLayout } from "#cmd/machine/layout.ts";
import { nodePlans } from "#cmd/machine/node-plan.ts";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { CertificateRenewal, lookAgainMs } from "./certificate-renewal.ts";
import { machineAddresses } from "#cmd/machine/machine-addresses.ts";
import { ensureClusterKeys } from "./cluster-keys.ts";

const dayMs = 86_400_000;

function clusterFor(context: TestContext, settings: Partial<Cluster["record"]> = {}): Cluster {
  const folder = mkdtempSync(join(tmpdir(), "keys-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const record = {
    formatVersion: 1,
    name: "c",
    slot: 3,
    nodes: 1,
    apiPort: 6443,
    kubeconfig: join(folder, "kubeconfig"),
    isExposed: false,
    createdBy: "0.1.0",
    createdAt: "2026-01-01T00:00:00Z",
    ...settings,
  } as const;
  return { record, layout: clusterLayout("c", folder, folder, folder) };
}

function markAsUsed({ layout }: Cluster): void {
  mkdirSync(layout.store, { recursive: true });
}

test("a used cluster whose CA or encryption key was lost says what to do, and makes no other", async (context) => {
  const cluster = clusterFor(context);
  const options = { cluster, nodes: [], clock: new FakeClock(), logger: silentLogger };
  await ensureClusterKeys(options);
  markAsUsed(cluster);

  unlinkSync(join(cluster.layout.pki, "encryption.json"));
  await assert.rejects(ensureClusterKeys(options), /encryption.json is missing.*'nodeless reset --name c'/);
  rmSync(cluster.layout.pki, { recursive: true });
  await assert.rejects(
    ensureClusterKeys(options),
    /ca.crt and .*ca.key are missing\. Restore.*'nodeless delete --name c'/,
  );
  await assert.rejects(ensureClusterKeys(options), /ca.crt and .*ca.key are missing/);
});

test("certificates are renewed while the cluster runs, and those who show them hear of it", async (context) => {
  const cluster = clusterFor(context);
  const clock = new FakeClock();
  const nodes = nodePlans(cluster);
  const ensure = () => ensureClusterKeys({ cluster, nodes, clock, logger: silentLogger });
  const shown: ServingCertificate[] = [];
  let admins = 0;
  const renewal = new CertificateRenewal({
    keys: await ensure(),
    ensure,
    onAdmin: () => void (admins += 1),
    clock,
    logger: silentLogger,
  });
  const nodeCertificate = () => readFileSync(join(cluster.layout.pki, "nodes", `${nodes[0]?.name}.crt`), "utf8");
  const before = { keys: renewal.keys, node: nodeCertificate() };
  renewal.start((serving) => shown.push(serving));

  await clock.advance(lookAgainMs);
  await settled(() => renewal.keys !== before.keys);
  assert.deepEqual([shown.length, admins, nodeCertificate() === before.node], [0, 0, true]);
  await clock.advance(306 * dayMs);
  // A look reads and writes files: the next one begins when it is done.
  for (let looks = 0; looks < 20 && admins === 0; looks++) {
    await clock.advance(lookAgainMs);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }

  await renewal.stop();
  const serving = new X509Certificate(shown[0]?.certificate ?? "");
  assert.ok(serving.validToDate.getTime() - clock.now() > 100 * dayMs, "well before its end again");
  assert.ok(serving.checkPrivateKey(createPrivateKey(shown[0]?.key ?? "")));
  assert.equal(admins, 1);
  assert.notEqual(renewal.keys.pki.kubeletClient.certificate, before.keys.pki.kubeletClient.certificate);
  assert.notEqual(nodeCertificate(), before.node);
  assert.equal(renewal.keys.pki.ca.certificate, before.keys.pki.ca.certificate);
});

test("the API server of an exposed cluster is known under the machine's addresses", async (context) => {
  const options = { nodes: [], clock: new FakeClock(), logger: silentLogger };
  const hidden = await ensureClusterKeys({ ...options, cluster: clusterFor(context) });
  const exposed = await ensureClusterKeys({ ...options, cluster: clusterFor(context, { isExposed: true }) });
  const own = machineAddresses();

  const names = (certificate: string) => own.filter((address) => new X509Certificate(certificate).checkIP(address));

  assert.deepEqual(names(hidden.pki.server.certificate), []);
  assert.deepEqual(names(exposed.pki.server.certificate), own);
});

test("a lost key of service account tokens is written back while it is known, and replaced with a warning otherwise", async (context) => {
  const cluster = clusterFor(context);
  const warnings: string[] = [];
  const logger = { ...silentLogger, warn: (message: string) => void warnings.push(message) };
  const options = { cluster, nodes: [], clock: new FakeClock(), logger };
  const known = await ensureClusterKeys(options);
  mkdirSync(cluster.layout.store);
  const key = join(cluster.layout.pki, "sa.key");

  unlinkSync(key);
  const same = await ensureClusterKeys({ ...options, known });
  assert.equal(same.pki.serviceAccountKey.privateKey, known.pki.serviceAccountKey.privateKey);
  assert.equal(readFileSync(key, "utf8"), known.pki.serviceAccountKey.privateKey);
  unlinkSync(key);
  const other = await ensureClusterKeys(options);

  assert.notEqual(other.pki.serviceAccountKey.privateKey, known.pki.serviceAccountKey.privateKey);
  assert.match(warnings[0] ?? "", /^Wrote the key of service account tokens back/);
  assert.match(warnings[1] ?? "", /^Made a new key for service account tokens, .* tokens from before are refused/);
  await ensureClusterKeys(options);
  assert.equal(warnings.length, 2);
});

async function settled(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
