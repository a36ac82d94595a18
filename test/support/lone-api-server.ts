/**
 * The cluster's API server as `nodeless up` runs it, but alone: on the memory store, without nodes and controllers, so that objects stay as they were written.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "#component-base/testing/free-port.ts";
import { startApiServer } from "#cmd/control-plane/api-server.ts";
import { addressPlan } from "#cmd/machine/address-plan.ts";
import type { Cluster } from "#cmd/machine/clusters.ts";
import { ensurePki, issueClientCertificate } from "#component-base/certificates.ts";
import { loadEncryptionKeys } from "#apiserver/storage/encryption.ts";
import { systemClock } from "#component-base/clock.ts";
import { createLogger } from "#component-base/logger.ts";
import { createMemoryStore } from "#store/memory/memory-store.ts";

/** A running server. */
export type LoneApiServer = {
  /** Path of a kubeconfig of user "admin", of system:masters. */
  readonly kubeconfig: string;
  stop(): Promise<void>;
};

// Its Services' range, 10.251.0.0/16, is no real cluster's on this machine, and nothing is routed there.
const slot = 105;

/** Starts one. Stop it at the end of the test. */
export async function startLoneApiServer(): Promise<LoneApiServer> {
  const folder = mkdtempSync(join(tmpdir(), "nodeless-api-"));
  const clock = systemClock;
  const plan = addressPlan({ slot });
  const pki = await ensurePki(folder, { serverAddresses: ["127.0.0.1", plan.kubernetesService, "localhost"], clock });
  const admin = issueClientCertificate(pki.ca, { commonName: "admin", organizations: ["system:masters"], clock });
  const keys = { pki, admin, encryption: await loadEncryptionKeys(join(folder, "encryption.json")) };
  const store = createMemoryStore();
  const apiPort = await freePort();
  const record = { name: "lone", slot, nodes: 1, apiPort, isExposed: false };
  const cluster = { record, layout: { folder, pki: folder } } as unknown as Cluster;
  const stop = new AbortController();
  const logger = createLogger({ level: "error" });
  const server = await startApiServer({
    cluster,
    keys: () => keys,
    store,
    hasNodes: false,
    clock,
    logger,
    signal: stop.signal,
  });
  const kubeconfig = join(folder, "kubeconfig");
  const address = `https://127.0.0.1:${apiPort}`;
  writeFileSync(kubeconfig, kubeconfigText(address, pki.ca.certificate, admin));
  return {
    kubeconfig,
    async stop() {
      stop.abort(new Error("the test is over"));
      await server.stop();
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function kubeconfigText(
  address: string,
  ca: string,
  admin: { readonly certificate: string; readonly privateKey: string },
): string {
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const user = {
    "client-certificate-data": base64(admin.certificate),
    "client-key-data": base64(admin.privateKey),
  };
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "lone", cluster: { server: address, "certificate-authority-data": base64(ca) } }],
    users: [{ name: "admin", user }],
    contexts: [{ name: "lone", context: { cluster: "lone", user: "admin" } }],
    "current-context": "lone",
  });
}
