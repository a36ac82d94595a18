/**
 * The cluster that faults are tried on: images loaded, a client for it, and the view of the machine.
 */
import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { createHttpTransport } from "#client/http-transport.ts";
import { createClient } from "#client/rest-client.ts";
import { ensureLayout } from "../../tools/image-builder/build.ts";
import { eventually, startCluster } from "../support/cluster.ts";
import type { FaultContext } from "./fault.ts";
import { ClusterMachine } from "./machine.ts";

/** What all faults of a run share, until `remove`. */
export type FaultCluster = Pick<FaultContext, "cluster" | "client" | "machine"> & {
  readonly remove: () => Promise<void>;
};

/** Less than by default, so that hanging need not be waited for so long, and a watch that is too strict is found out. */
const hangSeconds = "5";

/** Brings it up. */
export async function startFaultCluster(
  name: string,
  options: Parameters<typeof startCluster>[1] = {},
): Promise<FaultCluster> {
  const cluster = await startCluster(name, { environment: { NODELESS_HANG_SECONDS: hangSeconds }, ...options });
  await cluster.nodeless(["image", "load", await ensureLayout("busybox")]);
  const machine = await ClusterMachine.of(cluster);
  // The kernel takes links of a cluster that was here before away a moment after it.
  await eventually("no links", async () => machine.census().get("links")?.length === 0);
  const transport = createHttpTransport(administrator(cluster.kubeconfig));
  return {
    cluster,
    client: createClient(transport),
    machine,
    async remove() {
      await transport.close();
      await cluster.remove();
    },
  };
}

/** The administrator's way in, from a kubeconfig of one cluster. */
function administrator(path: string): Parameters<typeof createHttpTransport>[0] {
  const config = parse(readFileSync(path, "utf8")) as Kubeconfig;
  const decode = (text: string | undefined) => Buffer.from(text ?? "", "base64").toString();
  const cluster = config.clusters[0]?.cluster;
  const user = config.users[0]?.user;
  return {
    server: cluster?.server ?? "",
    ca: decode(cluster?.["certificate-authority-data"]),
    clientCertificate: {
      certificate: decode(user?.["client-certificate-data"]),
      key: decode(user?.["client-key-data"]),
    },
  };
}

type Kubeconfig = {
  readonly clusters: readonly {
    readonly cluster: { readonly server: string; readonly "certificate-authority-data": string };
  }[];
  readonly users: readonly { readonly user: Readonly<Record<"client-certificate-data" | "client-key-data", string>> }[];
};
