/**
 * Our API server alone, on the durable store, in this process.
 */
import { join } from "node:path";
import { loadKindFacts } from "#api/kind-facts-table.ts";
import { strategyOf } from "#api/strategies.ts";
import { createApiServer } from "#apiserver/api-server.ts";
import { createClusterAccess } from "#apiserver/cluster-access.ts";
import { ensurePki, issueClientCertificate } from "#component-base/certificates.ts";
import { systemClock as clock } from "#component-base/clock.ts";
import { createLogger } from "#component-base/logger.ts";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";
import type { Access } from "./frame-client.ts";

/** Starts it on this folder; gives where it listens, and an administrator's certificate. */
export async function startApiServer(folder: string): Promise<Access> {
  const logger = createLogger({ level: "warn" });
  const pki = await ensurePki(join(folder, "pki"), { serverAddresses: ["127.0.0.1"], clock });
  const store = await openLmdbStore({ folder: join(folder, "store"), clock, logger });
  const server = createApiServer({
    store,
    kindFacts: loadKindFacts(),
    findStrategy: (group, _version, kind) => strategyOf(group, kind),
    access: createClusterAccess({
      clientCa: pki.ca.certificate,
      frontProxyCa: pki.frontProxyCa.certificate,
      serviceAccountKey: pki.serviceAccountKey.privateKey,
      issuer: "https://kubernetes.default.svc.cluster.local",
      publicAddress: "127.0.0.1",
      clock,
      logger,
    }),
    clock,
    logger,
    https: {
      addresses: ["127.0.0.1"],
      port: 0,
      serving: { certificate: pki.server.certificate, key: pki.server.privateKey },
      clientCa: pki.ca.certificate,
    },
  });
  await server.start(new AbortController().signal);
  const admin = issueClientCertificate(pki.ca, { commonName: "admin", organizations: ["system:masters"], clock });
  return { port: server.port, ca: pki.ca.certificate, cert: admin.certificate, key: admin.privateKey };
}
